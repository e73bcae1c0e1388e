"""The programs that segment: each is traced and compiled once, whichever segmenters call it.

Methods and settings are compared by value, so that a run's checkpoints, an untrained network and a second
`Segmenter` of the same parts share what was compiled for the first one. All but `explain` are pmapped: their
arguments, but for the variables' own replication, have an axis of devices first.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

from fsjax.models.method import Explainable, Segmenting, Trainable
from fsjax.models.scales import mean_prediction, rescale

KEPT = 16
"""How many programs of a kind are kept."""

Program = Callable[..., Any]


@lru_cache(KEPT)
def embed(method: Segmenting) -> Program:
    """Returns `(variables, images, sizes, factor)` -> features of photos rescaled by the factor."""

    def of_photos(variables, images, sizes, factor):
        return method.embed(variables, *rescale(images, sizes, factor, method.side))

    return jax.pmap(of_photos, static_broadcasted_argnums=3)


@lru_cache(KEPT)
def embed_frozen(method: Trainable) -> Program:
    """Returns `(variables, images, sizes)` -> the map of features that a frozen extractor has, as float16."""
    return jax.pmap(lambda *photos: method.embed(*photos).map.astype("float16"))


@lru_cache(KEPT)
def describe(method: Segmenting) -> Program:
    """Returns `(variables, features, masks, sizes)` -> descriptions of photos, each with several masks."""

    def of_photos(variables, features, masks, sizes):
        of_masks = jax.vmap(method.describe, (None, None, 0, 0), out_axes=(None, 0))
        return jax.vmap(of_masks, (None, 0, 0, 0))(variables, features, masks, sizes)

    return jax.pmap(of_photos)


@lru_cache(KEPT)
def fit(method: Segmenting) -> Program:
    """Returns `(variables, descriptions, present)` -> what is known of the classes of episodes."""
    return jax.pmap(jax.vmap(jax.vmap(method.fit, (None, 0, 0)), (None, 0, 0)))


@lru_cache(KEPT)
def segment(method: Segmenting, settings: Any, average: str) -> Program:
    """Returns `(variables, fitted, queries at each scale, shape, sizes)` -> logits, averaged over scales."""

    def of_episodes(variables, fitted, queries, shape, sizes):
        def one(fitted, queries, sizes):
            logits = [
                method.segment(variables, fitted, at_scale, shape, sizes, settings) for at_scale in queries
            ]
            return mean_prediction(logits, average)

        return jax.vmap(jax.vmap(one, (0, None, None)))(fitted, queries, sizes)

    return jax.pmap(of_episodes, static_broadcasted_argnums=3)


@lru_cache(KEPT)
def explain(method: Explainable, settings: Any) -> Program:
    """Returns `(variables, fitted, queries)` -> what the comparison of cells finds, of one query."""
    return jax.jit(lambda variables, fitted, queries: method.explain(variables, fitted, queries, settings))
