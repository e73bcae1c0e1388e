"""Shapes of what is handed to compiled functions, where neither photos nor weights are at hand."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax.episode import Episode
from fsjax.models.method import Networked
from fsjax.models.variables import Variables

Shapes = Any
"""A tree of `jax.ShapeDtypeStruct`."""


def stacked(tree: Any, *lead: int) -> Shapes:
    """Returns the shapes of a tree's leaves with more axes in front."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lead, *leaf.shape), leaf.dtype), tree)


def variables_of(method: Networked) -> Variables:
    """Returns the shapes of a method's variables."""
    return jax.eval_shape(method.init, jax.random.key(0))


def episode_of(config: ConfigDict, method: Networked) -> Episode:
    """Returns the shapes of an episode of `config.train`, as a training reads it."""
    train = config.train
    N, K, T, S = train.ways, train.shots, train.queries, train.size
    image = of(np.uint8, S, S, 3)
    if train.cached_features:
        blank = of(np.uint8, 1, S, S, 3), of(np.int32, 1, 2)
        features = jax.eval_shape(method.embed, {**variables_of(method), "head": {}}, *blank)
        image = of(np.float16, *features.map.shape[1:])
    return Episode(
        support_images=stacked(image, N, K),
        support_masks=of(np.uint8, N, K, S, S),
        support_sizes=of(np.int32, N, K, 2),
        query_images=stacked(image, T),
        query_sizes=of(np.int32, T, 2),
        query_masks=of(np.uint8, T, S, S),
        query_mask_sizes=of(np.int32, T, 2),
        class_ids=of(np.int32, N),
        weight=of(np.float32),
        index=of(np.int32),
    )


def of(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    """Returns the shape of an array."""
    return jax.ShapeDtypeStruct(shape, dtype)
