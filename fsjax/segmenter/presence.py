"""Is the thing there at all? How much what was found in a photo resembles what the supports show.

An argmax always finds something. What it found differs from its surroundings in some direction of the feature
space, and so do the supports' objects from theirs; the cosine of both directions is the presence score. It is
not of the papers. docs/own_photos.md says how well it separates photos with the thing from others.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.method import Comparing, Segmenting
from fsjax.models.prnet.prototypes import (
    Pooled,
    Prototypes,
    average_shots,
    cosine_map,
    masked_average_pooling,
    pool_classes,
    restricted,
)
from fsjax.segmenter.batches import shape_of
from fsjax.segmenter.segmentation import Segmentation


class Likeness(NamedTuple):
    """How much what is found as each class resembles the supports.

    Attributes:
      presence: 0 to 1; 0 where nothing is found.
      similarity: the mean cosine of the found pixels' features with the class's prototype, -1 to 1; 0 where
        nothing is found.
    """

    presence: Float[Array, "T N"]
    similarity: Float[Array, "T N"]


def compared(method: Segmenting, features: Any) -> Features | None:
    """Returns those of a method's features by which photos are compared, None where it has no network's."""
    deep = method.deep(features) if isinstance(method, Comparing) else features
    return deep if isinstance(deep, Features) else None


@jax.jit
def prototypes(
    features: Features,
    masks: UInt8[Array, "N K H W"],
    sizes: Int[Array, "K 2"],
    present: Bool[Array, "N K"],
) -> Prototypes:
    """Returns the mean features of background and each class, over K photos.

    Args:
      features: of the photos, [K, ...].
      masks: of each photo for each class: 1 it, 0 background, 255 all else.
      sizes: the masks' valid heights and widths, in pixels.
      present: which photo is a support of which class.
    """
    of_photos = jax.vmap(pool_classes)
    of_ways = jax.vmap(lambda of_way: of_photos(features.map, of_way, features.sizes, sizes))
    ways, background = of_ways(masks)
    return average_shots(restricted(ways, present), restricted(background, present))


def judged(known: Prototypes, features: Features, found: Sequence[Segmentation]) -> list[Segmentation]:
    """Returns what was found in photos, with its presence and similarity.

    Args:
      known: of the supports.
      features: of T photos, [T, ...].
      found: in as many of them, the first.
    """
    masks = [one.working_mask for one in found]
    sizes = [mask.shape for mask in masks]
    height, width = shape_of(sizes)
    T = len(features.map)
    filled = np.zeros((T, height, width), np.uint8)
    valid = np.full((T, 2), (height, width), np.int32)
    for t, mask in enumerate(masks):
        filled[t, : mask.shape[0], : mask.shape[1]], valid[t] = mask, mask.shape
    like = jax.tree.map(np.asarray, _likenesses(known, features, filled, valid))
    return [
        replace(one, presence=like.presence[t], similarity=like.similarity[t]) for t, one in enumerate(found)
    ]


@jax.jit
def _likenesses(known: Prototypes, features: Features, masks: Array, sizes: Array) -> Likeness:
    one = jax.vmap(_likeness, (None, 0, 0, 0, 0))
    return one(known, features.map, features.sizes, masks, sizes)


def _likeness(
    known: Prototypes,
    features: Float[Array, "h w c"],
    cells: Int[Array, "2"],
    mask: UInt8[Array, "H W"],
    pixels: Int[Array, "2"],
) -> Likeness:
    N = known.present.shape[0] - 1

    def pooled(label: Any) -> Pooled:
        return masked_average_pooling(features, mask == label, cells, pixels)

    found = jax.vmap(pooled)(jnp.arange(1, N + 1))
    around = pooled(0)
    # Where a mask fills its photo, it is compared with the supports' background.
    background = jnp.where(around.present, around.means, known.vectors[0])
    direction = _cosine(found.means - background[None], known.vectors[1:] - known.vectors[:1])
    maps = cosine_map(features, known.vectors[1:])

    def mean_in(label: Any) -> Float[Array, " N"]:
        return masked_average_pooling(maps, mask == label, cells, pixels).means

    similarity = jnp.diagonal(jax.vmap(mean_in)(jnp.arange(1, N + 1)))
    return Likeness(
        jnp.where(found.present, jnp.clip(direction, 0, 1), 0.0), jnp.where(found.present, similarity, 0.0)
    )


def _cosine(a: Float[Array, "N c"], b: Float[Array, "N c"]) -> Float[Array, " N"]:
    return cosine_map(a[:, None], b)[jnp.arange(len(a)), 0, jnp.arange(len(a))]
