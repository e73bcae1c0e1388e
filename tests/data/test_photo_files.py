"""People's photos of every kind, against what NumPy says of their pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from fsjax.data import photo_files
from fsjax.errors import InputError
from tests.datasets.own_folders import decoded, encoded, pixels

H, W = 24, 40
GREY, RGB, ALPHA = pixels(H, W), pixels(H, W, 3), pixels(H, W, 1, seed=3)
DEEP = np.random.default_rng(7).integers(0, 65536, (H, W), np.uint16)
PALETTE = pixels(256, 3)

ORIENTED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}
"""What EXIF's orientations ask for: where the stored first row and first column are to be shown."""


def grey(values):
    return np.repeat(values[..., None], 3, -1)


def paletted(**options):
    image = Image.fromarray(GREY, "P")
    image.putpalette(PALETTE.tobytes())
    return encoded(image, **options)


def on_white(colours, alpha):
    alpha = alpha / 255
    return colours * alpha + 255 * (1 - alpha)


def oriented(tag):
    exif = Image.Exif()
    exif[photo_files.ORIENTATION] = tag
    return exif


EXACT = {
    "grey": (lambda: encoded(GREY), grey(GREY)),
    "RGB": (lambda: encoded(RGB), RGB),
    "one bit": (lambda: encoded(GREY > 127), grey(np.uint8(255) * (GREY > 127))),
    "palette": (paletted, PALETTE[GREY]),
    "16 bits": (lambda: encoded(DEEP), grey((DEEP >> 8).astype(np.uint8))),
    "WebP": (lambda: encoded(RGB, "WEBP", lossless=True), RGB),
    "TIFF": (lambda: encoded(RGB, "TIFF"), RGB),
    "TIFF, LZW": (lambda: encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "TIFF, 16 bits": (lambda: encoded(DEEP, "TIFF"), grey((DEEP >> 8).astype(np.uint8))),
}


@pytest.mark.parametrize(("make", "expected"), EXACT.values(), ids=EXACT)
def test_pixels_are_kept(make, expected):
    photo = photo_files.stored(make(), "x")
    assert photo.size == (H, W)
    assert not photo.turned
    np.testing.assert_array_equal(decoded(photo), expected)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_is_on_white(format):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    photo = photo_files.stored(encoded(np.concatenate([RGB, ALPHA], -1), format, **options), "x")
    np.testing.assert_allclose(decoded(photo), on_white(RGB, ALPHA), atol=1)


def test_grey_with_alpha_is_on_white():
    photo = photo_files.stored(encoded(np.concatenate([GREY[..., None], ALPHA], -1)), "x")
    np.testing.assert_allclose(decoded(photo), on_white(grey(GREY), ALPHA), atol=1)


def test_a_palette_with_transparent_indices_is_on_white():
    alpha = pixels(256, seed=9)
    photo = photo_files.stored(paletted(transparency=alpha.tobytes()), "x")
    expected = on_white(PALETTE[GREY], alpha[GREY][..., None])
    np.testing.assert_allclose(decoded(photo), expected, atol=1)


def test_one_transparent_colour_is_on_white():
    pure = RGB.copy()
    pure[3, 4] = pure[9, 9] = (12, 34, 56)
    photo = photo_files.stored(encoded(pure, transparency=(12, 34, 56)), "x")
    pure[3, 4] = pure[9, 9] = 255
    np.testing.assert_array_equal(decoded(photo), pure)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_plain_jpeg_stays_as_it_is(mode):
    jpeg = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=90)
    photo = photo_files.stored(jpeg, "x")
    assert photo.encoded == jpeg
    np.testing.assert_array_equal(decoded(photo), np.array(Image.open(io.BytesIO(jpeg)).convert("RGB")))


def test_a_telephones_jpeg_of_two_pictures_is_its_first():
    mpo = encoded(RGB, "MPO", save_all=True, append_images=[Image.fromarray(GREY)])
    assert Image.open(io.BytesIO(mpo)).format == "MPO"
    expected = np.array(Image.open(io.BytesIO(encoded(RGB, "JPEG"))))
    np.testing.assert_array_equal(decoded(photo_files.stored(mpo, "x")), expected)


@pytest.mark.parametrize("tag", ORIENTED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_a_photo_is_turned_upright(format, tag):
    options = {"lossless": True} if format == "WEBP" else {}
    photo = photo_files.stored(encoded(RGB, format, exif=oriented(tag), **options), "x")
    expected = ORIENTED[tag](RGB)
    np.testing.assert_array_equal(decoded(photo), expected)
    assert photo.size == expected.shape[:2]
    assert photo.turned == (tag >= 5)
    assert photo_files.orientation_of(Image.open(io.BytesIO(photo.encoded))) == photo_files.UPRIGHT


@pytest.mark.parametrize("tag", ORIENTED)
def test_a_turned_jpeg_stays_a_jpeg_and_changes_little(tag):
    smooth = np.stack([np.add.outer(np.arange(H), np.arange(W) * k) for k in (1, 2, 3)], -1).astype(np.uint8)
    jpeg = encoded(smooth, "JPEG", quality=90, exif=oriented(tag))
    photo = photo_files.stored(jpeg, "x")
    raw = np.array(Image.open(io.BytesIO(jpeg))).astype(int)
    assert Image.open(io.BytesIO(photo.encoded)).format == "JPEG"
    others = [other(raw) for number, other in ORIENTED.items() if number != tag]
    assert np.abs(decoded(photo) - ORIENTED[tag](raw)).mean() < 2
    assert min(np.abs(decoded(photo) - o).mean() for o in others if o.shape == (*photo.size, 3)) > 5


@pytest.mark.parametrize("tag", [0, 9, 77])
def test_a_senseless_tag_turns_nothing(tag):
    jpeg = encoded(RGB, "JPEG", exif=oriented(tag))
    assert photo_files.stored(jpeg, "x").size == (H, W)


def test_damaged_exif_turns_nothing():
    png = encoded(RGB, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(decoded(photo_files.stored(png, "x")), RGB)


def test_the_first_page_counts():
    pages = [Image.fromarray(RGB), Image.fromarray(GREY)]
    tiff = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(decoded(photo_files.stored(tiff, "x")), RGB)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_photo_that_was_cut_short_is_named(format):
    whole = encoded(RGB, format)
    for length in (10, len(whole) // 2, len(whole) - 30):
        with pytest.raises(InputError, match="my/photo is damaged, or no picture"):
            photo_files.stored(whole[:length], "my/photo")


def test_a_decompression_bomb_is_named():
    bomb = encoded(Image.new("1", (30_000, 10_000)))
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match="my/photo has over 100,000,000 pixels"):
        photo_files.stored(bomb, "my/photo")


def test_floating_point_values_are_refused():
    with pytest.raises(InputError, match=r"my/photo has pixels of a rare kind \(F\)"):
        photo_files.stored(encoded(GREY.astype(np.float32), "TIFF"), "my/photo")
