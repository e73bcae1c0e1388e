"""The one convolution that all layers use.

XLA's CPU backend has fast kernels for convolutions whose dimensions come in the order NHWC, HWIO.
The gradients that JAX derives come in another order; XLA reorders them, but not inside a loop, and
there, as in PRNet's adaptation, they are up to a hundred times slower. On that backend the
gradients are therefore written out here in the order that is fast, for reverse mode alone. A 1x1
convolution, whose gradient is slow anywhere, is the matrix product it is there; a 3x3 one over many
channels is computed in tiles (`winograd`), and a stem over pairs of pixels. Elsewhere XLA's own
convolution and gradients are used. `python -m benchmarks.conv` measures both. Which it is is decided
when a program is lowered for a platform, so that one made here for another machine is what that
machine would make.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from fsjax.models.layers.parameter import parameter
from fsjax.models.layers.winograd import (
    pays,
    winograd_conv,
    winograd_input_gradient,
    winograd_kernel_gradient,
)

FEW_CHANNELS = 4
"""Up to so many, as of photos, a convolution of stride 2 is computed over pairs of rows and columns: XLA's
kernels are fast where channels are many."""

Padding = tuple[tuple[int, int], tuple[int, int]]


def conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], *, stride: int = 1, dilation: int = 1
) -> Float[Array, "b h2 w2 o"]:
    """Returns the 2-D convolution with odd kernels and PyTorch's symmetric padding.

    The padding is `dilation * (k // 2)` zeros on every side, so an axis of n cells becomes
    ceil(n / stride).

    Args:
      x: images or features.
      kernel: weights, HWIO, of the same dtype as `x`.
      stride: step between outputs, in cells.
      dilation: step between the kernel's taps, in cells.

    >>> conv(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4)), stride=2).shape
    (1, 3, 3, 4)
    """
    on_cpu, elsewhere = _by_platform(kernel.shape[:3], stride, dilation)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)


@cache
def _by_platform(kernel: tuple[int, ...], stride: int, dilation: int) -> tuple[Callable[..., Any], ...]:
    """Returns what CPUs and what others compute: the same objects every time, which JAX traces once."""
    height, width, channels = kernel
    padding = _padding(height, dilation), _padding(width, dilation)
    elsewhere = partial(xla_conv, stride=stride, dilation=dilation)
    if (height, width) == (1, 1):
        return partial(matrix_conv, stride=stride), elsewhere
    if (stride, dilation) == (2, 1) and channels <= FEW_CHANNELS and {height % 4, width % 4} == {3}:
        return deepened_conv, elsewhere
    return partial(ordered_conv, stride=stride, dilation=dilation, padding=padding), elsewhere


class Conv(nn.Module):
    """A convolution layer; its parameters `kernel` (HWIO) and `bias` are float32.

    Attributes:
      features: channels of the output.
      kernel_size: side of the square kernel, odd.
      stride: step between outputs, in cells.
      dilation: step between the kernel's taps, in cells.
      use_bias: whether a bias is added.
      dtype: what the convolution computes in and returns.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    use_bias: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        gain: Float[Array, " o"] | None = None,
        shift: Float[Array, " o"] | None = None,
    ) -> Float[Array, "b h2 w2 o"]:
        """Returns the convolved features.

        Args:
          x: images or features.
          gain: what the kernel of each channel is multiplied by, before it is rounded to `dtype`.
          shift: what is added to each channel, in float32.
        """
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", nn.initializers.he_normal(), shape)
        if gain is not None:
            kernel = kernel * gain[None, None, None, :]
        y = conv(x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride, dilation=self.dilation)
        if shift is not None:
            y = (y.astype(jnp.float32) + shift[None, None, None, :]).astype(self.dtype)
        if self.use_bias:
            bias = parameter(self, "bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)[None, None, None, :]
        return y


def xla_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], stride: int, dilation: int
) -> Float[Array, "b h2 w2 o"]:
    """Returns `conv`, computed and differentiated by XLA."""
    return _convolution(x, kernel, stride, dilation, [_padding(side, dilation) for side in kernel.shape[:2]])


def deepened_conv(x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"]) -> Float[Array, "b h2 w2 o"]:
    """Returns `conv` of stride 2 as one of stride 1 over pairs of rows and columns, which become channels.

    The middle of the kernel must be its second, fourth and so on row and column: a first one of zeros then
    makes whole pairs of them, too.
    """
    around = [
        (side // 2 + 1, side // 2 - 1 + size % 2)
        for side, size in zip(kernel.shape[:2], x.shape[1:3], strict=True)
    ]
    paired = _paired(jnp.pad(x, ((0, 0), *around, (0, 0))))
    taps = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    taps = _paired(taps.reshape(1, *taps.shape[:2], -1))[0]
    taps = taps.reshape(*taps.shape[:2], -1, kernel.shape[3])
    return ordered_conv(paired, taps, 1, 1, ((0, 0), (0, 0)))


def _paired(x: Float[Array, "b h w c"]) -> Float[Array, "b h/2 w/2 4*c"]:
    batch, height, width, channels = x.shape
    pairs = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return pairs.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)


def matrix_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "1 1 c o"], stride: int
) -> Float[Array, "b h2 w2 o"]:
    """Returns `conv` for a 1x1 kernel, as a matrix product."""
    return _product(x[:, ::stride, ::stride], kernel[0, 0])


@jax.custom_vjp
def _product(x: Float[Array, "b h w c"], matrix: Float[Array, "c o"]) -> Float[Array, "b h w o"]:
    return lax.dot_general(x, matrix, (((3,), (0,)), ((), ())))


def _product_backward(residuals, gradient):
    """The gradients; that of the matrix comes turned, because XLA would copy one factor to turn it first."""
    x, matrix = residuals
    turned = lax.dot_general(gradient, x, (((0, 1, 2), (0, 1, 2)), ((), ())))
    of_matrix = lax.optimization_barrier(turned).T  # without the barrier jaxlib 0.10 swaps the factors
    return lax.dot_general(gradient, matrix, (((3,), (1,)), ((), ()))), of_matrix


_product.defvjp(lambda x, matrix: (_product(x, matrix), (x, matrix)), _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def ordered_conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c o"],
    stride: int,
    dilation: int,
    padding: Padding,
) -> Float[Array, "b h2 w2 o"]:
    """Returns a convolution, with gradients that the CPU computes as fast inside a loop as outside.

    Args:
      x: what is convolved.
      kernel: its weights, HWIO.
      stride: step between outputs, in cells.
      dilation: step between the kernel's taps, in cells.
      padding: zeros before and after the rows, and the columns.
    """
    if _by_tiles(x, kernel, kernel.shape[3], stride, dilation, padding):
        return winograd_conv(x, kernel, dilation)
    return _convolution(x, kernel, stride, dilation, padding)


def _forward(x, kernel, stride, dilation, padding):
    return ordered_conv(x, kernel, stride, dilation, padding), (x, kernel)


def _backward(stride, dilation, padding, residuals, gradient):
    x, kernel = residuals
    return (
        _input_gradient(x, kernel, gradient, stride, dilation, padding),
        _kernel_gradient(x, kernel, gradient, stride, dilation, padding),
    )


ordered_conv.defvjp(_forward, _backward)


def _by_tiles(x, kernel, channels, stride, dilation, padding):
    """Whether `winograd` computes it, with so many channels of the output: it takes symmetric zeros."""
    symmetric = all(zeros == (dilation, dilation) for zeros in padding)
    return symmetric and pays(x, kernel.shape[:2], channels, stride, dilation)


def _input_gradient(x, kernel, gradient, stride, dilation, padding):
    """The gradient, its cells `stride` apart, convolved with the flipped kernel."""
    if _by_tiles(gradient, kernel, x.shape[3], stride, dilation, padding):
        return winograd_input_gradient(gradient, kernel, dilation)
    axes = zip(_lengths(kernel, gradient, stride, dilation), x.shape[1:3], padding, strict=True)
    around = [(taps - before, size - 1 - spread + before) for (taps, spread), size, (before, _) in axes]
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _convolution(gradient, flipped, 1, dilation, around, input_dilation=stride)


def _kernel_gradient(x, kernel, gradient, stride, dilation, padding):
    """The input convolved with the gradient: channels are the batch, images are summed over."""
    if _by_tiles(x, kernel, gradient.shape[3], stride, dilation, padding):
        return winograd_kernel_gradient(x, gradient, dilation)
    axes = zip(_lengths(kernel, gradient, stride, dilation), x.shape[1:3], padding, strict=True)
    around = [(before, taps + 1 + spread - size - before) for (taps, spread), size, (before, _) in axes]
    across = _convolution(x.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3), dilation, stride, around)
    return across.transpose(1, 2, 0, 3)


def _lengths(kernel, gradient, stride, dilation):
    """How far the last tap, and the last output, is from the first along each axis, in cells of the input."""
    pairs = zip(kernel.shape[:2], gradient.shape[1:3], strict=True)
    return [((taps - 1) * dilation, (outputs - 1) * stride) for taps, outputs in pairs]


def _padding(side: int, dilation: int) -> tuple[int, int]:
    """Returns PyTorch's symmetric zeros for an axis of a kernel."""
    return dilation * (side // 2), dilation * (side // 2)


def _convolution(x, kernel, stride, dilation, padding, input_dilation=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        lhs_dilation=(input_dilation, input_dilation),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
