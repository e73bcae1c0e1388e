"""How query prototypes are made to segment the supports they came from (PRNet Eq. 4, PANet's alignment)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.layers.cross_entropy import cross_entropy
from fsjax.models.prnet.prototypes import Prototypes, cosine_map, masks_by_way

SupportLoss = Callable[
    [Features, UInt8[Array, "N K H W"], Int[Array, "N K 2"], Prototypes, float], Float[Array, ""]
]


def segmentation_loss(
    features: Features,
    masks: UInt8[Array, "images H W"],
    pixels: Int[Array, "images 2"],
    prototypes: Prototypes,
    scale: float,
) -> Float[Array, ""]:
    """Returns the mean cross-entropy, in nats, of images segmented by prototypes.

    The mean runs over all counted pixels of all images together; see `cross_entropy`.

    Args:
      features: of the images.
      masks: 0 background, 1..N the ways, 255 ignored.
      pixels: the masks' valid heights and widths.
      prototypes: of background and the ways; a class that is not present has neither logit nor pixels.
      scale: of the cosines before the softmax.
    """
    similarities = jax.vmap(cosine_map, (0, None))(features.map, prototypes.vectors)
    present = jnp.broadcast_to(prototypes.present[None], (masks.shape[0], *prototypes.present.shape))
    return cross_entropy(scale * similarities, masks, features.sizes, pixels, present)


def nway_support_loss(
    supports: Features,
    masks: UInt8[Array, "N K H W"],
    pixels: Int[Array, "N K 2"],
    p_q: Prototypes,
    scale: float,
) -> Float[Array, ""]:
    """Returns the cross-entropy of the supports over N + 1 classes (PRNet Eq. 4).

    Args:
      supports: features, [N, K, h, w, C].
      masks: 0 background, 1..N the ways, 255 ignored.
      pixels: their valid heights and widths.
      p_q: query prototypes (Eq. 3).
      scale: of the cosines before the softmax.
    """
    flat, flat_masks, flat_pixels = jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:]), (supports, masks, pixels)
    )
    return segmentation_loss(flat, flat_masks, flat_pixels, p_q, scale)


def panet_support_loss(
    supports: Features,
    masks: UInt8[Array, "N K H W"],
    pixels: Int[Array, "N K 2"],
    p_q: Prototypes,
    scale: float,
) -> Float[Array, ""]:
    """Returns PANet's alignment loss (Wang and others, ICCV 2019, 3.3), as its code averages it.

    Each support is segmented into its own way and background alone: pixels of other ways are ignored. Every
    image has a mean of its own, and these are added up over N K. A way without a predicted pixel adds nothing
    and still counts in N K; background without one keeps the zero vector, whose cosine is 0 everywhere.

    Args:
      supports: features, [N, K, h, w, C].
      masks: 0 background, 1..N the ways, 255 ignored.
      pixels: their valid heights and widths.
      p_q: query prototypes.
      scale: of the cosines before the softmax.
    """
    background = jnp.broadcast_to(p_q.vectors[:1], p_q.vectors[1:].shape)
    pairs = jnp.stack([background, p_q.vectors[1:]], 1)

    def of_image(features: Features, mask: Array, size: Array, vectors: Array) -> Array:
        both = Prototypes(vectors, jnp.ones(2, bool))
        alone = jax.tree.map(lambda x: x[None], features)
        return segmentation_loss(alone, mask[None], size[None], both, scale)

    by_shot = jax.vmap(of_image, (0, 0, 0, None))
    losses = jax.vmap(by_shot)(supports, masks_by_way(masks), pixels, pairs)
    return jnp.mean(jnp.where(p_q.present[1:, None], losses, 0.0))


SUPPORT_LOSSES: dict[str, SupportLoss] = {"nway": nway_support_loss, "panet": panet_support_loss}
"""By the names that `model.support_loss` may have."""
