"""Winograd's form of the 3x3 convolution and its gradients equal the plain ones'.

Small whole numbers, and their halves, have exact sums and products in float32: results are equal to the bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.conv import conv, xla_conv
from fsjax.models.layers.winograd import (
    LEAST_CHANNELS,
    pays,
    winograd_conv,
    winograd_input_gradient,
    winograd_kernel_gradient,
)
from tests.models.layers.test_conv import whole_numbers
from tests.models.programs import newer_jax


def plain(x, kernel, gradient, dilation):
    found, back = jax.vjp(lambda x, kernel: xla_conv(x, kernel, 1, dilation), x, kernel)
    return found, *back(gradient)


def winograds(x, kernel, gradient, dilation):
    return (
        winograd_conv(x, kernel, dilation),
        winograd_input_gradient(gradient, kernel, dilation),
        winograd_kernel_gradient(x, gradient, dilation),
    )


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (5, 3), (8, 9), (13, 12)])
def test_value_and_gradients(size, dilation):
    rng = np.random.default_rng(0)
    x, gradient = whole_numbers(rng, 2, *size, 3), whole_numbers(rng, 2, *size, 5)
    kernel = whole_numbers(rng, 3, 3, 3, 5)
    expected = jax.jit(plain, static_argnums=3)(x, kernel, gradient, dilation)
    found = jax.jit(winograds, static_argnums=3)(x, kernel, gradient, dilation)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@newer_jax
@pytest.mark.parametrize("dilation", [1, 2])
def test_the_convolution_that_layers_use_takes_it_where_channels_are_many(dilation):
    """Also in a scan, mapped over an axis, and for kernels that differ along it."""
    rng = np.random.default_rng(1)
    channels = 2 * LEAST_CHANNELS
    xs, kernels = whole_numbers(rng, 2, 1, 12, 11, channels), whole_numbers(rng, 2, 3, 3, channels, channels)

    def energy(convolve, x, kernel):
        return jnp.sum(convolve(x, kernel)[..., :2] ** 2)

    def ours(x, kernel):
        return jax.grad(lambda *given: energy(lambda x, k: conv(x, k, dilation=dilation), *given), (0, 1))(
            x, kernel
        )

    def theirs(x, kernel):
        return jax.grad(lambda *given: energy(lambda x, k: xla_conv(x, k, 1, dilation), *given), (0, 1))(
            x, kernel
        )

    def scanned(xs, kernels):
        return jax.lax.scan(lambda total, given: (total, ours(*given)), 0, (xs, kernels))[1]

    expected = jax.jit(jax.vmap(theirs))(xs, kernels)
    assert "convolution" not in jax.jit(ours).lower(xs[0], kernels[0]).as_text()
    for way in (scanned, jax.vmap(ours)):
        for found, wanted in zip(jax.jit(way)(xs, kernels), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_it_rounds_no_worse_than_a_few_times_the_plain_sum():
    """Against float64, on features as a ReLU leaves them."""
    rng = np.random.default_rng(2)
    x = np.maximum(rng.normal(size=(1, 11, 11, 256)), 0).astype(np.float32)
    kernel = (rng.normal(size=(3, 3, 256, 64)) / 48).astype(np.float32)
    exact = np.zeros((1, 11, 11, 64))
    padded = np.pad(x.astype(np.float64), ((0, 0), (2, 2), (2, 2), (0, 0)))
    for u in range(3):
        for v in range(3):
            exact += padded[:, 2 * u : 2 * u + 11, 2 * v : 2 * v + 11] @ kernel[u, v].astype(np.float64)

    def error(found):
        return np.sqrt(np.mean((np.asarray(found, np.float64) - exact) ** 2))

    assert error(winograd_conv(jnp.asarray(x), jnp.asarray(kernel), 2)) < 4 * max(
        error(xla_conv(jnp.asarray(x), jnp.asarray(kernel), 1, 2)), 1e-8
    )


@pytest.mark.parametrize(
    ("shape", "side", "channels", "stride", "dilation", "dtype", "expected"),
    [
        ((1, 41, 41, 128), 3, 128, 1, 1, jnp.float32, True),
        ((1, 41, 41, 127), 3, 512, 1, 1, jnp.float32, False),
        ((1, 41, 41, 512), 3, 127, 1, 1, jnp.float32, False),
        ((1, 41, 41, 255), 3, 255, 1, 2, jnp.float32, False),
        ((1, 41, 41, 256), 3, 256, 1, 2, jnp.float32, True),
        ((1, 41, 41, 256), 3, 256, 2, 1, jnp.float32, False),
        ((1, 41, 41, 256), 7, 256, 1, 1, jnp.float32, False),
        ((1, 41, 41, 256), 3, 256, 1, 1, jnp.bfloat16, False),
        ((1, 41, 41, 256), 3, 256, 1, 12, jnp.float32, True),  # DPNet's rates
        ((1, 41, 41, 256), 3, 256, 1, 18, jnp.float32, False),
        ((1, 5, 5, 512), 3, 512, 1, 1, jnp.float32, False),  # sums of the kernel
        ((16, 5, 5, 512), 3, 512, 1, 1, jnp.float32, True),
        ((0, 41, 41, 256), 3, 256, 1, 1, jnp.float32, False),
    ],
)
def test_where_it_pays(shape, side, channels, stride, dilation, dtype, expected):
    assert pays(jnp.zeros(shape, dtype), (side, side), channels, stride, dilation) == expected
