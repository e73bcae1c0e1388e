"""What the cycle comparison finds between two photos, for pictures (DPNet Figure 3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.cycle import match_cells
from fsjax.models.dpnet.head import Segmented
from fsjax.models.dpnet.pseudo_prototype import Supports, in_a_row


class Explanation(NamedTuple):
    """The cycle comparison of one support with one query.

    Maps are whole grids, padding included, and indices count the other grid's cells row by row.
    """

    forward: Int[Array, "hs ws"]  # of each support cell, its most similar query cell (DPNet Eq. 1)
    backward: Int[Array, "hq wq"]  # of each query cell, its most similar support cell (DPNet Eq. 2)
    foreground: Bool[Array, "hs ws"]
    similarity: Float[Array, "hq wq"]  # the largest cosine with a foreground cell
    confidence: Float[Array, "hq wq"]  # the discriminator's output, 0 to 1
    selected: Bool[Array, "hq wq"]  # the cells of the pseudo-prototype
    support_cells: Int[Array, "2"]  # valid heights and widths
    query_cells: Int[Array, "2"]
    aligned: bool | Bool[Array, ""]  # whether the outermost cells lie on a photo's outermost pixels


def explanation(supports: Supports, queries: Features, found: Segmented, *, aligned: bool) -> Explanation:
    """Returns what was found between the first way's first support and the first query.

    Args:
      supports: of one episode, [1, N, K, ...].
      queries: what is compared of its queries, [1, T, h, w, c].
      found: in these.
      aligned: where the cells lie; see `Explanation`.
    """
    comparison, confidence, selected = jax.tree.map(
        lambda x: x[0, 0, 0, 0], (found.comparison, found.confidence, found.selected)
    )
    cells, foreground = jax.tree.map(lambda x: x[0, 0, 0], (supports.cells, supports.shown.foreground))
    query = jax.tree.map(lambda x: x[0, 0], queries)
    (of_support, _), (of_query, _) = in_a_row(cells), in_a_row(query)
    of_foreground = match_cells(of_support, of_query, foreground, jnp.ones(len(of_query), bool))
    support_grid, query_grid = cells.map.shape[:2], query.map.shape[:2]
    return Explanation(
        forward=comparison.matches.forward.reshape(support_grid),
        backward=comparison.matches.backward.reshape(query_grid),
        foreground=foreground.reshape(support_grid),
        similarity=of_foreground.similarity.reshape(query_grid),
        confidence=jax.nn.sigmoid(confidence).reshape(query_grid),
        selected=selected.reshape(query_grid),
        support_cells=cells.sizes,
        query_cells=query.sizes,
        aligned=aligned,
    )
