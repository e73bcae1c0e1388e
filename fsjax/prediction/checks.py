"""The supports looked at: each segmented by the others, and a word about those that stand apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fsjax.segmenter import Fitted, leave_one_out

FAR_OFF = 1 / 3
"""A support is warned of where its IoU is below this part of the median of the others."""


class Checks(NamedTuple):
    """What is said of supports.

    Attributes:
      notes: of each, its IoUs in words.
      lines: for the terminal.
      warnings: of each that the others hardly find.
    """

    notes: list[list[str]]
    lines: list[str]
    warnings: list[str]


def check_of_supports(fitted: Fitted, names: Sequence[str]) -> Checks:
    """Segments each support by the others.

    Args:
      fitted: to them.
      names: of the photos.
    """
    ious = leave_one_out(fitted)
    known = [_known(fitted.classes, of_photo) for of_photo in ious]
    notes = [[f"{name}: IoU {100 * iou:.0f} by the others" for name, iou in one] for one in known]
    found = [", ".join(f"{name} {100 * iou:.0f}" for name, iou in one) for one in known]
    lines = [f"{name}: {one}" for name, one in zip(names, found, strict=True) if one]
    warnings = [
        _warning(name, class_name, ious[k, n], others)
        for k, name in enumerate(names)
        for n, class_name in enumerate(fitted.classes)
        for others in [_without(ious[:, n], k)]
        if len(others) > 1 and ious[k, n] < FAR_OFF * np.median(others)
    ]
    title = ["Each support, segmented by the others (IoU in percent):"] if lines else []
    return Checks(notes, [*title, *lines], warnings)


def _known(classes: Sequence[str], ious: Float[np.ndarray, " N"]) -> list[tuple[str, float]]:
    return [(name, iou) for name, iou in zip(classes, ious.tolist(), strict=True) if not np.isnan(iou)]


def _without(ious: Float[np.ndarray, " K"], k: int) -> Float[np.ndarray, " others"]:
    others = np.delete(ious, k)
    return others[~np.isnan(others)]


def _warning(name: str, class_name: str, iou: float, others: Float[np.ndarray, " n"]) -> str:
    return (
        f"Look at {name}: the other supports find its {class_name} with an IoU of {100 * iou:.0f}, and one "
        f"another's with {100 * np.median(others):.0f} (median). Is its mask right, and is it the same thing?"
    )
