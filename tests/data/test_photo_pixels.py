"""Photos as their pixels, against Pillow's own."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from fsjax.data import photo_files
from fsjax.errors import InputError
from tests.datasets.own_folders import decoded, encoded, paletted, pixels

PHOTO = pixels(300, 7, 3)  # of more rows than are converted at a time


def read(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    return photo_files.read_photo(tmp_path / "x")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_photos_are_upright(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(PHOTO, format, exif=exif)
    found = photo_files.pixels_of(content, "x")
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(found.values, expected)
    assert found.turned == (orientation in (5, 6, 7, 8))
    stored = photo_files.stored(content, "x")
    assert (found.size, found.turned) == (stored.size, stored.turned)


PLAIN = {
    "grey": lambda: encoded(PHOTO[..., 0]),
    "one bit": lambda: encoded(PHOTO[..., 0] > 99),
    "palette": lambda: encoded(paletted(PHOTO[..., 0], pixels(256, 3))),
    "JPEG in CMYK": lambda: encoded(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"),
    "progressive": lambda: encoded(PHOTO, "JPEG", progressive=True),
    "BMP": lambda: encoded(PHOTO, "BMP"),
    "PPM": lambda: encoded(PHOTO, "PPM"),
    "one pixel": lambda: encoded(PHOTO[:1, :1]),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_photos_of_many_kinds(tmp_path, make):
    expected = Image.open(io.BytesIO(make())).convert("RGB")
    found = read(tmp_path, make())
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_an_animation_the_first_picture_counts(tmp_path, format):
    first, second = (Image.new("RGB", (9, 6), colour) for colour in ("red", "blue"))
    content = encoded(
        first, format, save_all=True, append_images=[second], **{"WEBP": {"lossless": True}}.get(format, {})
    )
    assert (read(tmp_path, content) == (255, 0, 0)).all()


def test_what_is_transparent_is_on_white(tmp_path):
    opacity = np.zeros((300, 7, 1), np.uint8)
    opacity[280:] = 255
    found = read(tmp_path, encoded(np.dstack([PHOTO, opacity])))
    np.testing.assert_array_equal(found, np.where(opacity, PHOTO, 255))


def test_of_16_bits_the_upper_eight_are_taken(tmp_path):
    found = read(tmp_path, encoded(PHOTO[..., 0].astype(np.uint16) * 256 + 99))
    np.testing.assert_array_equal(found, np.repeat(PHOTO[..., :1], 3, -1))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
def test_floats_are_no_photo(tmp_path, value):
    with pytest.raises(InputError, match=r"x has pixels of a rare kind \(F\): save it with 8 bits"):
        read(tmp_path, encoded(np.full((4, 5), value, np.float32), "TIFF"))


def test_a_photo_is_read_as_it_is_stored(tmp_path):
    content = encoded(PHOTO, "JPEG")
    np.testing.assert_array_equal(read(tmp_path, content), decoded(photo_files.stored(content, "x")))
