"""Averages under a Gaussian that see only the valid cells of a map."""

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float, Int

from fsjax.models.layers.padding import inside


def local_mean(
    x: Float[Array, "h w c"], size: Int[Array, "2"], factor: int, sigma: float
) -> Float[Array, "h2 w2 c"]:
    """Returns the averages under a Gaussian over the valid cells, on a grid `factor` times coarser.

    Args:
      x: a map, finite everywhere.
      size: its valid height and width, in cells.
      factor: cells of `x` along the side of a cell of the result; the grid's length is rounded up.
      sigma: standard deviation of the Gaussian, in cells of `x`.
    """
    valid = inside(x.shape[:2], size).astype(jnp.float32)[..., None]
    rows, columns = (_smoother(length, factor, sigma) for length in x.shape[:2])
    total, mass = (
        jnp.einsum("Hh,hwc,Ww->HWc", rows, part, columns, precision=Precision.HIGHEST)
        for part in (x * valid, valid)
    )
    return total / jnp.maximum(mass, 1e-12)


def _smoother(length: int, factor: int, sigma: float) -> np.ndarray:
    """Returns Gaussian weights from an axis to one that is `factor` times coarser."""
    centers = np.arange(-(-length // factor)) * factor + (factor - 1) / 2
    return np.exp(-0.5 * ((np.arange(length)[None] - centers[:, None]) / sigma) ** 2).astype(np.float32)
