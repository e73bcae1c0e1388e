"""Prototypes of supports, and pseudo-prototypes of queries (DPNet 4.2).

The leading axes are those of a batch of episodes: B episodes, N ways, T queries, K shots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Int

from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.cycle import Matches, cycle_consistent, forward_matched, match_cells
from fsjax.models.layers.padding import inside
from fsjax.models.layers.resize import resize, resize_adjoint

PSEUDO_PROTOTYPES = ("off", "global", "cosine", "ccm")
"""Which query cells a pseudo-prototype averages: none (it is then the prototype), all of them, those that
forward matches lead to, or those of the whole cycle comparison (DPNet Table 4)."""


class Shown(NamedTuple):
    """What photos show of one class each; cells are counted row by row."""

    prototype: Float[Array, "*photos C"]  # P
    foreground: Bool[Array, "*photos cells"]  # none of it padding


class Supports(NamedTuple):
    """All that segmenting needs of the supports; what a shot that is not present holds is never used."""

    cells: Features  # of every shot, before the last ReLU: what is compared, [*episodes, N, K, h, w, c]
    shown: Shown  # of every shot, [*episodes, N, K, ...]
    present: Bool[Array, "*episodes N K"]


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
    *,
    aligned: bool,
) -> Float[Array, "h w"]:
    """Returns a mask on the grid of the features, 0 to 1, as CANet makes it: bilinearly.

    That samples one point a cell, between which a small object may vanish; such a mask is resized by area
    instead, and scaled to a largest value of 1. (PRNet pools exactly under the mask of full size; DPNet's
    prototype is CANet's, its eps of 5e-4 included, for scores that can be compared.)

    Args:
      selected: the foreground; what it holds beyond `pixels` is not used.
      shape: height and width of the grid, padding included.
      cells: its valid height and width.
      pixels: the mask's valid height and width.
      aligned: whether the outermost cells lie on the outermost pixels (CANet's align_corners).
    """
    mask = selected.astype(jnp.float32)
    sampled = resize(mask[..., None], shape, pixels, cells, align_corners=aligned)[..., 0]
    area = resize_adjoint(mask, shape, in_size=cells, out_size=pixels, align_corners=aligned)
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


def show(
    merged: Float[Array, "*photos h w C"],
    cells: Int[Array, "*photos 2"],
    selected: Bool[Array, "*photos H W"],
    pixels: Int[Array, "*photos 2"],
    *,
    aligned: bool,
) -> Shown:
    """Pools photos under their masks, and labels their cells.

    Args:
      merged: features that prototypes are averages of.
      cells: their valid heights and widths.
      selected: the foreground.
      pixels: valid heights and widths of the masks.
      aligned: see `soft_mask`.
    """
    *_, h, w, _ = merged.shape

    def one(merged: Array, selected: Array, cells: Array, pixels: Array) -> Shown:
        mask = soft_mask(selected, (h, w), cells, pixels, aligned=aligned)
        return Shown(masked_mean(merged, mask), foreground_cells(mask).reshape(-1))

    for _ in cells.shape[:-1]:
        one = jax.vmap(one)
    return one(merged, selected, cells, pixels)


def compare(supports: Supports, queries: Features, tile: int) -> Comparison:
    """Matches every support with every query of its episode.

    Args:
      supports: of a batch of episodes.
      queries: what is compared of the queries, before the last ReLU, [B, T, h, w, c].
      tile: see `match_cells`.
    """

    def one(
        support: Array, support_valid: Array, foreground: Array, query: Array, query_valid: Array
    ) -> Comparison:
        matches = match_cells(support, query, support_valid, query_valid, tile=tile)
        return Comparison(
            matches, forward_matched(matches, foreground), cycle_consistent(matches, foreground)
        )

    by_shot = jax.vmap(one, (0, 0, 0, None, None))
    by_query = jax.vmap(by_shot, (None, None, None, 0, 0))
    by_way = jax.vmap(by_query, (0, 0, 0, None, None))
    return jax.vmap(by_way)(*in_a_row(supports.cells), supports.shown.foreground, *in_a_row(queries))


def in_a_row(features: Features) -> tuple[Float[Array, "*images cells c"], Bool[Array, "*images cells"]]:
    """Returns maps' cells row by row, and which of them are valid."""
    *lead, h, w, channels = features.map.shape
    valid = inside((h, w), features.sizes)
    return features.map.reshape(*lead, h * w, channels), valid.reshape(*lead, h * w)


def select(
    kind: str,
    comparison: Comparison,
    confidence: Float[Array, "B N T K cells"],
    valid: Bool[Array, "B T cells"],
    beta: float | Float[Array, ""],
) -> Bool[Array, "B N T K cells"]:
    """Returns the query cells that make up the pseudo-prototype: C' for the cycle comparison (DPNet 4.2).

    Args:
      kind: one of `PSEUDO_PROTOTYPES`.
      comparison: of `compare`.
      confidence: h, the discriminator's output, 0 to 1.
      valid: False for the queries' padding.
      beta: what the confidence must exceed.
    """
    return {
        "off": jnp.zeros_like(comparison.candidates),
        "global": jnp.broadcast_to(valid[:, None, :, None], comparison.forward.shape),
        "cosine": comparison.forward,
        "ccm": comparison.candidates & (confidence > beta),
    }[kind]


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


def mean_of_present(
    values: Float[Array, "*shape"], present: Bool[Array, "*broadcast"], axis: int | tuple[int, ...]
) -> Float[Array, "*reduced"]:
    """Returns the mean over axes of the values that are present, 0 where none is.

    Args:
      values: of which those that are not present may be anything, NaN included.
      present: broadcast against them.
      axis: one or several.
    """
    present = jnp.broadcast_to(present, values.shape)
    total = jnp.sum(jnp.where(present, values, 0), axis)
    return total * (1 / jnp.maximum(jnp.sum(present, axis), 1))  # as a compiled jnp.mean rounds
