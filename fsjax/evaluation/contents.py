"""What a query shows, beside what is asked for: why an episode may be hard."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from scipy import ndimage

from fsjax.evaluation.controls import shown_classes

_NEIGHBOURS = np.ones((3, 3), int)  # corners touch, too


class Content(NamedTuple):
    """What a query shows."""

    parts: tuple[int, ...]  # for each way, the connected parts of its truth
    labelled: int  # the classes of the data set that it shows, whether they are asked for or not


def content_of(mask: UInt8[np.ndarray, "h w"], ways: int, areas: Int[np.ndarray, " C"]) -> Content:
    """Returns what a query shows.

    Args:
      mask: its truth, 0, 1..N, 255.
      ways: N.
      areas: the pixels of each class of the data set.
    """
    return Content(connected_parts(mask, ways), len(shown_classes(areas)))


def told(contents: Sequence[Content]) -> dict[str, Any]:
    """Returns what a line of episodes.jsonl says of its queries' contents."""
    return {"parts": [list(c.parts) for c in contents], "labelled": [c.labelled for c in contents]}


def connected_parts(mask: UInt8[np.ndarray, "h w"], ways: int) -> tuple[int, ...]:
    """Returns how many connected parts the truth of each way has, on the pixels that are scored.

    They are not quite objects: one behind a pole is two parts, and two that touch are one, unless void lies
    between them. Stored masks of a class do not keep its objects apart.

    Args:
      mask: 0, 1..N, 255.
      ways: N.
    """
    return tuple(int(ndimage.label(mask == way, _NEIGHBOURS)[1]) for way in range(1, ways + 1))
