"""Photos that are segmented together, and the arrays that their masks lie in."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from fsjax.data.images import InputSettings, input_size
from fsjax.data.resizing import padded, resize_image
from fsjax.models.method import Shape

ROUNDED = 64
"""Masks are made in arrays whose sides are multiples of this, so that few sizes of photos compile anew."""

LARGEST = 2048
"""Pixels of the long side at which the mask of a larger photo is made, and then enlarged."""


def as_input(photo: UInt8[np.ndarray, "H W 3"], inputs: InputSettings) -> tuple[np.ndarray, np.ndarray]:
    """Returns a photo as the network sees it, uint8 [S, S, 3], and its height and width there, int32 [2]."""
    height, width = input_size(photo.shape[0], photo.shape[1], inputs)
    resized = padded(resize_image(photo, height, width), inputs.size, inputs.size)
    return resized, np.array([height, width], np.int32)


def together(photos: Iterable[np.ndarray], batch: int, joint: bool) -> Iterator[list[np.ndarray]]:
    """Yields lists of at most `batch` photos, or one of all if they are to refine one another."""
    group: list[np.ndarray] = []
    for photo in photos:
        group.append(photo)
        if len(group) == batch and not joint:
            yield group
            group = []
    if group:
        yield group


def working_size(size: Shape) -> Shape:
    """Returns the height and width at which the mask of a photo is made."""
    scale = min(1.0, LARGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shape_of(sizes: Sequence[Shape]) -> Shape:
    """Returns the height and width of the arrays for masks of these sizes."""
    height, width = (-(-int(side) // ROUNDED) * ROUNDED for side in np.max(sizes, axis=0))
    return height, width
