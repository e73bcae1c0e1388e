"""Crops and rotations of photos with their masks (DPNet 5.1): what is drawn, and what it does to arrays.

DPNet names "horizontal flip, randomly crop and randomly rotate" without numbers. The crop is CANet's (a
photo 1 to 1.5 times too large, cut at a random place), the rotation PFENet's (up to 10 degrees, in half of
the cases). The corners that a rotation uncovers are ImageNet's mean colour, which normalising makes 0 like
padding, and ignored pixels of the mask.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.episode import IGNORED

FILL = (124, 116, 104)
"""ImageNet's mean colour in RGB, 0 to 255."""


class Warp(NamedTuple):
    """A photo is resized to a square, rotated about its centre, and cut."""

    side: int  # of the square, in pixels
    angle: float  # counterclockwise, in degrees
    top: int  # the first row and column that are kept
    left: int
    size: int  # the side of what is kept, in pixels


def draw_warp(rng: np.random.Generator, size: int, crop: float, rotate: float) -> Warp:
    """Returns a random warp.

    Args:
        rng: five numbers are taken from it, whatever the settings.
        size: the side of the result, in pixels.
        crop: the square is U(1, crop) times as large as the result, which is cut from it anywhere.
        rotate: the rotation is U(-rotate, rotate) degrees in half of the cases, and none in the others.
    """
    scale, top, left, turned, angle = rng.random(5).tolist()
    side = round(size * (1 + scale * (crop - 1)))
    angle = rotate * (2 * angle - 1) if turned < 0.5 else 0.0
    places = side - size + 1
    return Warp(side, angle, int(top * places), int(left * places), size)


def warp_picture(picture: Image.Image, warp: Warp) -> Image.Image:
    """Returns a photo of the warp's square rotated bilinearly and cut; uncovered pixels are `FILL`."""
    if warp.angle:
        picture = picture.rotate(warp.angle, Image.Resampling.BILINEAR, fillcolor=FILL)
    return picture.crop((warp.left, warp.top, warp.left + warp.size, warp.top + warp.size))


def warp_mask(
    mask: UInt8[np.ndarray, "{warp.side} {warp.side}"], warp: Warp
) -> UInt8[np.ndarray, "{warp.size} {warp.size}"]:
    """Returns a mask of the warp's square rotated to the nearest pixel and cut; uncovered pixels are 255."""
    if warp.angle:
        turned = Image.fromarray(mask).rotate(warp.angle, Image.Resampling.NEAREST, fillcolor=IGNORED)
        mask = np.asarray(turned)
    return mask[warp.top : warp.top + warp.size, warp.left : warp.left + warp.size]
