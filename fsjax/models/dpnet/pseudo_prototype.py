"""Prototypes of supports, and pseudo-prototypes of queries (DPNet 4.2).

The leading axes are those of a batch of episodes: B episodes, N ways, T queries, K shots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.dpnet.cycle import Matches, cycle_consistent, forward_matched, match_cells
from fsjax.models.layers.padding import inside
from fsjax.models.layers.resize import resize, resize_adjoint

PSEUDO_PROTOTYPES = ("off", "global", "cosine", "ccm")
"""Which query cells a pseudo-prototype averages: none (it is then the prototype), all of them, those that
forward matches lead to, or those of the whole cycle comparison (DPNet Table 4)."""


class Supports(NamedTuple):
    """All that segmenting needs of the supports; cells are counted row by row."""

    prototypes: Float[Array, "B N K C"]  # P
    compared: Float[Array, "B N K cells c"]  # features before the last ReLU
    foreground: Bool[Array, "B N K cells"]  # none of it padding
    valid: Bool[Array, "B N K cells"]  # False for padding


class Comparison(NamedTuple):
    """What the cycle comparison finds in each query, for each way and shot."""

    matches: Matches  # all [B, N, T, K, cells of the support or of the query]
    forward: Bool[Array, "B N T K cells"]  # query cells to which forward matches lead
    candidates: Bool[Array, "B N T K cells"]  # the confidence locations C


def soft_mask(
    selected: Bool[Array, "H W"],
    shape: tuple[int, int],
    cells: Int[Array, "2"],
    pixels: Int[Array, "2"],
) -> Float[Array, "h w"]:
    """Returns a mask on the grid of the features, 0 to 1, as CANet makes it: bilinearly, align_corners.

    That samples one point a cell, between which a small object may vanish; such a mask is resized by area
    instead, and scaled to a largest value of 1. (PRNet pools exactly under the mask of full size; DPNet's
    prototype is CANet's, its eps of 5e-4 included, for scores that can be compared.)
    """
    mask = selected.astype(jnp.float32)
    sampled = resize(mask[..., None], shape, pixels, cells, align_corners=True)[..., 0]
    area = resize_adjoint(mask, shape, in_size=cells, out_size=pixels, align_corners=True)
    area = area / jnp.maximum(jnp.max(area), 1e-6)
    return jnp.where(jnp.any(sampled > 0), sampled, area)


def masked_mean(features: Float[Array, "h w C"], mask: Float[Array, "h w"]) -> Float[Array, " C"]:
    """Returns the prototype P: features averaged by a soft mask, its area plus 5e-4 (CANet)."""
    total = jnp.einsum("hwc,hw->c", features, mask, precision=Precision.HIGHEST)
    return total / (jnp.sum(mask) + 5e-4)


def foreground_cells(mask: Float[Array, "h w"]) -> Bool[Array, "h w"]:
    """Returns the cells with more than half a foreground, or if there is none the one with the most."""
    above = mask > 0.5
    most = (jnp.arange(mask.size).reshape(mask.shape) == jnp.argmax(mask)) & (mask > 0)
    return jnp.where(jnp.any(above), above, most)


def summarize_supports(
    merged: Float[Array, "B N K h w C"],
    compared: Float[Array, "B N K h w c"],
    cells: Int[Array, "B N K 2"],
    masks: UInt8[Array, "B N K H W"],
    pixels: Int[Array, "B N K 2"],
) -> Supports:
    """Pools each support under its own way, and labels its cells.

    Args:
      merged: features that prototypes are averages of.
      compared: features that matches are found by.
      cells: valid heights and widths of both.
      masks: 0 background, 1..N the ways, 255 ignored: neither foreground nor pooled.
      pixels: valid heights and widths of the masks.
    """
    shape = merged.shape[3:5]
    way = jnp.arange(1, masks.shape[1] + 1, dtype=masks.dtype)[None, :, None, None, None]

    def one(merged, selected, cells, pixels):
        mask = soft_mask(selected, shape, cells, pixels)
        return masked_mean(merged, mask), foreground_cells(mask).reshape(-1)

    prototypes, foreground = _over(one, 3)(merged, masks == way, cells, pixels)
    valid = inside(shape, cells).reshape(*cells.shape[:3], -1)
    flat = compared.reshape(*compared.shape[:3], -1, compared.shape[-1])
    return Supports(prototypes, flat, foreground, valid)


def compare(
    supports: Supports, queries: Float[Array, "B T h w c"], cells: Int[Array, "B T 2"], tile: int
) -> Comparison:
    """Matches every support with every query of its episode.

    Args:
      supports: of `summarize_supports`.
      queries: the queries' features before the last ReLU.
      cells: their valid heights and widths.
      tile: see `match_cells`.
    """
    B, T, h, w, c = queries.shape

    def one(supports: Supports, query, valid):
        matches = match_cells(supports.compared, query, supports.valid, valid, tile=tile)
        foreground = supports.foreground
        return Comparison(
            matches, forward_matched(matches, foreground), cycle_consistent(matches, foreground)
        )

    by_shot = jax.vmap(one, (0, None, None))
    by_query = jax.vmap(by_shot, (None, 0, 0))
    by_way = jax.vmap(by_query, (0, None, None))
    valid = inside((h, w), cells).reshape(B, T, h * w)
    return jax.vmap(by_way)(supports, queries.reshape(B, T, h * w, c), valid)


def select(
    kind: int | Int[Array, ""],
    comparison: Comparison,
    confidence: Float[Array, "B N T K cells"],
    valid: Bool[Array, "B T cells"],
    beta: float | Float[Array, ""],
) -> Bool[Array, "B N T K cells"]:
    """Returns the query cells that make up the pseudo-prototype: C' for the cycle comparison (DPNet 4.2).

    Args:
      kind: index in `PSEUDO_PROTOTYPES`; may be traced, so that an ablation compiles once.
      comparison: of `compare`.
      confidence: h, the discriminator's output, 0 to 1.
      valid: False for the queries' padding.
      beta: what the confidence must exceed.
    """
    everywhere = jnp.broadcast_to(valid[:, None, :, None], comparison.forward.shape)
    reliable = comparison.candidates & (confidence > beta)
    nowhere = jnp.zeros_like(reliable)
    return jnp.stack([nowhere, everywhere, comparison.forward, reliable])[kind]


def pseudo_prototypes(
    queries: Float[Array, "B T h w C"],
    selected: Bool[Array, "B N T K cells"],
    prototypes: Float[Array, "B N K C"],
) -> Float[Array, "B N T K C"]:
    """Returns P_q of DPNet Eq. 3: the mean of the selected cells, or P where none is (K = 0)."""
    cells = queries.reshape(*queries.shape[:2], -1, queries.shape[-1])
    weights = selected.astype(jnp.float32)
    total = jnp.einsum("bntkq,btqc->bntkc", weights, cells, precision=Precision.HIGHEST)
    count = jnp.sum(weights, -1)[..., None]
    return jnp.where(count > 0, total / jnp.maximum(count, 1), prototypes[:, :, None])


def _over(function, axes: int):
    """Maps a function over so many leading axes."""
    for _ in range(axes):
        function = jax.vmap(function)
    return function
