"""Dropout of whole channels, a pure function of each image's key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def channel_dropout(
    x: Float[Array, "b h w c"],
    keys: Key[Array, "b"] | None,
    site: int,
    rate: float | Float[Array, ""],
) -> Float[Array, "b h w c"]:
    """Returns `x` with channels of each image zeroed by chance, and the others scaled up to the same mean.

    Args:
      x: feature maps.
      keys: an image's own; None, as in evaluation, drops nothing.
      site: tells the places of a network apart that share an image's key.
      rate: the probability that a channel is zeroed, 0 or more and less than 1.
    """
    if keys is None:
        return x
    channels = x.shape[-1:]
    keep = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, site), 1 - rate, channels))(keys)
    return jnp.where(keep[:, None, None], x / (1 - rate), 0)
