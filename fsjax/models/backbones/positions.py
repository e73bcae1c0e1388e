"""Where a vision transformer's patches are: learned tables of DINOv2, resized, and DINOv3's rotations.

Sizes may be traced: a batch holds photos of different sizes, and nothing is compiled again. The codebases
that publish the weights resize the tables differently, by up to 30% of their norm, so that a rule is part of
the weights: the numbers that tell the rules apart are kept among a network's variables.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float, Int

OFFICIAL, TRANSFORMERS, TIMM = "official", "transformers", "timm"
CODEBASES = (OFFICIAL, TRANSFORMERS, TIMM)
"""Whose rules there are: Meta's own code, and the two libraries that carry the weights, too."""

BASE = 100.0
"""Of DINOv3's rotations: the ratio of the longest period to the shortest, nearly."""

_FAR = 3  # cells beyond the border that a plain cubic kernel may reach


class TableRule(NamedTuple):
    """How a table of learned positions is resized, all of it bicubic with half-pixel centres.

    Attributes:
      sharpness: the kernel's parameter a, -0.75 in PyTorch's plain resize and -0.5 in its antialiased one.
      antialias: 1 where a kernel is widened for a smaller grid and cut at the border, 0 where it is not, and
        the outermost cells are repeated.
      offset: added to the cells of the new grid before its ratio to the table's is taken.
    """

    sharpness: float
    antialias: float
    offset: float


_PLAIN, _WIDENED = TableRule(-0.75, 0.0, 0.0), TableRule(-0.5, 1.0, 0.0)


def table_rule(codebase: str, registers: int) -> Float[np.ndarray, "3"]:
    """Returns a codebase's rule for the tables of DINOv2, with or without registers, as a `TableRule`.

    >>> table_rule("official", 0)
    array([-0.75,  0.  ,  0.1 ], dtype=float32)
    """
    if codebase == TIMM or registers:
        rule = _WIDENED
    else:
        rule = _PLAIN._replace(offset=0.1) if codebase == OFFICIAL else _PLAIN
    return np.asarray(rule, np.float32)


def resized_table(
    table: Float[Array, "g g c"], shape: tuple[int, int], sizes: Int[Array, "b 2"], rule: Float[Array, "3"]
) -> Float[Array, "b h w c"]:
    """Returns a table of learned positions for grids of other sizes.

    A grid of the table's own size gets the table as it is, whatever the rule.

    Args:
      table: of a square grid.
      shape: height and width of the result, padding included.
      sizes: the grids' valid heights and widths, in cells.
      rule: a `TableRule`.

    Returns:
      float32; beyond the sizes it is finite and means nothing.
    """
    sharpness, antialias, offset = TableRule(*rule)
    cells = jnp.asarray(sizes, jnp.float32)
    as_it_is = (cells == table.shape[0]).all(-1, keepdims=True)
    ratio = table.shape[0] / (cells + jnp.where(as_it_is, 0.0, offset))
    rows, columns = (
        _cubic(shape[axis], table.shape[axis], ratio[:, axis], sharpness, antialias) for axis in (0, 1)
    )
    return jnp.einsum("bhg,gkc,bwk->bhwc", rows, table, columns, precision=Precision.HIGHEST)


def _cubic(out_len, in_len, ratio, sharpness, antialias):
    """Matrices [b, out, in] that resize an axis; `ratio` [b] says how many given cells a new one spans."""
    centre = (jnp.arange(out_len, dtype=jnp.float32)[None] + 0.5) * ratio[:, None] - 0.5
    cell = jnp.arange(-_FAR, in_len + _FAR, dtype=jnp.float32)
    width = jnp.where(antialias > 0, jnp.maximum(ratio, 1), 1)[:, None, None]
    weight = _kernel((cell[None, None] - centre[..., None]) / width, sharpness)
    within = weight[..., _FAR:-_FAR]
    widened = within / jnp.maximum(within.sum(-1, keepdims=True), 1e-6)
    before, after = weight[..., :_FAR].sum(-1), weight[..., -_FAR:].sum(-1)
    repeated = within.at[..., 0].add(before).at[..., -1].add(after)
    return jnp.where(antialias > 0, widened, repeated)


def _kernel(distance, a):
    """Keys' cubic convolution kernel (1981), zero from a distance of 2 on."""
    x = jnp.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))


def periods(codebase: str, head_width: int) -> Float[np.ndarray, " quarter"]:
    """Returns the periods of DINOv3's rotations, in halves of an axis: 100^(2 i / (head_width / 2)).

    Meta's checkpoints hold them rounded to bfloat16, the other codebases compute them in float32.
    """
    quarter = head_width // 4
    exact = np.float32(BASE) ** (np.arange(quarter, dtype=np.float32) / np.float32(quarter))
    return exact.astype(jnp.bfloat16).astype(np.float32) if codebase == OFFICIAL else exact


def rotations(
    shape: tuple[int, int], sizes: Int[Array, "b 2"], period: Float[Array, " quarter"]
) -> tuple[Float[Array, "b h w head"], Float[Array, "b h w head"]]:
    """Returns the cosines and sines by which queries and keys of each cell are rotated, as DINOv3's.

    The centres of an axis' cells lie between -1 and 1, whatever its length; angles of rows come first, then
    those of columns, and both again.

    Args:
      shape: height and width of the result, padding included.
      sizes: the grids' valid heights and widths, in cells; of an empty grid they are finite and mean nothing.
      period: see `periods`.
    """

    def angles(axis):
        # A photo of no size, which fills a spare slot, has no angles: they are to be finite, or gradients
        # are NaN where zero is meant.
        cells = jnp.maximum(sizes[:, axis, None], 1)
        place = (jnp.arange(shape[axis], dtype=jnp.float32)[None] + 0.5) / cells
        return 2 * jnp.pi * (2 * place - 1)[..., None] / period[None, None]

    grid = (sizes.shape[0], *shape, period.shape[0])
    rows = jnp.broadcast_to(angles(0)[:, :, None], grid)
    columns = jnp.broadcast_to(angles(1)[:, None], grid)
    angle = jnp.concatenate([rows, columns, rows, columns], axis=-1)
    return jnp.cos(angle), jnp.sin(angle)


def rotated(
    x: Float[Array, "b t n head"], cosine: Float[Array, "b t 1 head"], sine: Float[Array, "b t 1 head"]
) -> Float[Array, "b t n head"]:
    """Returns queries or keys rotated: the first half of the channels with the second."""
    first, second = jnp.split(x, 2, axis=-1)
    return x * cosine + jnp.concatenate([-second, first], axis=-1) * sine
