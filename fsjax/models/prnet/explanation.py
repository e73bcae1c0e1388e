"""What the two stages of fusion find in a query, for pictures (PRNet Figure 1)."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, Int

from fsjax.models.prnet.fusion import Stages


class FusionExplanation(NamedTuple):
    """Similarity maps, cosines, of one query, and the cells that each stage of fusion selects.

    Maps are whole grids, padding included; classes are background, then the ways. Cells are equal parts of
    the photo (half-pixel centres).
    """

    m_q1: Float[Array, "h w classes"]  # with the support prototypes
    selected_1: Bool[Array, "h w classes"]  # hard selection (Eq. 8), from which the first stage learns
    m_q2: Float[Array, "h w classes"]  # with the prototypes fused once
    m_q3: Float[Array, "h w classes"]  # the mean of both (Eq. 10)
    selected_2: Bool[Array, "h w classes"]  # from which the second stage learns (Eq. 11)
    final: Float[Array, "h w classes"]  # with the prototypes fused twice
    query_cells: Int[Array, "2"]  # valid height and width


def explanation(stages: Stages, cells: Int[Array, "T 2"]) -> FusionExplanation:
    """Returns what was found in the first of T queries.

    Args:
      stages: of all queries.
      cells: valid heights and widths of their maps.
    """
    first = jax.tree.map(lambda x: x[0], stages)
    return FusionExplanation(**first._asdict(), query_cells=cells[0])
