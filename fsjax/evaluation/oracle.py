"""The oracle's supports: the queries themselves, with their truth."""

from typing import Any

import jax
import numpy as np

from fsjax.data.images import mask_of_way
from fsjax.segmenter import Segmenter


def shown_the_truth(
    segmenter: Segmenter, ways: int, features: Any, truths: np.ndarray, sizes: np.ndarray
) -> tuple[Any, Any]:
    """Describes queries by their own truth, all T of them for every way.

    Args:
      segmenter: describes.
      ways: N.
      features: of the queries, leaves [D, q, T, ...].
      truths: uint8 [D, q, E, T, H, W], their masks in E episodes.
      sizes: int32 [D, q, T, 2], the masks' valid sizes in pixels.

    Returns:
      Descriptions, leaves [D, q, E, N, T, ...].
    """
    D, q, E, T, *side = truths.shape
    masks = np.stack([mask_of_way(truths, way) for way in range(1, ways + 1)], 3)  # [D, q, E, N, T, H, W]
    by_photo = np.moveaxis(masks, 4, 2).reshape(D, q * T, E * ways, *side)
    mask_sizes = np.broadcast_to(sizes.reshape(D, q * T, 1, 2), (D, q * T, E * ways, 2))
    flat = jax.tree.map(lambda x: x.reshape(D, q * T, *x.shape[3:]), features)
    cells, shown = jax.tree.map(np.asarray, segmenter.describe(flat, by_photo, mask_sizes))

    def of_cells(x):
        x = x.reshape(D, q, 1, 1, T, *x.shape[2:])
        return np.broadcast_to(x, (D, q, E, ways, *x.shape[4:]))

    def of_shown(x):
        return np.moveaxis(x.reshape(D, q, T, E, ways, *x.shape[3:]), 2, 4)

    return jax.tree.map(of_cells, cells), jax.tree.map(of_shown, shown)
