"""Controls: what a method would score if it looked at something else than the support."""

import numpy as np
from jaxtyping import Bool, Int, UInt8

from fsjax.episode import IGNORED

ANY_OBJECT = "any_object"
ORACLE = "oracle"
WRONG_SUPPORTS = {"wrong_support_absent": False, "wrong_support_present": True}
"""Name of the row, and whether the class that the support shows is in the query."""

ONE_WAY = (ANY_OBJECT, *WRONG_SUPPORTS)


def any_object(labels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns where the truth shows an object of any class (1..254): what perfect objectness would answer."""
    return (labels > 0) & (labels < IGNORED)


def count_prediction(
    prediction: Bool[np.ndarray, "h w"] | Int[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"], ways: int
) -> Int[np.ndarray, "rows columns"]:
    """Counts the pixels of one query by truth (0..N, then 255) and prediction (0..N), on the host."""
    rows = np.where(truth == IGNORED, ways + 1, truth).astype(np.int64)
    cells = rows.ravel() * (ways + 1) + prediction.ravel().astype(np.int64)
    return np.bincount(cells, minlength=(ways + 2) * (ways + 1)).reshape(ways + 2, ways + 1)


def shown_classes(areas: Int[np.ndarray, " C"]) -> tuple[int, ...]:
    """Returns the ids of the classes of which a photo shows so many pixels."""
    return tuple((np.flatnonzero(areas) + 1).tolist())
