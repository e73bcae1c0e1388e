"""Random variables and episodes, the same whenever they are drawn."""

from typing import Any

import jax
import numpy as np

from fsjax.episode import IGNORED, Episode

VOID = 2
"""Pixels of the band around what is labelled."""


def variables(shapes: Any, seed: int = 0) -> dict[str, Any]:
    """Returns variables whose features neither grow nor vanish over a hundred layers.

    Args:
      shapes: a tree of `jax.ShapeDtypeStruct`.
      seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    return dict(jax.tree.map_with_path(lambda path, leaf: _leaf(path[-1].key, leaf.shape, rng), shapes))


def _leaf(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "kernel":
        values = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[:-1]))
    elif name in ("scale", "var"):
        values = rng.uniform(0.3, 0.7, shape) if name == "scale" else rng.uniform(0.7, 1.3, shape)
    else:
        values = rng.normal(size=shape) / 10
    return np.asarray(values, np.float32)


def episodes(batch: int, ways: int, shots: int, queries: int, side: int, seed: int = 0) -> Episode:
    """Returns NumPy episodes [batch, ...] of rectangles, each class of a colour, with void around them.

    Args:
      batch: how many.
      ways: N.
      shots: K.
      queries: T.
      side: of all photos, in pixels.
      seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    colours = rng.uniform(30, 225, (ways + 1, 3))
    numbers = [way for _ in range(batch) for way in range(1, ways + 1)]
    supports = [[_photo(rng, colours, way, side) for _ in range(shots)] for way in numbers]
    shown = [[_photo(rng, colours, 1 + t % ways, side) for t in range(queries)] for _ in range(batch)]
    images, masks = (np.stack([[one[part] for one in row] for row in supports]) for part in (0, 1))
    of_queries = [np.stack([[one[part] for one in row] for row in shown]) for part in (0, 1)]
    sizes = np.full((batch, queries, 2), side, np.int32)
    lead = (batch, ways, shots)
    return Episode(
        images.reshape(*lead, side, side, 3), masks.reshape(*lead, side, side),
        np.full((*lead, 2), side, np.int32), of_queries[0], sizes, of_queries[1], sizes,
        np.tile(np.arange(1, ways + 1, dtype=np.int32), (batch, 1)), np.ones(batch, np.float32),
        np.arange(batch, dtype=np.int32),
    )  # fmt: skip


def _photo(
    rng: np.random.Generator, colours: np.ndarray, way: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a photo of a rectangle, and its mask."""
    mask = np.zeros((side, side), np.uint8)
    top, left = rng.integers(VOID, side // 3, 2)
    height, width = rng.integers(side // 3, side // 2, 2)
    mask[top - VOID : top + height + VOID, left - VOID : left + width + VOID] = IGNORED
    mask[top : top + height, left : left + width] = way
    photo = colours[np.where(mask == way, way, 0)] + rng.normal(0, 30, (side, side, 3))
    return np.clip(photo, 0, 255).astype(np.uint8), mask


def features(masks: np.ndarray, cells: int, channels: int, seed: int = 0) -> np.ndarray:
    """Returns float16 features [..., cells, cells, channels] that lean towards a direction of their label."""
    rng = np.random.default_rng(seed)
    at = np.arange(cells) * (masks.shape[-1] - 1) // max(cells - 1, 1)
    directions = rng.standard_normal((256, channels), np.float32)
    labels = masks[..., at[:, None], at]
    noise = rng.standard_normal((*labels.shape, channels), np.float32)
    return (directions[labels] + noise).astype(np.float16)
