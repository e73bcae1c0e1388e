"""Cross-entropy of logits that live on a coarser grid than their labels."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.episode import IGNORED
from fsjax.models.layers.padding import inside
from fsjax.models.layers.resize import resize

ABSENT = -1e4
"""The logit of a class without a prototype: no probability, yet finite (0 x inf is NaN)."""


def upsample(
    logits: Float[Array, "images h w classes"],
    shape: tuple[int, ...],
    cells: Int[Array, "images 2"],
    pixels: Int[Array, "images 2"],
    *,
    align_corners: bool = False,
) -> Float[Array, "images H W classes"]:
    """Resizes logits bilinearly from their cells to the labels' pixels.

    PRNet takes half-pixel centres, as PANet does; DPNet aligns the corners, as CANet does.
    """
    enlarge = partial(resize, shape=shape, align_corners=align_corners)
    return jax.vmap(lambda x, inside, outside: enlarge(x, in_size=inside, out_size=outside))(
        logits, cells, pixels
    )


def cross_entropy(
    logits: Float[Array, "images h w classes"],
    labels: UInt8[Array, "images H W"],
    cells: Int[Array, "images 2"],
    pixels: Int[Array, "images 2"],
    present: Bool[Array, "images classes"],
    *,
    align_corners: bool = False,
) -> Float[Array, ""]:
    """Returns the mean cross-entropy over all counted pixels of all images, in nats.

    Not counted are ignored pixels (255), padding, and pixels of a class that is not `present`: that class
    has no logit of its own either. With nothing to count the result is 0.
    """
    full = upsample(logits, labels.shape[1:], cells, pixels, align_corners=align_corners)
    full = jnp.where(present[:, None, None], full, ABSENT)
    target = jnp.where(labels == IGNORED, 0, labels).astype(jnp.int32)
    has_logit = jax.vmap(lambda row, index: row[index])(present, target)
    counted = inside(labels.shape[1:], pixels) & (labels != IGNORED) & has_logit
    own = jax.nn.one_hot(target, full.shape[-1], dtype=bool)  # an index would have a scatter for its gradient
    picked = jnp.sum(jnp.where(own, full, 0.0), -1)
    entropy = jax.nn.logsumexp(full, -1) - picked
    return jnp.sum(jnp.where(counted, entropy, 0.0)) / jnp.maximum(jnp.sum(counted), 1)
