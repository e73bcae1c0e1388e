"""Photos with what was found in them tinted and outlined, pixel for pixel."""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ImageColor
from scipy import ndimage

from fsjax.data.mask_colours import values_in
from fsjax.episode import IGNORED

WAY_COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Colours of way 1, 2, ... that colour-blind eyes tell apart (Okabe and Ito); they repeat after six."""

TINT = 0.35

_STRIP = 256
"""Rows that are tinted at a time: as floats a photo of a hundred million pixels would take gigabytes."""


def ink(way: int) -> str:
    """Returns the colour of way 1, 2, ..., as "#E69F00"."""
    return WAY_COLORS[(way - 1) % len(WAY_COLORS)]


def overlay(photo: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Returns a photo, pale where no way is, with each way tinted and outlined.

    Args:
      photo: it.
      mask: 0 background, 1 to N the ways, 255 what is neither.
    """
    shown = np.empty_like(photo)
    for top in range(0, len(photo), _STRIP):
        rows = slice(top, top + _STRIP)
        shown[rows] = _tinted(photo[rows], mask[rows])
    line = 2 * max(1, round(min(mask.shape) / 200)) + 1
    for way in values_in(mask):
        if way in (0, IGNORED):
            continue
        of_way = mask == way
        shown[_highest(of_way, line) & ~of_way] = 255
        shown[of_way & _highest(~of_way, line)] = ImageColor.getrgb(ink(int(way)))
    return shown


def palette() -> list[int]:
    """Returns the colours of labels 0 to 255 as a PNG's palette: background black, 255 white."""
    colors = [(0, 0, 0), *(ImageColor.getrgb(ink(way)) for way in range(1, IGNORED)), (255, 255, 255)]
    return [channel for color in colors for channel in color[:3]]


def _tinted(photo: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Returns a photo with each way tinted, and pale elsewhere, float [h, w, 3]."""
    pale = 0.6 * (0.6 * photo.mean(-1, keepdims=True) + 0.4 * photo) + 0.4 * 255
    colors = np.reshape(palette(), (-1, 3))[mask]
    tinted = (1 - TINT) * photo + TINT * colors
    return np.where(((mask == 0) | (mask == IGNORED))[..., None], pale, tinted)


def _highest(pixels: Bool[np.ndarray, "H W"], side: int) -> Bool[np.ndarray, "H W"]:
    """Says of each pixel whether one of those around it is set, in a square of so many pixels."""
    return ndimage.maximum_filter(pixels.view(np.uint8), side, mode="nearest").view(bool)
