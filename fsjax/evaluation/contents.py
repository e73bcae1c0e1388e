"""What a query shows, beside what is asked for: why an episode may be hard."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

_NEIGHBOURS = np.ones((3, 3), int)  # corners touch, too


class Content(NamedTuple):
    """What a query shows."""

    parts: tuple[int, ...]  # for each way, the connected parts of its truth
    labelled: int  # the classes of the data set that it shows, whether they are asked for or not


def connected_parts(mask: UInt8[np.ndarray, "h w"], ways: int) -> tuple[int, ...]:
    """Returns how many connected parts the truth of each way has, on the pixels that are scored.

    They are not quite objects: one behind a pole is two parts, and two that touch are one, unless void lies
    between them. Stored masks of a class do not keep its objects apart.

    Args:
      mask: 0, 1..N, 255.
      ways: N.
    """
    return tuple(int(ndimage.label(mask == way, _NEIGHBOURS)[1]) for way in range(1, ways + 1))
