"""Resizes of photos and masks on the host (Pillow), none of which loses an object; padding and mirroring."""

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from fsjax.episode import IGNORED


def resize_image(
    image: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Returns a photo resized bilinearly, with smoothing where it shrinks."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(
    mask: UInt8[np.ndarray, "h w"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Returns a mask resized to the nearest pixel, in which no object vanishes.

    A label of 1..254 that the resize would erase keeps one pixel: where the pixel nearest to its
    centroid falls, or beside it if that is the only pixel of another label.

    >>> mask = np.zeros((9, 9), np.uint8)
    >>> mask[3, 3] = 1
    >>> resize_mask(mask, 3, 3)
    array([[0, 0, 0],
           [0, 1, 0],
           [0, 0, 0]], dtype=uint8)
    """
    resized = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    if height >= mask.shape[0] and width >= mask.shape[1]:
        return resized  # every pixel is some pixel's nearest
    for label in lost_labels(mask, resized):
        row, column = _centre_pixel(mask == label)
        at = int((row + 0.5) * height / mask.shape[0]), int((column + 0.5) * width / mask.shape[1])
        resized.flat[_nearest_free(resized, *at)] = label
    return resized


def lost_labels(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h2 w2"]) -> np.ndarray:
    """Returns the labels of 1..254 that the first mask shows and the second does not."""
    labels = np.flatnonzero((_counts(before) > 0) & (_counts(after) == 0))
    return labels[(labels > 0) & (labels < IGNORED)]


def padded(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the array at the top left of zeros [height, width, ...]; itself where it has that size."""
    if array.shape[:2] == (height, width):
        return array
    result = np.zeros((height, width, *array.shape[2:]), array.dtype)
    result[: array.shape[0], : array.shape[1]] = array
    return result


def mirror(array: np.ndarray, size: Int32[np.ndarray, "2"]) -> np.ndarray:
    """Returns a padded photo or mask whose top-left rectangle of this size is mirrored left to right.

    Where the rectangle is all of it, the result is a view.
    """
    height, width = size.tolist()
    if array.shape[:2] == (height, width):
        return array[:, ::-1]
    result = array.copy()
    result[:height, :width] = array[:height, :width][:, ::-1]
    return result


def _counts(mask: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    # Several times as fast as np.bincount, which makes 64-bit integers of all pixels first.
    return np.array(Image.fromarray(mask).histogram())


def _centre_pixel(object_pixels: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(object_pixels)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(rows[nearest]), int(columns[nearest])


def _nearest_free(mask: np.ndarray, row: int, column: int) -> int:
    """Returns the flat index nearest to a pixel that is not the last pixel of a label."""
    alone = _counts(mask) == 1
    alone[[0, IGNORED]] = False
    rows, columns = np.indices(mask.shape)
    distance = (rows - row) ** 2.0 + (columns - column) ** 2.0
    return int(np.argmin(np.where(alone[mask], np.inf, distance)))
