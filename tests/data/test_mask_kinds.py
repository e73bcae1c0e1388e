"""What masks mark is decided over all of them together."""

import numpy as np
import pytest
from PIL import Image

from fsjax.data import mask_kinds
from fsjax.errors import InputError
from tests.datasets.own_folders import box, encoded, packed, paletted, pixels, white

H, W = 24, 40
OBJECT = box(H, W)
BYTES = np.uint8(255) * OBJECT
HALVES = np.where(np.arange(W) < W // 2, 1, 2).astype(np.uint8) * OBJECT
COLOURS = np.random.default_rng(5).integers(1, 256, (256, 3))
BLURRED = (BYTES // 5 * (1 + pixels(H, W) % 5)).astype(np.uint8)
RIM = np.where(np.roll(OBJECT, 3) & ~OBJECT, np.uint8(255), np.uint8(0))


def looks(*masks):
    return [mask_kinds.look_at(mask, f"{n}.png") for n, mask in enumerate(masks)]


def cut_out(photo, opacity):
    return encoded(np.dstack([photo, opacity]))


PHOTO = pixels(H, W, 3)
THIRTY = (OBJECT * (1 + pixels(H, W) % 30)).astype(np.uint8)

OBJECTS = {
    "white": [encoded(BYTES)],
    "one bit": [encoded(OBJECT)],
    "ones": [encoded(OBJECT.astype(np.uint8))],
    "white in RGB and ones are not void and a label": [encoded(white(OBJECT))],
    "16 bits": [encoded(np.uint16(65535) * OBJECT), encoded(BYTES)],
    "200": [encoded(np.uint8(200) * OBJECT)],
    "a blurred edge": [encoded(BLURRED)],
    "JPEG": [encoded(BYTES, "JPEG"), encoded(BYTES)],
    "red": [encoded(np.dstack([BYTES, BYTES // 5, 0 * BYTES]))],
    "a cut-out of dark things": [cut_out(PHOTO // 9, BYTES)],
    "a black silhouette": [cut_out(0 * PHOTO, BYTES)],
    "a white palette first": [encoded(paletted((~OBJECT).astype(np.uint8), np.array([[255] * 3, [0] * 3])))],
    "grey of 2 bits": [packed(OBJECT.astype(np.uint8) * 1, 2)],
}


@pytest.mark.parametrize("masks", OBJECTS.values(), ids=OBJECTS)
def test_masks_of_an_object(masks):
    labels = mask_kinds.labels_together(looks(*masks))
    assert labels is None
    for mask in masks:
        found = mask_kinds.marked(mask, "x", labels)
        assert found.dtype == np.uint8
        expected = BLURRED > 127 if mask == OBJECTS["a blurred edge"][0] else OBJECT
        np.testing.assert_array_equal(found, expected)


LABELS = {
    "two values": ([encoded(HALVES)], 0, (1, 2)),
    "two masks": ([encoded(np.uint8(1) * OBJECT), encoded(np.uint8(3) * OBJECT)], 0, (1, 3)),
    "one value that is not 1": ([encoded(np.uint8(8) * OBJECT)], 0, (8,)),
    "one value with void": ([encoded(OBJECT + RIM)], 0, (1,)),
    "void in another mask": ([encoded(OBJECT.astype(np.uint8)), encoded(BYTES)], 0, (1,)),
    "a palette": ([encoded(paletted(HALVES, COLOURS))], 0, (1, 2)),
    "ones with a name": ([encoded(OBJECT.astype(np.uint8))], 1, (1,)),
    "30 names": ([encoded(THIRTY)], 30, tuple(range(1, 31))),
    "30 names with void": ([encoded(THIRTY + RIM)], 30, tuple(range(1, 31))),
    "200 names, white one": ([encoded(np.uint8(200) * OBJECT)], 200, (200,)),
    "nothing": ([encoded(0 * BYTES)], 0, ()),
}  # fmt: skip


@pytest.mark.parametrize(("masks", "named", "expected"), LABELS.values(), ids=LABELS)
def test_masks_of_labels(masks, named, expected):
    found = mask_kinds.labels_together(looks(*masks), named)
    assert found == expected
    for mask in masks:
        values = mask_kinds.marked(mask, "x", found)
        assert set(np.unique(values)) <= {0, 255, *expected}


UNCLEAR = {
    "holds the value 128, and masks beside it": [encoded(np.where(OBJECT, np.uint8(128), RIM))],
    "holds 30 values from 1 to 30, so that": [encoded(THIRTY)],
    "is compressed with loss, which labels are not, and 1.png holds labels": [
        encoded(BYTES, "JPEG"), encoded(HALVES),
    ],
    "is transparent in parts, which labels are not, and 1.png": [cut_out(PHOTO, BYTES), encoded(HALVES)],
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "masks"), UNCLEAR.items(), ids=UNCLEAR)
def test_masks_that_may_be_either(sentence, masks):
    with pytest.raises(InputError, match=f"^0.png {sentence}"):
        mask_kinds.labels_together(looks(*masks))


def test_several_colours_are_no_mask():
    image = np.zeros((H, W, 3), np.uint8)
    image[2:5, 3:9], image[8:11, 3:9] = (255, 0, 0), (0, 255, 0)
    with pytest.raises(InputError, match=r"^0\.png holds several colours: save it as labels"):
        looks(encoded(image))


def test_a_black_and_white_mask_with_a_transparent_corner_is_no_cut_out():
    opacity = np.full((H, W), 255, np.uint8)
    opacity[-2:, -2:] = 0
    mask = cut_out(white(OBJECT), opacity)
    np.testing.assert_array_equal(mask_kinds.marked(mask, "x", None), OBJECT)


def test_files_are_looked_at_together(tmp_path):
    for name, values in {"a": np.uint8(1) * OBJECT, "b": np.uint8(2) * OBJECT + RIM, "c": 0 * BYTES}.items():
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    a, b = mask_kinds.read_masks([tmp_path / "a.png", tmp_path / "b.png"])
    np.testing.assert_array_equal(a, OBJECT)
    np.testing.assert_array_equal(b, 2 * OBJECT + RIM)
    np.testing.assert_array_equal(mask_kinds.read_mask(tmp_path / "b.png"), 2 * OBJECT + RIM)
    with pytest.raises(InputError, match=r"c\.png marks nothing: mark the object in white"):
        mask_kinds.read_masks([tmp_path / "a.png", tmp_path / "c.png"])


def test_a_label_that_a_byte_does_not_hold(tmp_path):
    Image.fromarray(HALVES.astype(np.uint16) * 150).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png holds the value 300: number the classes from 1 to 254"):
        mask_kinds.read_mask(tmp_path / "a.png")


def test_a_pgm_whose_values_are_stretched(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 20\n\x01\x02")
    with pytest.raises(InputError, match=r"a\.pgm has another highest value than 255"):
        mask_kinds.read_mask(tmp_path / "a.pgm")
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 255\n\x01\x02")
    np.testing.assert_array_equal(mask_kinds.read_mask(tmp_path / "a.pgm"), [[1, 2]])
