"""3x3 convolutions with 4/9 of the multiplications, as CPUs compute them.

Winograd's F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
section 4.1, equation 8): 2x2 cells of the output come from a tile of 4x4 cells of the input, as 16 matrix
products over all tiles. What is multiplied are sums of four cells, and of up to nine taps of the
kernel, so that results differ from plain sums by rounding alone.

A dilated convolution never mixes cells whose rows, or columns, differ by no multiple of the dilation. Such
rows are put side by side, with a zero between one set and the next; then nothing is dilated any more.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# B transposed, G and A transposed of the paper's equation 7.
INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

TURNED = np.array([3, 1, 2, 0])
"""Which rows of a transformed kernel are those of the kernel turned by 180 degrees."""

LEAST_CHANNELS = 128
"""With fewer, twice as many where the convolution is dilated, reading and writing the tiles takes as long as
what is saved (`python -m benchmarks.conv`)."""

MOST_PRODUCTS = 0.75
"""How much of a plain convolution's multiplications may be left: zeros between sets of cells add to them, and
so do the sums of the kernel where cells are few."""


def pays(x: Float[Array, "b h w c"], sides: Sequence[int], channels: int, stride: int, dilation: int) -> bool:
    """Returns whether a convolution, or its gradient, is faster in this form, and in float32.

    Args:
      x: what is convolved.
      sides: height and width of the kernel.
      channels: of the output.
      stride: step between outputs, in cells.
      dilation: step between the kernel's taps, in cells.
    """
    if tuple(sides) != (3, 3) or stride != 1 or x.dtype != jnp.float32 or 0 in x.shape:
        return False
    least = LEAST_CHANNELS * (1 if dilation == 1 else 2)
    batch, height, width, _ = x.shape
    rows, columns = (len(_places(size, dilation)) // 2 for size in (height, width))
    products = 16 * (batch * rows * columns + 9) / (9 * batch * height * width)
    return min(x.shape[3], channels) >= least and products <= MOST_PRODUCTS


def winograd_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"], dilation: int
) -> Float[Array, "b h w o"]:
    """Returns the convolution of stride 1 with `dilation` zeros around `x`, taps `dilation` cells apart."""
    return _convolved(x, _transformed_kernel(kernel), 2, dilation)


def winograd_input_gradient(
    gradient: Float[Array, "b h w o"], kernel: Float[Array, "3 3 c o"], dilation: int
) -> Float[Array, "b h w c"]:
    """Returns the gradient with respect to the input: a convolution with the kernel turned by 180 degrees."""
    turned = _transformed_kernel(kernel)[TURNED[:, None], TURNED[None, :]]
    return _convolved(gradient, turned, 3, dilation)


def winograd_kernel_gradient(
    x: Float[Array, "b h w c"], gradient: Float[Array, "b h w o"], dilation: int
) -> Float[Array, "3 3 c o"]:
    """Returns the gradient with respect to the kernel, given that with respect to the output."""
    inputs = _tiles(INPUT, _undilated(x, dilation, border=1))
    outputs = _tiles(OUTPUT.T, _undilated(gradient, dilation, border=0))
    products = lax.dot_general(inputs, outputs, (((1,), (1,)), ((0,), (0,))))
    weights = jnp.asarray(np.kron(KERNEL, KERNEL).T, jnp.float32)
    return (weights @ products.reshape(16, -1)).reshape(3, 3, x.shape[3], gradient.shape[3])


def _convolved(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 m n"], axis: int, dilation: int
) -> Float[Array, "b h w o"]:
    """Returns the convolution with a transformed kernel, whose axis of that number, 2 or 3, `x` has, too."""
    undilated = _undilated(x, dilation, border=1)
    kernels = kernel.reshape(16, *kernel.shape[2:])
    products = lax.dot_general(_tiles(INPUT, undilated), kernels, (((2,), (axis - 1,)), ((0,), (0,))))
    batch, rows, columns = x.shape[0], undilated.shape[1] // 2 - 1, undilated.shape[2] // 2 - 1
    grid = products.reshape(4, 4, batch, rows, columns, -1)
    pairs = [jnp.stack(_combined(OUTPUT, list(row)), axis=3) for row in _combined(OUTPUT, list(grid))]
    found = jnp.stack(pairs, axis=2).reshape(batch, 2 * rows, 2 * columns, -1)
    return _dilated(found, x.shape[1:3], dilation)


def _transformed_kernel(kernel: Float[Array, "3 3 c o"]) -> Float[Array, "4 4 c o"]:
    weights = jnp.asarray(np.kron(KERNEL, KERNEL), jnp.float32)
    return (weights @ kernel.reshape(9, -1)).reshape(4, 4, *kernel.shape[2:])


def _tiles(matrix: np.ndarray, x: Float[Array, "b h w c"]) -> Float[Array, "n tiles c"]:
    """Returns matrix @ tile @ matrix transposed for tiles that begin at every second row and column."""
    side = matrix.shape[1]
    batch, height, width, channels = x.shape
    rows, columns = (height - side) // 2 + 1, (width - side) // 2 + 1
    pairs = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    across = jnp.stack(
        _combined(matrix, [pairs[:, :, :, j // 2 : j // 2 + columns, j % 2] for j in range(side)])
    )
    down = jnp.stack(_combined(matrix, [across[:, :, i // 2 : i // 2 + rows, i % 2] for i in range(side)]))
    return down.reshape(-1, batch * rows * columns, channels)


def _combined(matrix: np.ndarray, pieces: Sequence[Array]) -> list[Array]:
    """Returns what each row of a matrix makes of the pieces."""
    found = []
    for row in matrix.tolist():
        first, *others = (factor * piece for factor, piece in zip(row, pieces, strict=True) if factor)
        found.append(sum(others, first))
    return found


def _places(size: int, dilation: int) -> list[int]:
    """Returns which cell of an axis stands at each place, an even number of them; -1 for a zero.

    >>> _places(5, 2)
    [0, 2, 4, -1, 1, 3]
    """
    places: list[int] = []
    for first in range(min(dilation, size)):
        places += [*range(first, size, dilation), -1]
    return places[:-1] if len(places) % 2 else places


def _undilated(x: Float[Array, "b h w c"], dilation: int, border: int) -> Float[Array, "b h2 w2 c"]:
    """Returns `x` in the order of `_places`, with so many zeros around."""
    sizes, zeros = x.shape[1:3], [-1] * border
    if dilation == 1:  # the same, without an index
        return jnp.pad(x, ((0, 0), *((border, border + size % 2) for size in sizes), (0, 0)))
    rows, columns = (np.array([*zeros, *_places(size, dilation), *zeros]) for size in sizes)
    padded = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # what -1 points to
    return padded.at[:, rows[:, None], columns[None, :]].get(mode="promise_in_bounds")


def _dilated(x: Float[Array, "b h2 w2 c"], sizes: Sequence[int], dilation: int) -> Float[Array, "b h w c"]:
    """Returns the cells of an image of some height and width in their places again."""
    if dilation == 1:
        return x[:, : sizes[0], : sizes[1]]
    rows, columns = (np.argsort(_places(size, dilation))[-size:] for size in sizes)
    return x.at[:, rows[:, None], columns[None, :]].get(mode="promise_in_bounds")
