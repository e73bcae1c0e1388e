"""The one convolution that all layers use.

XLA's CPU backend has fast kernels for convolutions whose dimensions come in the order NHWC, HWIO.
The gradients that JAX derives come in another order; XLA reorders them, but not inside a loop, and
there, as in PRNet's adaptation, they are up to a hundred times slower. On that backend the
gradients are therefore written out here in the order that is fast, and a 1x1 convolution, whose
gradient is slow anywhere, as the matrix product it is. Elsewhere XLA's own convolution and
gradients are used. `python -m benchmarks.conv` measures both. Which it is is decided when a program
is lowered for a platform, so that one made here for another machine is what that machine would make.
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
    on_cpu, elsewhere = _by_platform(kernel.shape[:2] == (1, 1), stride, dilation)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)


@cache
def _by_platform(pointwise: bool, stride: int, dilation: int) -> tuple[Callable[..., Any], ...]:
    """Returns what CPUs and what others compute: the same objects every time, which JAX traces once."""
    elsewhere = partial(xla_conv, stride=stride, dilation=dilation)
    if pointwise:
        return partial(matrix_conv, stride=stride), elsewhere
    return partial(ordered_conv, stride=stride, dilation=dilation), elsewhere


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
    padding = [(pad, pad) for pad in _padding(kernel, dilation)]
    return _convolution(x, kernel, stride, dilation, padding)


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
    of_matrix = lax.optimization_barrier(turned).T  # without the barrier XLA swaps the factors
    return lax.dot_general(gradient, matrix, (((3,), (1,)), ((), ()))), of_matrix


_product.defvjp(lambda x, matrix: (_product(x, matrix), (x, matrix)), _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def ordered_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c o"], stride: int, dilation: int
) -> Float[Array, "b h2 w2 o"]:
    """Returns `conv`, with gradients that the CPU computes as fast inside a loop as outside."""
    if pays(x, kernel.shape[:2], kernel.shape[3], stride, dilation):
        return winograd_conv(x, kernel, dilation)
    return xla_conv(x, kernel, stride, dilation)


def _forward(x, kernel, stride, dilation):
    return ordered_conv(x, kernel, stride, dilation), (x, kernel)


def _backward(stride, dilation, residuals, gradient):
    x, kernel = residuals
    return (
        _input_gradient(x, kernel, gradient, stride, dilation),
        _kernel_gradient(x, kernel, gradient, stride, dilation),
    )


ordered_conv.defvjp(_forward, _backward)


def _input_gradient(x, kernel, gradient, stride, dilation):
    """The gradient, its cells `stride` apart, convolved with the flipped kernel."""
    if pays(gradient, kernel.shape[:2], x.shape[3], stride, dilation):
        return winograd_input_gradient(gradient, kernel, dilation)
    padding = []
    for axis, pad in zip((1, 2), _padding(kernel, dilation), strict=True):
        spread = (gradient.shape[axis] - 1) * stride + 1
        padding.append((pad, x.shape[axis] + pad - spread))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _convolution(gradient, flipped, 1, dilation, padding, input_dilation=stride)


def _kernel_gradient(x, kernel, gradient, stride, dilation):
    """The input convolved with the gradient: channels are the batch, images are summed over."""
    if pays(x, kernel.shape[:2], gradient.shape[3], stride, dilation):
        return winograd_kernel_gradient(x, gradient, dilation)
    padding = []
    for axis, pad in zip((1, 2), _padding(kernel, dilation), strict=True):
        taps = (kernel.shape[axis - 1] - 1) * dilation + 1
        spread = (gradient.shape[axis] - 1) * stride
        padding.append((pad, taps + spread - x.shape[axis] - pad))
    across = _convolution(x.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3), dilation, stride, padding)
    return across.transpose(1, 2, 0, 3)


def _padding(kernel, dilation):
    return [dilation * (side // 2) for side in kernel.shape[:2]]


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
