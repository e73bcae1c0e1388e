"""Which part of an array an image occupies: the top-left rectangle of its valid size."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def inside(shape: tuple[int, ...], sizes: Int[Array, "*images 2"]) -> Bool[Array, "*images h w"]:
    """Returns True inside the rectangles.

    Args:
      shape: height and width of the arrays.
      sizes: the rectangles' heights and widths, in the arrays' cells.
    """
    lead = (1,) * (sizes.ndim - 1)
    rows, columns = (jnp.arange(length).reshape(*lead, length) for length in shape)
    rows, columns = rows < sizes[..., :1], columns < sizes[..., 1:]
    return rows[..., :, None] & columns[..., None, :]


def zero_padding(x: Float[Array, "b h w c"], sizes: Int[Array, "b 2"]) -> Float[Array, "b h w c"]:
    """Returns `x` with every cell beyond its map's valid height and width set to zero."""
    return jnp.where(inside(x.shape[1:3], sizes)[..., None], x, 0)


def strided(sizes: Int[Array, "*images 2"], stride: int) -> Int[Array, "*images 2"]:
    """Returns the valid sizes after an operation with this stride: ceil(size / stride)."""
    return (sizes + stride - 1) // stride


def nearest_fit(pixels: Any, stride: int, rest: int) -> Any:
    """Returns the length k * stride + rest, with k of 1 or more, that is nearest to so many pixels.

    Args:
      pixels: an int or float, or an array of them; may be traced.
      stride: of the lengths that fit, in pixels.
      rest: 0, or 1 where the first and the last pixel are both to lie on a cell.
    """
    steps = (pixels - rest) / stride
    if isinstance(steps, float):
        return max(round(steps), 1) * stride + rest
    return steps.round().astype("int32").clip(1) * stride + rest
