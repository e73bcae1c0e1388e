"""Which support misleads? Each one segmented by the others."""

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fsjax.episode import IGNORED
from fsjax.segmenter.batches import working_size
from fsjax.segmenter.segmentation import labels_of
from fsjax.segmenter.segmenter import Fitted


def leave_one_out(fitted: Fitted) -> Float[np.ndarray, "K N"]:
    """Returns the IoU of each support's mask, segmented by all other supports, with what it was given as.

    A low one among high ones tells of a wrong mask, or of a photo unlike the others. It is segmented at its
    own scale alone. Weights that were tuned to the supports (PRNet Eq. 6) have seen all of them.

    Args:
      fitted: to K photos of N classes.

    Returns:
      0 to 1; NaN where a photo is no support of a class, or the only one.
    """
    supports = fitted.supports
    N, K = supports.present.shape
    found = np.full((K, N), np.nan)
    for k, truth in enumerate(supports.masks):
        others = supports.present.copy()
        others[:, k] = False
        asked = [n for n in range(N) if supports.present[n, k] and others[n].any()]
        if not asked:
            continue
        mask = _mask_by(fitted, k, others)
        valid = truth != IGNORED
        for n in asked:
            found[k, n] = _iou((mask == n + 1) & valid, (truth == n + 1) & valid)
    return found


def _mask_by(fitted: Fitted, k: int, present: Bool[np.ndarray, "N K"]) -> UInt8[np.ndarray, "H W"]:
    """Returns the mask of the support k by those that are present."""
    segmenter, supports = fitted.segmenter, fitted.supports
    again = replace(fitted, fitted=segmenter.fit_described(supports.descriptions, present[None, None, None]))
    features = jax.tree.map(lambda x: x[:, None, k : k + 1], supports.features)
    size = supports.masks[k].shape
    height, width = working_size(size)
    logits = np.asarray(again.answers([features], [(height, width)])[segmenter.method.final])
    return labels_of(logits[0, :height, :width], size)


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())
