"""Bilinear resizing as a pair of matrices, `A_h X A_w^T`.

The matrices are built from sizes that may be traced: batches of images of different sizes, and
logits brought to labels of any size, need no recompilation. Upsampling uses `A`; pooling features
under a full-resolution mask uses its transpose.
"""

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float, Int

Length = int | Int[Array | np.ndarray, ""]
Size = tuple[Length, Length] | Int[Array | np.ndarray, "2"]


def interpolation_matrix(
    out_len: int, in_len: int, out_size: Length, in_size: Length, *, align_corners: bool = False
) -> Float[Array, "out_len in_len"]:
    """Returns the matrix that resizes one axis bilinearly, without antialiasing.

    Args:
      out_len: length of the resized array, padding included.
      in_len: length of the given array, padding included.
      out_size: cells of the resized array that are valid, counted from its start; may be traced.
      in_size: cells of the given array that are valid; may be traced.
      align_corners: the centres of the outermost cells coincide; otherwise their outer edges do
        (half-pixel centres). Both as PyTorch's `interpolate`.

    Returns:
      float32; rows from `out_size` and columns from `in_size` on are zero.

    >>> interpolation_matrix(4, 2, 4, 2)
    Array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    row = jnp.arange(out_len, dtype=jnp.float32)
    out_size = jnp.asarray(out_size, jnp.float32)
    in_size = jnp.asarray(in_size, jnp.float32)
    if align_corners:
        source = row * ((in_size - 1) / jnp.maximum(out_size - 1, 1))
    else:
        source = (row + 0.5) * (in_size / jnp.maximum(out_size, 1)) - 0.5
    source = jnp.clip(source, 0, in_size - 1)
    distance = jnp.abs(source[:, None] - jnp.arange(in_len, dtype=jnp.float32)[None, :])
    return jnp.where(row[:, None] < out_size, jnp.maximum(1 - distance, 0), 0)


def resize(
    x: Float[Array, "*n h w c"],
    shape: tuple[int, ...],
    in_size: Size,
    out_size: Size,
    *,
    align_corners: bool = False,
) -> Float[Array, "*n H W c"]:
    """Returns maps resized bilinearly from one valid rectangle to another.

    Args:
      x: maps whose top-left `in_size` rectangle is valid; the rest is finite and not used.
      shape: height and width of the result, padding included.
      in_size: valid height and width of `x`, the same for all; callers map over sizes with `jax.vmap`.
      out_size: valid height and width of the result.
      align_corners: see `interpolation_matrix`.

    Returns:
      float32, zero beyond `out_size`.

    >>> row = jnp.array([0.0, 1.0, 2.0])[None, :, None]
    >>> resize(row, (1, 5), (1, 3), (1, 5), align_corners=True)[0, :, 0]
    Array([0. , 0.5, 1. , 1.5, 2. ], dtype=float32)
    """
    vertical, horizontal = _matrices(shape, x.shape[-3:-1], out_size, in_size, align_corners)
    return jnp.einsum("Hh,...hwc,Ww->...HWc", vertical, x, horizontal, precision=Precision.HIGHEST)


def resize_adjoint(
    mask: Float[Array, "*n H W"],
    shape: tuple[int, ...],
    in_size: Size,
    out_size: Size,
    *,
    align_corners: bool = False,
) -> Float[Array, "*n h w"]:
    """Returns the transpose of a resize, applied to a mask: U^T m, where U brings features to the mask.

    Since sum((U f) m) = sum(f (U^T m)), features pooled with this small mask equal upsampled features
    pooled with the full one, exactly, and no small object vanishes.

    Args:
      mask: masks whose top-left `out_size` rectangle is valid.
      shape: height and width of the features, padding included.
      in_size: valid height and width of the features, as for the `resize` that U is.
      out_size: valid height and width of the mask, as for that `resize`.
      align_corners: see `interpolation_matrix`.

    Returns:
      float32, zero beyond `in_size`; its sum is the sum of the valid mask.
    """
    vertical, horizontal = _matrices(mask.shape[-2:], shape, out_size, in_size, align_corners)
    return jnp.einsum("Hh,...HW,Ww->...hw", vertical, mask, horizontal, precision=Precision.HIGHEST)


def _matrices(out_shape, in_shape, out_size, in_size, align_corners):
    return [
        interpolation_matrix(
            out_shape[axis], in_shape[axis], out_size[axis], in_size[axis], align_corners=align_corners
        )
        for axis in (0, 1)
    ]
