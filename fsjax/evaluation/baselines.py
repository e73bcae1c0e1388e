"""What needs no training: the rows that a trained network has to beat."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float, Int, Int32, UInt8

from fsjax.episode import IGNORED
from fsjax.models.layers.local_mean import local_mean
from fsjax.models.layers.padding import inside

UNSEEN = 128.0  # pixels of every colour alike that a histogram is taken to hold beforehand


def color_histogram_logits(
    support_images: UInt8[Array, "n k hs ws 3"],
    support_masks: UInt8[Array, "n k hs ws"],
    support_sizes: Int[Array, "n k 2"],
    query_images: UInt8[Array, "t hq wq 3"],
    query_sizes: Int[Array, "t 2"],
    *,
    bins: int = 16,
    smoothing: float = 4.0,
) -> Float[Array, "t hq wq classes"]:
    """Classifies the queries' pixels by colour: log likelihoods, averaged locally.

    A class has the joint RGB histogram of its pixels in all supports, blurred over neighbouring bins. Classes
    are equally likely beforehand, as they are for prototypes: with the supports' class frequencies as
    the prior, nearly every pixel would be background. A class without pixels expects all colours alike.

    Args:
      support_images: RGB, 0 to 255.
      support_masks: 0 background, 1..N the ways, 255 not looked at.
      support_sizes: height and width in pixels; padding is not looked at.
      query_images: as the supports.
      query_sizes: as the supports'.
      bins: of each channel.
      smoothing: standard deviation in pixels of the average over a query's log likelihoods.

    Returns:
      [T, Hq, Wq, N + 1], background first.
    """
    classes = jnp.arange(support_masks.shape[0] + 1, dtype=support_masks.dtype)
    valid = inside(support_masks.shape[2:], support_sizes)
    of_class = (support_masks[None] == classes[:, None, None, None, None]) & valid[None]
    color = _color_bin(support_images, bins).reshape(-1)
    counts = jax.vmap(lambda weight: jnp.bincount(color, weight, length=bins**3))(
        of_class.reshape(len(classes), -1).astype(jnp.float32)
    )
    pixels = counts.sum(axis=-1, keepdims=True)
    likelihood = (_blur_bins(counts, bins) + UNSEEN / bins**3) / (pixels + UNSEEN)
    logits = jnp.log(likelihood).T[_color_bin(query_images, bins)]
    return jax.vmap(lambda x, size: local_mean(x, size, 1, smoothing))(logits, query_sizes)


def _color_bin(images: Array, bins: int) -> Array:
    level = images.astype(jnp.int32) * bins // 256
    return (level[..., 0] * bins + level[..., 1]) * bins + level[..., 2]


def _blur_bins(counts: Array, bins: int) -> Array:
    """Spreads each bin's count over its neighbours, (1, 2, 1) / 4 along each channel."""
    blur = np.eye(bins) / 2 + (np.eye(bins, k=1) + np.eye(bins, k=-1)) / 4
    blur = (blur / blur.sum(axis=0, keepdims=True)).astype(np.float32)
    cube = counts.reshape(-1, bins, bins, bins)
    spread = jnp.einsum("Rr,Gg,Bb,nrgb->nRGB", blur, blur, blur, cube, precision=Precision.HIGHEST)
    return spread.reshape(counts.shape)


def any_object(labels: UInt8[Array | np.ndarray, "h w"]) -> Int32[Array | np.ndarray, "h w"]:
    """Returns 1 wherever the truth shows an object of any class (1..254), 0 elsewhere."""
    return ((labels > 0) & (labels < IGNORED)).astype(np.int32)
