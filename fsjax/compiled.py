"""Compiled functions that segmenters of equal methods and settings share.

Methods and settings are compared by value, so that a run's checkpoints, an untrained network and a second
`Segmenter` of the same parts are traced and compiled once for each shape and number of devices. The last
`KEPT` methods of each function stay compiled as long as the process lives; no variables are kept.

All but `adapt` and `explain` are pmapped over this process's devices: every argument has an axis of devices
first, but for static ones.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import jax

from fsjax.devices import local_pmap
from fsjax.models.method import Adaptable, Explainable, Segmenting, Trainable
from fsjax.models.scales import mean_prediction, rescale

KEPT = 16

Compiled = Callable[..., Any]
Maker = TypeVar("Maker", bound=Callable[..., Any])


def kept(maker: Maker) -> Maker:
    """Returns a function whose last results are kept by its arguments, which mypy still checks."""
    return cast(Maker, lru_cache(KEPT)(maker))


@kept
def embed(method: Segmenting) -> Compiled:
    """Returns `(variables, images, sizes, factor)` -> features of photos rescaled by the static factor."""

    def of_photos(variables, images, sizes, factor):
        return method.embed(variables, *rescale(images, sizes, factor, method.side))

    return local_pmap(jax.named_scope("backbone")(of_photos), static=3)


@kept
def embed_frozen(method: Trainable) -> Compiled:
    """Returns `(variables, images, sizes)` -> the map of features that a frozen extractor has, as float16."""
    return local_pmap(lambda *photos: method.embed(*photos).map.astype("float16"))


@kept
def describe(method: Segmenting) -> Compiled:
    """Returns `(variables, features, masks, sizes)` -> descriptions of photos, each with several masks."""

    def of_photos(variables, features, masks, sizes):
        of_masks = jax.vmap(method.describe, (None, None, 0, 0), out_axes=(None, 0))
        return jax.vmap(of_masks, (None, 0, 0, 0))(variables, features, masks, sizes)

    return local_pmap(jax.named_scope("supports")(of_photos))


@kept
def fit(method: Segmenting) -> Compiled:
    """Returns `(variables, descriptions, present)` -> what is known of the classes of episodes."""
    of_episodes = jax.vmap(jax.vmap(method.fit, (None, 0, 0)), (None, 0, 0))
    return local_pmap(jax.named_scope("supports")(of_episodes))


@kept
def segment(method: Segmenting, settings: Any, average: str) -> Compiled:
    """Returns `(variables, fitted, queries, shape, sizes)` -> logits.

    Queries are a tuple of their features at each scale, over which logits are averaged; the shape is static.
    """

    def of_episodes(variables, fitted, queries, shape, sizes):
        def one(fitted, queries, sizes):
            logits = [
                method.segment(variables, fitted, at_scale, shape, sizes, settings) for at_scale in queries
            ]
            return mean_prediction(logits, average)

        return jax.vmap(jax.vmap(one, (0, None, None)))(fitted, queries, sizes)

    return local_pmap(jax.named_scope("head")(of_episodes), static=3)


@kept
def adapt(method: Adaptable, settings: Any) -> Compiled:
    """Returns `(variables, images, masks, sizes)` -> the variables tuned to one episode's supports."""

    def to_supports(variables, images, masks, sizes):
        photos = images.reshape(-1, *images.shape[2:]), sizes.reshape(-1, 2)
        supports = method.below(variables, *photos, settings)
        return method.adapt(variables, supports, masks, sizes, settings)[0]

    return jax.jit(to_supports)


@kept
def explain(method: Explainable, settings: Any) -> Compiled:
    """Returns `(variables, fitted, queries)` -> how the method comes to its answer, of the first query."""
    return jax.jit(lambda variables, fitted, queries: method.explain(variables, fitted, queries, settings))
