"""Photos and masks as a source has them, made sure of; photos resized on the way from their bytes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.data.source import Reducing, Source
from fsjax.errors import InputError

MARGIN = 2
"""How many times as large as what it is resized to a photo stays that is decoded at a part of its size.

Then photos differ by 0.6 of 255 on average from ones that were decoded whole, and one pixel in a hundred
by more than 5; with 1 it would be 1.5 and 10. It is the margin of Pillow's own thumbnails.
"""

REDUCED = (1, 2, 4, 8)


def open_photo(source: Source, position: int, height: int, width: int) -> Image.Image:
    """Returns a photo resized bilinearly, with smoothing where it shrinks.

    A JPEG that is at least 4 times as high and as wide is decoded at 1/2, 1/4 or 1/8 of its size first, if
    its source can do that; every other photo comes out as `resize_image` of the whole photo.

    Args:
        source: of the photo.
        position: of the photo.
        height: of the result, in pixels.
        width: of the result.

    Raises:
        InputError: the photo is not of the size that its source gives.
    """
    if isinstance(source, Reducing):
        picture = source.picture(position, (MARGIN * height, MARGIN * width))
    else:
        picture = Image.fromarray(source.image(position))
    stored = source.size(position)
    found = picture.height, picture.width
    if all(found != tuple(-(-side // part) for side in stored) for part in REDUCED):
        raise of_another_size(source, position, "photo", found)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def open_mask(
    source: Source, position: int, class_ids: Sequence[int], way: int | None
) -> UInt8[np.ndarray, "h w"]:
    """Returns `source.mask` of a photo.

    Raises:
        InputError: the mask is not of the size that its source gives.
    """
    mask = source.mask(position, class_ids, way)
    if mask.shape != tuple(source.size(position)):
        raise of_another_size(source, position, "mask", mask.shape)
    return mask


def of_another_size(source: Source, position: int, kind: str, found: Sequence[int]) -> InputError:
    """Returns the error of a photo or mask whose height and width are not what the source says of both."""
    return InputError(
        f"the {kind} of image '{source.ids[position]}' is {by(found)} and the data set gives "
        f"{by(source.size(position))}; make photo and mask the same size."
    )


def by(shape: Sequence[int]) -> str:
    """Returns a height and a width as a sentence names them."""
    return f"{shape[0]}x{shape[1]}"
