"""Attention of tokens to those that are seen.

XLA's CPU backend computes all heads of all photos at once, pass after pass over matrices that no cache holds.
There one head is taken after another, which is two to three times as fast and, without gradients, takes the
memory of one head of one photo; for gradients the weights of all are kept, unless `model.remat` has them
computed again. `python -m benchmarks.vit` measures what it is part of. Elsewhere it is JAX's own attention.
Which it is is decided when a program is lowered for a platform, as that of convolutions.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

UNSEEN = -1e30
"""The logit of what is not seen; finite, so that nothing becomes NaN."""


def attention(
    query: Float[Array, "b t n head"],
    key: Float[Array, "b s n head"],
    value: Float[Array, "b s n head"],
    seen: Bool[Array, "b s"],
) -> Float[Array, "b t n head"]:
    """Returns softmax(q k^T / sqrt(head)) v of each head, in the type of its arguments.

    The softmax is computed in float32.

    Args:
      query: of each token and head.
      key: of what is attended to.
      value: likewise.
      seen: which of them count; one at least.
    """
    return jax.lax.platform_dependent(query, key, value, seen, cpu=by_head, default=_at_once)


def _at_once(query, key, value, seen):
    """`attention` by JAX's own."""
    return jax.nn.dot_product_attention(query, key, value, mask=seen[:, None, None])


def by_head(
    query: Float[Array, "b t n head"],
    key: Float[Array, "b s n head"],
    value: Float[Array, "b s n head"],
    seen: Bool[Array, "b s"],
) -> Float[Array, "b t n head"]:
    """Returns `attention`, one head of one photo after another.

    The weights of one head, t x s, are in memory at once; for gradients all are kept, b x n x t x s.
    """
    batch, heads = query.shape[0], query.shape[2]
    scale = query.shape[-1] ** -0.5
    hidden = jnp.where(seen, 0.0, UNSEEN)

    def of_head(parts: tuple[Array, Array, Array, Array]) -> Array:
        q, k, v, unseen = parts
        logits = jnp.matmul(q * scale, k.T, preferred_element_type=jnp.float32) + unseen[None]
        weights = jnp.exp(logits - logits.max(-1, keepdims=True))
        taken = jnp.matmul(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
        return (taken / weights.sum(-1, keepdims=True)).astype(v.dtype)

    apart = [x.swapaxes(1, 2).reshape(batch * heads, x.shape[1], -1) for x in (query, key, value)]
    taken = jax.lax.map(of_head, (*apart, jnp.repeat(hidden, heads, axis=0)))
    return taken.reshape(batch, heads, *taken.shape[1:]).swapaxes(1, 2)
