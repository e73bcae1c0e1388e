"""Is the thing there at all? How much what was found in a photo resembles what the supports show.

An argmax always finds something. What it found differs from its surroundings in some direction of the
feature space, and so does each support's object from its own; the mean cosine of these directions over the
supports is the presence score. It is not of the papers. docs/own_photos.md says how well it separates photos
with the thing from others.
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
    unit,
)
from fsjax.segmenter.batches import shape_of
from fsjax.segmenter.segmentation import Segmentation


class Likeness(NamedTuple):
    """How much what is found as each class resembles the supports.

    Attributes:
      presence: 0 to 1; 0 where nothing is found.
      similarity: the mean cosine of the found pixels' features with the class's prototype, -1 to 1; 0 where
        nothing is found.
      cosines: of every cell's feature with each class's prototype, -1 to 1.
    """

    presence: Float[Array, "T N"]
    similarity: Float[Array, "T N"]
    cosines: Float[Array, "T h w N"]


def compared(method: Segmenting, features: Any) -> Features | None:
    """Returns those of a method's features by which photos are compared, None where it has no network's."""
    deep = method.deep(features) if isinstance(method, Comparing) else features
    return deep if isinstance(deep, Features) else None


class Known(NamedTuple):
    """What the supports show, by the features of K photos.

    Attributes:
      prototypes: the mean features of background and each class over the photos.
      directions: of each class in each photo the unit vector from background's mean feature to its own; zero
        where the photo is no support of it, or shows it everywhere.
      present: whether there is one.
    """

    prototypes: Prototypes
    directions: Float[Array, "N K c"]
    present: Bool[Array, "N K"]


def of_supports(
    method: Segmenting,
    features: Any,
    masks: UInt8[np.ndarray, "N K H W"],
    sizes: Int[np.ndarray, "K 2"],
    present: Bool[np.ndarray, "N K"],
) -> Known | None:
    """Returns what K photos show of N classes, None of a method without a network.

    Args:
      method: whose features.
      features: of the photos, leaves [1, K, ...].
      masks: of each photo for each class: 1 it, 0 background, 255 all else.
      sizes: the masks' valid heights and widths, in pixels.
      present: which photo is a support of which class.
    """
    deep = compared(method, features)
    return None if deep is None else _known(jax.tree.map(lambda x: x[0], deep), masks, sizes, present)


@jax.jit
def _known(
    features: Features,
    masks: UInt8[Array, "N K H W"],
    sizes: Int[Array, "K 2"],
    present: Bool[Array, "N K"],
) -> Known:
    of_photos = jax.vmap(pool_classes)
    of_ways = jax.vmap(lambda of_way: of_photos(features.map, of_way, features.sizes, sizes))
    ways, background = (restricted(pooled, present) for pooled in of_ways(masks))
    both = ways.present & background.present
    directions = jnp.where(both[..., None], unit(ways.means - background.means), 0.0)
    return Known(average_shots(ways, background), directions, both)


def judged(
    method: Segmenting, known: Known | None, features: Any, found: Sequence[Segmentation]
) -> Sequence[Segmentation]:
    """Returns what was found in photos, with its presence, similarity and cosines, if something is known.

    Args:
      method: whose features.
      known: of the supports.
      features: of T photos, leaves [1, 1, T, ...].
      found: in as many of them, the first.
    """
    deep = compared(method, features)
    if known is None or deep is None:
        return found
    deep = jax.tree.map(lambda x: x[0, 0], deep)
    masks = [one.working_mask for one in found]
    sizes = [mask.shape for mask in masks]
    height, width = shape_of(sizes)
    T = len(deep.map)
    filled = np.zeros((T, height, width), np.uint8)
    valid = np.full((T, 2), (height, width), np.int32)
    for t, mask in enumerate(masks):
        filled[t, : mask.shape[0], : mask.shape[1]], valid[t] = mask, mask.shape
    like = jax.tree.map(np.asarray, _likenesses(known, deep, filled, valid))
    cells = np.asarray(deep.sizes)
    return [
        replace(
            one,
            presence=like.presence[t],
            similarity=like.similarity[t],
            cosines=like.cosines[t, : cells[t, 0], : cells[t, 1]].copy(),  # alone, without the batch
        )
        for t, one in enumerate(found)
    ]


@jax.jit
def _likenesses(known: Known, features: Features, masks: Array, sizes: Array) -> Likeness:
    one = jax.vmap(_likeness, (None, 0, 0, 0, 0))
    return one(known, features.map, features.sizes, masks, sizes)


def _likeness(
    known: Known,
    features: Float[Array, "h w c"],
    cells: Int[Array, "2"],
    mask: UInt8[Array, "H W"],
    pixels: Int[Array, "2"],
) -> Likeness:
    N, prototypes = len(known.present), known.prototypes.vectors

    def pooled(label: Any) -> Pooled:
        return masked_average_pooling(features, mask == label, cells, pixels)

    found = jax.vmap(pooled)(jnp.arange(1, N + 1))
    around = pooled(0)
    # Where a mask fills its photo, it is compared with the supports' background.
    background = jnp.where(around.present, around.means, prototypes[0])
    direction = unit(found.means - background[None])
    cosines = jnp.einsum("nc,nkc->nk", direction, known.directions, precision="highest")
    alike = jnp.sum(cosines, 1) / jnp.maximum(jnp.sum(known.present, 1), 1)
    maps = cosine_map(features, prototypes[1:])

    def mean_in(label: Any) -> Float[Array, " N"]:
        return masked_average_pooling(maps, mask == label, cells, pixels).means

    similarity = jnp.diagonal(jax.vmap(mean_in)(jnp.arange(1, N + 1)))
    return Likeness(
        jnp.where(found.present, jnp.clip(alike, 0, 1), 0.0),
        jnp.where(found.present, similarity, 0.0),
        maps,
    )
