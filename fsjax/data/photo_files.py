"""People's own photos, made what records hold: upright JPEGs and PNGs of eight bits, without transparency.

A plain JPEG or PNG is stored as it is. What is not, is decoded, turned upright by its EXIF tag, put on white
where it is transparent, and stored as a PNG, which loses nothing; what was compressed with loss (a JPEG that
is to be turned, a lossy WebP) is stored as a JPEG of quality 95, because a PNG of it is many times larger.
Of 16 bits the upper eight are taken, as Pillow does by itself with colours.

What is not to be stored, as a photo to be segmented, is read as its pixels, by the same rules.
"""

import io
import warnings
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.data import pictures
from fsjax.errors import InputError

ORIENTATION = 0x0112
UPRIGHT = 1
QUALITY = 95

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF tag."""

_STRIP = 256
"""Rows that are converted at a time, so that a photo of a hundred million pixels is in memory about twice."""

_PLAIN_MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "MPO": ("L", "RGB"),  # a JPEG with a second one behind it, as telephones write them
    "PNG": ("1", "L", "P", "RGB"),
}


@dataclass(frozen=True)
class Photo:
    """A photo as it is stored.

    Attributes:
        encoded: a JPEG or PNG whose pixels `Image.convert("RGB")` returns.
        size: height and width in pixels, upright.
        turned: whether its EXIF tag turned it by a quarter, so that it was encoded width for height.
    """

    encoded: bytes
    size: tuple[int, int]
    turned: bool


class Pixels(NamedTuple):
    """A photo as its pixels.

    Attributes:
        values: uint8 RGB [H, W, 3], upright.
        turned: see `Photo`.
    """

    values: np.ndarray
    turned: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""
        return self.values.shape[0], self.values.shape[1]


def read_photo(path: str | PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the photo in a file, RGB, upright, and on white where it is transparent.

    Of a file with several pictures, as an animation, it is the first.

    Args:
        path: of a PNG, JPEG, WebP, TIFF, BMP, GIF or PPM of any kind.

    Raises:
        InputError: it is missing, no ordinary file, no picture, damaged, far too large, or has other than 8
            or 16 bits a channel.
    """
    return pixels_of(pictures.encoded_of(path), str(path)).values


def pixels_of(encoded: bytes, where: str) -> Pixels:
    """Returns a photo, decoded to its last row.

    Args:
        encoded: the photo's bytes.
        where: it lies, for sentences.

    Raises:
        InputError: as `stored`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a tag or a second picture that it cannot read
        image = pictures.opened(encoded, where)
        orientation = orientation_of(image)
        image = pictures.decoded(encoded, where)
        values, as_encoded = _canvas(image, orientation)
        for top in range(0, image.height, _STRIP):
            rows = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
            as_encoded[top : top + _STRIP] = np.asarray(flattened(rows, where))
    return Pixels(values, orientation in (5, 6, 7, 8))


def stored(encoded: bytes, where: str) -> Photo:
    """Returns a photo as records hold it, decoded to its last row.

    Args:
        encoded: a PNG, JPEG, WebP or TIFF of any kind.
        where: it lies, for sentences.

    Raises:
        InputError: it is no picture, damaged, far too large, or has other than 8 or 16 bits a channel.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a tag or a second picture that it cannot read
        image = pictures.opened(encoded, where)
        orientation = orientation_of(image)
        plain = orientation == UPRIGHT and _is_plain(image)
        lossy = is_lossy(image, encoded)
        image = pictures.decoded(encoded, where)
        if not plain:
            image = flattened(upright(image, orientation), where)
            encoded = _encoded(image, lossy)
    return Photo(encoded, (image.height, image.width), orientation in (5, 6, 7, 8))


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF tag that says how a picture is to be turned, `UPRIGHT` if it has no sound one."""
    try:
        orientation = image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # a tag is whatever its writer made it, and without a sound one nothing is turned
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Returns a decoded picture turned by its EXIF tag; of a TIFF Pillow has done so already."""
    return image if image.format == "TIFF" or orientation == UPRIGHT else image.transpose(_TURNS[orientation])


def _canvas(image: Image.Image, orientation: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns room for an upright photo, and a view of it in which its pixels lie as they are decoded."""
    size = image.height, image.width
    if image.format == "TIFF":
        orientation = UPRIGHT
    values = np.empty((*(size[::-1] if orientation in (5, 6, 7, 8) else size), 3), np.uint8)
    view = values.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else values
    rows = -1 if orientation in (3, 4, 6, 7) else 1
    columns = -1 if orientation in (2, 3, 7, 8) else 1
    return values, view[::rows, ::columns]


def is_lossy(image: Image.Image, encoded: bytes) -> bool:
    """Says whether a picture's format has changed its pixels."""
    if image.format == "WEBP":
        return "VP8L" not in _riff_chunks(encoded)
    return image.format in ("JPEG", "MPO")


def flattened(image: Image.Image, where: str) -> Image.Image:
    """Returns a decoded picture as RGB, put on white where it is transparent.

    Raises:
        InputError: it has other than 8 or 16 bits a channel, or colours that Pillow does not know.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise InputError(f"{where} has pixels of a rare kind ({image.mode}): save it with 8 bits a channel.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def _is_plain(image: Image.Image) -> bool:
    known = image.mode in _PLAIN_MODES.get(image.format or "", ())
    return known and not image.has_transparency_data and ";16" not in pictures.raw_mode(image)


def _encoded(image: Image.Image, lossy: bool) -> bytes:
    encoded = io.BytesIO()
    if lossy:
        image.save(encoded, "JPEG", quality=QUALITY, subsampling=0, exif=b"")
    else:
        image.save(encoded, "PNG", compress_level=4, exif=b"")
    return encoded.getvalue()


def _riff_chunks(encoded: bytes) -> list[str]:
    """Returns the names of a WebP's chunks in their order."""
    names, place = [], 12
    while place + 8 <= len(encoded):
        names.append(encoded[place : place + 4].decode("latin-1"))
        size = int.from_bytes(encoded[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return names
