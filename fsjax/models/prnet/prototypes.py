"""Masked average pooling, prototypes and cosine maps (PRNet 3.2, Eq. 1 to Eq. 4).

Prototypes are raw means of features, never normalised before they are averaged; row 0 is background.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.episode import IGNORED
from fsjax.models.layers.padding import inside
from fsjax.models.layers.resize import resize_adjoint

SMALLEST_NORM = 1e-6
"""A shorter vector counts as this long, so that a zero vector has cosine 0 and finite gradients."""


class Prototypes(NamedTuple):
    """One vector for background and each way."""

    vectors: Float[Array, "*many classes channels"]  # row 0 is background, rows 1..N the ways
    present: Bool[Array, "*many classes"]  # False where no pixel was pooled; such a row is zero


class Pooled(NamedTuple):
    """The masked averages of some images, before they are averaged over shots."""

    means: Float[Array, "*images channels"]
    present: Bool[Array, "*images"]


def weighted_mean(features: Float[Array, "h w c"], weights: Float[Array, "h w"]) -> Pooled:
    """Returns the mean of the cells' features by weight; zero, and not present, where all weights are 0."""
    total = jnp.sum(weights)
    summed = jnp.einsum("hw,hwc->c", weights, features, precision="highest")
    return Pooled(summed / jnp.where(total > 0, total, 1.0), total > 0)


def masked_average_pooling(
    features: Float[Array, "h w c"],
    selected: Bool[Array, "H W"],
    cells: Int[Array, "2"],
    pixels: Int[Array, "2"],
) -> Pooled:
    """Pools features under a full-resolution mask: MAP of PRNet Eq. 1.

    PANet upsamples the features by a linear map U and averages them under the mask. Because
    sum((U f) m) = sum(f (U^T m)), the mask resized by the transpose of U gives the same mean without
    ever holding full-resolution features, and no small object vanishes.

    Args:
      features: the image's features.
      selected: the pixels to average.
      cells: the height and width of the valid features, in cells.
      pixels: the height and width of the valid mask, in pixels.
    """
    weights = resize_adjoint(selected.astype(jnp.float32), features.shape[:2], in_size=cells, out_size=pixels)
    return weighted_mean(features, weights)


def pool_classes(
    features: Float[Array, "h w c"],
    mask: UInt8[Array, "H W"],
    cells: Int[Array, "2"],
    pixels: Int[Array, "2"],
) -> tuple[Pooled, Pooled]:
    """Pools one photo under one class and under background: all that fusion needs to know of a support.

    Args:
      features: the photo's features.
      mask: 1 the class, 0 background, 255 all else.
      cells: the height and width of the valid features, in cells.
      pixels: the height and width of the valid mask, in pixels.
    """
    of_class = masked_average_pooling(features, mask == 1, cells, pixels)
    return of_class, masked_average_pooling(features, mask == 0, cells, pixels)


def masks_by_way(masks: UInt8[Array, "N K H W"]) -> UInt8[Array, "N K H W"]:
    """Returns each support's mask for its own way: 1 the way, 0 background, 255 other ways and void."""
    way = jnp.arange(1, masks.shape[0] + 1, dtype=masks.dtype)[:, None, None, None]
    return jnp.where(masks == way, 1, jnp.where(masks == 0, 0, IGNORED)).astype(masks.dtype)


def pool_supports(
    features: Float[Array, "N K h w c"],
    masks: UInt8[Array, "N K H W"],
    cells: Int[Array, "N K 2"],
    pixels: Int[Array, "N K 2"],
) -> tuple[Pooled, Pooled]:
    """Pools each support under its own way and under background, both [N, K, C].

    Background is what belongs to none of the episode's classes; an ignored pixel belongs to neither.
    """
    return jax.vmap(jax.vmap(pool_classes))(features, masks_by_way(masks), cells, pixels)


def mean_of_present(pooled: Pooled, axis: int | tuple[int, ...]) -> Pooled:
    """Averages over an axis of images, leaving out those in which nothing was pooled."""
    count = jnp.sum(pooled.present, axis)
    total = jnp.sum(jnp.where(pooled.present[..., None], pooled.means, 0.0), axis)
    return Pooled(total / jnp.maximum(count, 1)[..., None], count > 0)


def average_shots(ways: Pooled, background: Pooled) -> Prototypes:
    """Averages over shots, and background over ways as well (PRNet Eq. 1).

    Skipped is what is not present: a support that is not there, or shows nothing of the class.

    Args:
      ways: each support's mean under its own way, [N, K, C].
      background: each support's mean under background, [N, K, C].
    """
    foreground = mean_of_present(ways, 1)
    everywhere = mean_of_present(background, (0, 1))
    return Prototypes(
        jnp.concatenate([everywhere.means[None], foreground.means]),
        jnp.concatenate([everywhere.present[None], foreground.present]),
    )


def support_prototypes(
    features: Float[Array, "N K h w c"],
    masks: UInt8[Array, "N K H W"],
    cells: Int[Array, "N K 2"],
    pixels: Int[Array, "N K 2"],
) -> Prototypes:
    """Returns p_s of PRNet Eq. 1."""
    return average_shots(*pool_supports(features, masks, cells, pixels))


def leave_one_out_prototypes(
    features: Float[Array, "N K h w c"],
    masks: UInt8[Array, "N K H W"],
    cells: Int[Array, "N K 2"],
    pixels: Int[Array, "N K 2"],
) -> Prototypes:
    """Returns, for each shot k, the prototypes of all other shots: vectors [K, N + 1, C]."""
    ways, background = pool_supports(features, masks, cells, pixels)
    others = ~jnp.eye(masks.shape[1], dtype=bool)

    def without(kept: Bool[Array, " K"]) -> Prototypes:
        return average_shots(restricted(ways, kept[None]), restricted(background, kept[None]))

    return jax.vmap(without)(others)


def restricted(pooled: Pooled, present: Bool[Array, "*broadcast"]) -> Pooled:
    """Returns the same means with the images that are not there taken for absent."""
    return Pooled(pooled.means, pooled.present & present)


def cosine_map(
    features: Float[Array, "h w c"], vectors: Float[Array, "classes c"]
) -> Float[Array, "h w classes"]:
    """Returns the cosine of every cell's feature with every prototype, in [-1, 1] (PRNet Eq. 2's d)."""
    return jnp.einsum("hwc,nc->hwn", unit(features), unit(vectors), precision="highest")


def unit(vectors: Float[Array, "*dims c"]) -> Float[Array, "*dims c"]:
    """Returns vectors of length 1; a zero vector stays one, with finite gradients."""
    squared = jnp.sum(jnp.square(vectors), -1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, SMALLEST_NORM**2))


def predicted_classes(
    similarities: Float[Array, "h w classes"], present: Bool[Array, " classes"], cells: Int[Array, "2"]
) -> Int[Array, "h w"]:
    """Returns the most similar present class of every cell (the argmax of PRNet Eq. 2); padding is 255."""
    best = jnp.argmax(jnp.where(present[None, None], similarities, -jnp.inf), -1)
    return jnp.where(inside(similarities.shape[:2], cells), best, IGNORED)


def query_prototypes(
    features: Float[Array, "T h w c"], selected: Bool[Array, "T h w classes"]
) -> tuple[Prototypes, Prototypes]:
    """Pools queries under masks on their own grid (the MAP of PRNet Eq. 3, Eq. 7 and Eq. 11).

    Returns:
      The mean over all queries that hold a class, and each query's own prototypes ([T, N + 1, C]).
    """
    each = jax.vmap(jax.vmap(weighted_mean, (None, -1)))(features, selected.astype(jnp.float32))
    joint = mean_of_present(each, 0)
    return Prototypes(*joint), Prototypes(*each)
