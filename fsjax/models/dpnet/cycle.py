"""The cycle comparison: which cells of a query match a support's foreground both ways (DPNet 4.2).

Forward and backward matches are the argmax along the rows and along the columns of one matrix of cosines.
That matrix is never held whole: at 641x641 it has 6,561 x 6,561 entries for each pair of images.
`python -m benchmarks.cycle` measures both ways.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Int

SMALLEST_NORM = 1e-6
"""A shorter vector counts as this long, so that a zero vector has cosine 0."""


class Matches(NamedTuple):
    """The most similar cells of two images; cells are counted row by row."""

    forward: Int[Array, " support"]  # of every support cell: the query cell j* of DPNet Eq. 1
    backward: Int[Array, " query"]  # of every query cell: the support cell i* of DPNet Eq. 2
    similarity: Float[Array, " query"]  # the cosine of that backward match


def match_cells(
    support: Float[Array, "support c"],
    query: Float[Array, "query c"],
    support_valid: Bool[Array, " support"],
    query_valid: Bool[Array, " query"],
    *,
    tile: int = 256,
) -> Matches:
    """Returns the matches by cosine of DPNet Eq. 1 and Eq. 2, in float32; the lowest index breaks a tie.

    Args:
      support: features of the support's cells.
      query: features of the query's cells.
      support_valid: False for cells that never match, such as padding.
      query_valid: the same of the query.
      tile: so many rows of the matrix of cosines are held at a time. Under vmap each pair holds its own.
    """
    cells, channels = support.shape
    tiles = -(-cells // tile)
    rows = jnp.pad(_unit(support), [(0, tiles * tile - cells), (0, 0)]).reshape(tiles, tile, channels)
    valid = jnp.pad(support_valid, (0, tiles * tile - cells)).reshape(tiles, tile)
    columns = _unit(query)

    def compare(best, block):
        start, rows, valid = block
        cosines = jnp.einsum("sc,qc->sq", rows, columns, precision=Precision.HIGHEST)
        forward = jnp.argmax(jnp.where(query_valid[None], cosines, -jnp.inf), 1)
        of_valid = jnp.where(valid[:, None], cosines, -jnp.inf)
        similarity, backward = best
        here = jnp.max(of_valid, 0)
        better = here > similarity
        backward = jnp.where(better, start + jnp.argmax(of_valid, 0), backward)
        return (jnp.where(better, here, similarity), backward), forward

    nothing = jnp.full(query.shape[:1], -jnp.inf), jnp.zeros(query.shape[:1], jnp.int32)
    starts = tile * jnp.arange(tiles, dtype=jnp.int32)
    (similarity, backward), forward = jax.lax.scan(compare, nothing, (starts, rows, valid))
    return Matches(forward.reshape(-1)[:cells], backward, similarity)


def forward_matched(matches: Matches, foreground: Bool[Array, " support"]) -> Bool[Array, " query"]:
    """Returns the query cells to which a foreground cell's forward match leads."""
    nowhere = jnp.zeros(matches.backward.shape, bool)
    return nowhere.at[matches.forward].max(foreground)


def cycle_consistent(matches: Matches, foreground: Bool[Array, " support"]) -> Bool[Array, " query"]:
    """Returns the confidence locations C: matched from the foreground, and back to it (DPNet 4.2)."""
    return forward_matched(matches, foreground) & foreground[matches.backward]


def _unit(vectors: Float[Array, "cells c"]) -> Float[Array, "cells c"]:
    """Divides by the norm, exactly where it is a power of two; a reciprocal root would not be.

    XLA multiplies by the norm's reciprocal. Two cells of one direction and of different lengths may thus
    differ in the last bit of their cosines, which is then no tie.
    """
    norm = jnp.sqrt(jnp.sum(jnp.square(vectors), -1, keepdims=True))
    return vectors / jnp.maximum(norm, SMALLEST_NORM)
