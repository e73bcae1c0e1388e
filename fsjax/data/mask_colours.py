"""What the colours of a mask are: read strip by strip, for a hundred million pixels are much memory.

A cut-out is a picture that is opaque where an object is, and shows it there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from fsjax.episode import IGNORED

HALF = 127

_STRIP = 256
_TOLERANCE = 0.1
"""By which channels may differ, as shares of the brightest, within one colour."""


class Colours(NamedTuple):
    """What the colours of a mask are.

    Attributes:
        is_transparent: whether a pixel is not wholly opaque.
        is_grey: whether no pixel has a colour.
        is_one: whether the bright pixels have one colour, where all is opaque; the others may be the edge of
            what they mark.
        is_cut_out: whether it is transparent in parts and not black and white where it is opaque; a
            silhouette, all white or all black, is a cut-out, too.
    """

    is_transparent: bool
    is_grey: bool
    is_one: bool
    is_cut_out: bool


def colours_of(image: Image.Image) -> Colours:
    """Returns what the colours of a decoded mask are."""
    lowest_opacity, is_grey, is_black_and_white = IGNORED, True, True
    least, most = np.ones(3), np.zeros(3)
    tones = set()
    for _, rgba in _strips(image):
        rgb, opacity = rgba[..., :3], rgba[..., 3]
        lowest_opacity = min(lowest_opacity, int(opacity.min()))
        grey = _all_grey(rgb)
        is_grey = is_grey and grey
        if not grey and lowest_opacity == IGNORED:
            least, most = _widened(rgb, least, most)
        if is_black_and_white and grey:
            tones |= {*values_in(rgb[..., 0][opacity > HALF][None])}
        is_black_and_white = is_black_and_white and grey and tones <= {0, IGNORED}
        if lowest_opacity <= HALF and not is_black_and_white:
            return Colours(True, is_grey, False, True)
    is_silhouette = is_black_and_white and len(tones) == 1
    is_one = bool((most - least).max() <= _TOLERANCE)
    return Colours(lowest_opacity < IGNORED, is_grey, is_one, lowest_opacity <= HALF and is_silhouette)


def brightest_of(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Returns how bright each pixel of a decoded mask is: in its brightest channel, on black.

    Of a cut-out it is the opacity; of a palette that is not grey, 255 where the index is not 0.
    """
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode == "P":
        return _brightest_of_indices(np.asarray(image), palette_of(image))
    is_cut_out = image.has_transparency_data and colours_of(image).is_cut_out
    grey = np.empty((image.height, image.width), np.uint8)
    for top, rgba in _strips(image):
        opacity = rgba[..., 3].astype(np.uint16)
        brightest = IGNORED if is_cut_out else _brightest(rgba)
        grey[top : top + len(rgba)] = brightest * opacity // IGNORED
    return grey


def palette_of(image: Image.Image) -> UInt8[np.ndarray, "256 3"]:
    """Returns the colours of an image that has a palette, black where it has none."""
    colours = np.zeros((256, 3), np.uint8)
    known = np.asarray(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    colours[: len(known)] = known
    return colours


def values_in(labels: Integer[np.ndarray, "h w"]) -> list[int]:
    """Returns the values that a mask holds, 0 to 65535, in ascending order."""
    seen = np.zeros(2**16, bool)
    for top in range(0, len(labels), _STRIP):  # for NumPy counts with eight bytes a pixel
        counts = np.bincount(labels[top : top + _STRIP].ravel())
        seen[: len(counts)] |= counts > 0
    return np.flatnonzero(seen).tolist()


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """Yields rows of a picture as RGBA, with the number of the first."""
    for top in range(0, image.height, _STRIP):
        rows = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        yield top, np.asarray((rows.convert("RGB") if rows.mode == "CMYK" else rows).convert("RGBA"))


def _all_grey(rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
    return np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])


def _brightest(colours: np.ndarray) -> np.ndarray:
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def _widened(
    rgb: UInt8[np.ndarray, "h w 3"], least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the most share that each channel of a bright pixel has of the brightest one."""
    brightest = _brightest(rgb)
    bright = brightest > HALF
    if bright.any():
        shares = rgb[bright] / brightest[bright][:, None]
        least, most = np.minimum(least, shares.min(0)), np.maximum(most, shares.max(0))
    return least, most


def _brightest_of_indices(
    indices: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "256 3"]
) -> UInt8[np.ndarray, "h w"]:
    used = palette[values_in(indices)]
    if (used == used[:, :1]).all():
        return palette[:, 0][indices]
    return np.where(indices, np.uint8(IGNORED), np.uint8(0))
