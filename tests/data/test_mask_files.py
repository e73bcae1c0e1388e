"""People's masks of every kind, against what NumPy says of their pixels."""

import struct

import numpy as np
import pytest
from PIL import Image

from fsjax.data import mask_files
from fsjax.data.photo_files import Photo
from fsjax.errors import InputError
from tests.datasets.own_folders import box, encoded, packed, paletted, pixels, white

H, W = 24, 40
OBJECT = box(H, W)
BYTES = np.uint8(255) * OBJECT
LABELS = pixels(H, W) % 7
MANY = np.random.default_rng(2).integers(0, 4000, (H, W), np.uint16)
COLOURS = pixels(256, 3)


OBJECTS = {
    "RGB": lambda: encoded(white(OBJECT)),
    "grey": lambda: encoded(BYTES),
    "one bit": lambda: encoded(OBJECT),
    "ones": lambda: encoded(OBJECT.astype(np.uint8)),
    "16 bits": lambda: encoded(np.uint16(65535) * OBJECT),
    "16 bits, ones": lambda: encoded(OBJECT.astype(np.uint16)),
    "16 bits, 255": lambda: encoded(np.uint16(255) * OBJECT),
    "white on nothing": lambda: encoded(np.dstack([np.full((H, W, 3), 255, np.uint8), BYTES])),
    "red": lambda: encoded(np.dstack([BYTES, 0 * BYTES, 0 * BYTES])),
    "grey palette": lambda: encoded(paletted((~OBJECT).astype(np.uint8), np.array([[255] * 3, [0] * 3]))),
    "VOC's palette": lambda: encoded(paletted(3 * OBJECT.astype(np.uint8), COLOURS)),
    "TIFF": lambda: encoded(BYTES, "TIFF", compression="tiff_lzw"),
    "WebP": lambda: encoded(white(OBJECT), "WEBP", lossless=True),
    "smoothed": lambda: encoded(
        np.where(OBJECT, 255 - pixels(H, W) % 100, pixels(H, W) % 100).astype(np.uint8)
    ),
    "objects by number": lambda: encoded((OBJECT * (1 + pixels(H, W) % 5)).astype(np.uint8)),
}


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_found(make):
    np.testing.assert_array_equal(mask_files.object_of(make(), "x"), OBJECT)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_compression_makes_no_object_of_grey_noise(format):
    rough = np.zeros((64, 64), bool)
    rough[3:50, 5:41] = np.indices((47, 36)).sum(0) % 30 < 22
    found = mask_files.object_of(encoded(white(rough), format, quality=75), "x")
    assert (found != rough).mean() < 0.01
    with pytest.raises(InputError, match="x marks no object: make the object white"):
        mask_files.object_of(encoded(white(rough) // 8, format, quality=75), "x")


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_an_empty_mask_is_named(mode):
    with pytest.raises(InputError, match=r"my/mask\.png marks no object"):
        mask_files.object_of(encoded(Image.new(mode, (W, H))), "my/mask.png")


VALUES = {
    "grey": (lambda: encoded(LABELS), LABELS),
    "palette": (lambda: encoded(paletted(LABELS, COLOURS)), LABELS),
    "one bit": (lambda: encoded(OBJECT), OBJECT),
    "2 bits": (lambda: packed(LABELS % 4, 2), LABELS % 4),
    "4 bits": (lambda: packed(LABELS, 4), LABELS),
    "palette of 4 bits": (lambda: encoded(paletted(LABELS, COLOURS[:16]), bits=4), LABELS),
    "16 bits": (lambda: encoded(MANY), MANY),
    "16 bits, TIFF": (lambda: encoded(MANY, "TIFF"), MANY),
    "RGB": (lambda: encoded(np.dstack([LABELS] * 3)), LABELS),
    "RGBA": (lambda: encoded(np.dstack([LABELS] * 3 + [np.full((H, W), 255, np.uint8)])), LABELS),
    "grey and alpha": (lambda: encoded(np.dstack([LABELS, np.full((H, W), 255, np.uint8)])), LABELS),
    "TIFF": (lambda: encoded(LABELS, "TIFF", compression="tiff_deflate"), LABELS),
    "WebP": (lambda: encoded(np.dstack([LABELS] * 3), "WEBP", lossless=True), LABELS),
}


@pytest.mark.parametrize(("make", "expected"), VALUES.values(), ids=VALUES)
def test_labels_are_kept(make, expected):
    labels = mask_files.labels_of(make(), "x")
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == (np.uint16 if expected.dtype == np.uint16 else np.uint8)


UNFIT = {
    "holds colours: save it as labels": lambda: encoded(np.dstack([LABELS, LABELS, LABELS + 1])),
    "is transparent in parts": lambda: encoded(np.dstack([LABELS] * 4)),
    "is compressed with loss, as JPEGs are": lambda: encoded(LABELS, "JPEG", quality=100),
    "is compressed with loss, ": lambda: encoded(np.dstack([LABELS] * 3), "WEBP"),
    "has pixels of a rare kind": lambda: encoded(LABELS.astype(np.float32), "TIFF"),
    "is damaged, or no picture": lambda: encoded(LABELS)[:60],
}


@pytest.mark.parametrize(("sentence", "make"), UNFIT.items(), ids=UNFIT)
def test_masks_without_labels_are_named(sentence, make):
    with pytest.raises(InputError, match=f"^my/mask.png {sentence}"):
        mask_files.labels_of(make(), "my/mask.png")


def test_values_that_show_nothing():
    labels = np.array([[0, 255, 3], [65535, 256, 3]], np.uint16)
    assert mask_files.shown_in(labels) == [3, 256]
    np.testing.assert_array_equal(mask_files.void_of(labels), [[False, True, False], [True, False, False]])


def test_a_mask_on_its_side_is_told_from_one_of_another_size():
    upright, turned = Photo(b"", (40, 30), False), Photo(b"", (40, 30), True)
    mask_files.check_fits((40, 30), "m.png", turned, "p.jpg")
    with pytest.raises(InputError, match=r"m.png lies on its side: p.jpg, turned upright .* is 40x30 and"):
        mask_files.check_fits((30, 40), "m.png", turned, "p.jpg")
    for photo, shape in ((upright, (30, 40)), (turned, (30, 41))):
        with pytest.raises(InputError, match=r"m.png is 30x4\d and its photo p.jpg 40x30 pixels \(height x"):
            mask_files.check_fits(shape, "m.png", photo, "p.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_labels_with_a_void_rim_are_no_mask_of_an_object(mode):
    values = OBJECT.astype(np.uint8)
    values[0] = 255
    with pytest.raises(InputError, match=r"^my/mask\.png holds low values and 255, so that it is not clear"):
        mask_files.object_of(encoded(Image.fromarray(values).convert(mode)), "my/mask.png")


def tiff_of_4_bits(values, photometric):
    """A grey TIFF without compression, its white the highest value (1) or 0 (0)."""
    rows = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: 4, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags[279] = len(rows)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<I", 8 + len(rows))
    return header + rows + struct.pack("<H", len(tags)) + directory + bytes(4)


@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_tiffs_of_4_bits(photometric):
    found = mask_files.labels_of(tiff_of_4_bits(LABELS, photometric), "x")
    np.testing.assert_array_equal(found, LABELS if photometric else 15 - LABELS)


@pytest.mark.parametrize("value", [-1, 70_000])
def test_numbers_that_are_no_labels(value):
    mask = encoded(np.full((4, 5), value, np.int32), "TIFF")
    for read in (mask_files.labels_of, mask_files.object_of):
        with pytest.raises(InputError, match=f"^x holds values from {value} to {value}: give 0 to 65535"):
            read(mask, "x")


def test_an_object_that_is_cut_out():
    photo = pixels(H, W, 3) // 8
    np.testing.assert_array_equal(mask_files.object_of(encoded(np.dstack([photo, BYTES])), "x"), OBJECT)
