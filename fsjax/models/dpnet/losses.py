"""DPNet's losses, one for each episode of a batch (DPNet 4.5).

The leading axes are those of `head.Segmented`. With N ways, every way is a binary problem of its own.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.episode import IGNORED
from fsjax.models.dpnet.head import Segmented, Switches
from fsjax.models.dpnet.pseudo_prototype import mean_of_present
from fsjax.models.layers.cross_entropy import cross_entropy


class Truth(NamedTuple):
    """What each pair of a way and a query should be."""

    labels: UInt8[Array, "B N T H W"]  # 1 the way, 0 anything else, 255 ignored
    cells: Int[Array, "B N T 2"]  # valid heights and widths of the queries' features
    pixels: Int[Array, "B N T 2"]  # of the labels


def truth_of(
    masks: UInt8[Array, "B T H W"], cells: Int[Array, "B T 2"], pixels: Int[Array, "B T 2"], ways: int
) -> Truth:
    """Returns the truth of queries whose masks hold the numbers of their ways, 1 to N."""
    shape = (masks.shape[0], ways, *masks.shape[1:2], 2)
    sizes = (jnp.broadcast_to(x[:, None], shape) for x in (cells, pixels))
    return Truth(own_masks(masks[:, None], ways), *sizes)


def own_masks(masks: UInt8[Array, "B N_or_1 images H W"], ways: int) -> UInt8[Array, "B N images H W"]:
    """Returns each way's own masks: 1 the way, 0 anything else, 255 ignored.

    Args:
      masks: 0 background, 1 to N the ways, 255 ignored; of every way's images, or of the same for all ways.
      ways: N.
    """
    way = jnp.arange(1, ways + 1, dtype=masks.dtype)[None, :, None, None, None]
    return jnp.where(masks == IGNORED, IGNORED, (masks == way).astype(masks.dtype))


def segmentation_loss(
    logits: Float[Array, "B N T h w 2"], truth: Truth, *, aligned: bool
) -> Float[Array, " B"]:
    """Returns the cross-entropy of a branch, L_seg or L_aux of DPNet Eq. 9, over all pixels of all pairs."""

    def of_episode(logits: Array, labels: Array, cells: Array, pixels: Array) -> Array:
        present = jnp.ones((len(labels), 2), bool)
        return cross_entropy(logits, labels, cells, pixels, present, align_corners=aligned)

    flat = (x.reshape(x.shape[0], -1, *x.shape[3:]) for x in (logits, *truth))
    return jax.vmap(of_episode)(*flat)


def discriminator_loss(
    found: Segmented, truth: Truth, present: Bool[Array, "B N K"], switches: Switches, *, aligned: bool
) -> Float[Array, " B"]:
    """Returns L_dis of DPNet Eq. 10, the mean over all pairs and shots that are present; void is skipped.

    It belongs to the cycle comparison, and is 0 where pseudo-prototypes come from elsewhere.
    """
    B, N, T = truth.labels.shape[:3]
    if switches.pseudo_prototype != "ccm":
        return jnp.zeros(B)
    *_, h, w, _ = found.master.shape
    flat = (x.reshape(B * N * T, *x.shape[3:]) for x in truth)
    sample = jax.vmap(
        lambda mask, cells, pixels: nearest_labels(mask, cells, pixels, (h, w), aligned=aligned)
    )
    labels = sample(*flat).reshape(B, N, T, 1, h * w)
    judged = found.selected if switches.selected_loss else found.comparison.candidates
    judged = judged & (labels != IGNORED)
    target = (labels == 1).astype(jnp.float32)
    logits = found.confidence
    entropy = jax.nn.softplus(logits) - target * logits
    count = jnp.sum(judged, -1)
    each = jnp.sum(jnp.where(judged, entropy, 0.0), -1) / jnp.maximum(count, 1)
    return mean_of_present(each, present[:, :, None], (1, 2, 3))


def total_loss(terms: Mapping[str, Float[Array, " B"]], switches: Switches) -> Float[Array, " B"]:
    """Returns L_all of DPNet Eq. 11.

    Args:
      terms: "seg_loss", "dis_loss" and, where there is an auxiliary branch, "aux_loss".
      switches: for the terms' weights.
    """
    if switches.aux_only:
        return terms["aux_loss"]
    total = terms["seg_loss"] + switches.lambda2 * terms["dis_loss"]
    return total + switches.lambda1 * terms["aux_loss"] if "aux_loss" in terms else total


def nearest_labels(
    mask: UInt8[Array, "H W"],
    cells: Int[Array, "2"],
    pixels: Int[Array, "2"],
    shape: tuple[int, int],
    *,
    aligned: bool,
) -> UInt8[Array, "h w"]:
    """Returns the label of the pixel nearest to each cell's centre, y_j of DPNet Eq. 10.

    Args:
      mask: labels.
      cells: valid height and width of the grid.
      pixels: those of the mask.
      shape: height and width of the grid, padding included.
      aligned: whether the outermost cells lie on the outermost pixels, else half a cell within.
    """
    at = []
    for axis in (0, 1):
        index = jnp.arange(shape[axis])
        if aligned:
            place = index * ((pixels[axis] - 1) / jnp.maximum(cells[axis] - 1, 1))
        else:
            place = (index + 0.5) * (pixels[axis] / cells[axis]) - 0.5
        at.append(jnp.clip(jnp.round(place).astype(jnp.int32), 0, mask.shape[axis] - 1))
    return mask[at[0][:, None], at[1][None]]
