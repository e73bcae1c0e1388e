"""Photos with what was found in them tinted and outlined, pixel for pixel."""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageColor, ImageFilter

from fsjax.episode import IGNORED

WAY_COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Colours of way 1, 2, ... that colour-blind eyes tell apart (Okabe and Ito); they repeat after six."""

TINT = 0.35


def ink(way: int) -> str:
    """Returns the colour of way 1, 2, ..., as "#E69F00"."""
    return WAY_COLORS[(way - 1) % len(WAY_COLORS)]


def overlay(photo: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Returns a photo, pale where no way is, with each way tinted and outlined.

    Args:
      photo: it.
      mask: 0 background, 1 to N the ways, 255 what is neither.
    """
    shown = photo.copy()
    background = (mask == 0) | (mask == IGNORED)
    grey = photo[background].mean(-1, keepdims=True)
    shown[background] = 0.6 * (0.6 * grey + 0.4 * photo[background]) + 0.4 * 255
    line = max(1, round(min(mask.shape) / 200))
    for way in np.unique(mask[~background]):
        of_way = mask == way
        color = np.array(ImageColor.getrgb(ink(int(way))))
        shown[of_way] = (1 - TINT) * photo[of_way] + TINT * color
        shown[_grown(of_way, line) & ~of_way] = 255
        shown[of_way & _grown(~of_way, line)] = color
    return shown


def palette() -> list[int]:
    """Returns the colours of labels 0 to 255 as a PNG's palette: background black, 255 white."""
    colors = [(0, 0, 0), *(ImageColor.getrgb(ink(way)) for way in range(1, IGNORED)), (255, 255, 255)]
    return [channel for color in colors for channel in color[:3]]


def _grown(pixels: Bool[np.ndarray, "H W"], by: int) -> Bool[np.ndarray, "H W"]:
    """Returns pixels with those around them, to so many pixels' distance."""
    grown = Image.fromarray(pixels.astype(np.uint8) * 255)
    for _ in range(by):
        grown = grown.filter(ImageFilter.MaxFilter(3))
    return np.asarray(grown) > 0
