"""The convolution and its gradients equal XLA's plain ones and a loop's, in loops and outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.conv import Conv, conv, xla_conv
from tests.models.programs import newer_jax


def whole_numbers(rng, *shape):
    """Small integers: their sums are exact in any order, so results can be compared exactly."""
    return jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)


def by_loops(x, kernel, stride, dilation):
    side = kernel.shape[0]
    pad = dilation * (side // 2)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    result = np.zeros((x.shape[0], rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            for u in range(side):
                for v in range(side):
                    seen = padded[:, i * stride + u * dilation, j * stride + v * dilation]
                    result[:, i, j] += seen @ kernel[u, v]
    return result


def test_nothing_is_convolved_to_nothing():
    kernel = jnp.ones((3, 3, 256, 256))
    assert conv(jnp.zeros((0, 8, 8, 256)), kernel).shape == (0, 8, 8, 256)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 3, 7])
def test_value_and_gradients(side, stride, dilation):
    rng = np.random.default_rng(0)
    x, kernel = whole_numbers(rng, 2, 9, 12, 3), whole_numbers(rng, side, side, 3, 4)
    expected = by_loops(np.asarray(x), np.asarray(kernel), stride, dilation)
    cotangent = whole_numbers(rng, *expected.shape)

    @jax.jit
    def both(x, kernel):
        ours, our_vjp = jax.vjp(lambda x, k: conv(x, k, stride=stride, dilation=dilation), x, kernel)
        plain, plain_vjp = jax.vjp(lambda x, k: xla_conv(x, k, stride, dilation), x, kernel)
        return (ours, *our_vjp(cotangent)), (plain, *plain_vjp(cotangent))

    ours, plain = both(x, kernel)
    np.testing.assert_array_equal(ours[0], expected)
    for our, theirs in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(our, theirs)


@pytest.mark.parametrize(("side", "stride", "dilation"), [(1, 2, 1), (3, 1, 2), (3, 2, 1), (7, 2, 1)])
def test_gradients_inside_a_scan(side, stride, dilation):
    rng = np.random.default_rng(1)
    xs, kernel = whole_numbers(rng, 3, 2, 8, 11, 3), whole_numbers(rng, side, side, 3, 4)

    def energy(x, kernel, convolve):
        return jnp.square(convolve(x, kernel)).sum()

    def ours(x, kernel):
        return conv(x, kernel, stride=stride, dilation=dilation)

    def plain(x, kernel):
        return xla_conv(x, kernel, stride, dilation)

    @jax.jit
    def scanned(xs, kernel):
        step = lambda total, x: (total, jax.grad(energy, (0, 1))(x, kernel, ours))  # noqa: E731
        return jax.lax.scan(step, 0, xs)[1]

    inputs, kernels = scanned(xs, kernel)
    for x, input_gradient, kernel_gradient in zip(xs, inputs, kernels, strict=True):
        expected = jax.grad(energy, (0, 1))(x, kernel, plain)
        np.testing.assert_array_equal(input_gradient, expected[0])
        np.testing.assert_array_equal(kernel_gradient, expected[1])


@newer_jax
@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
def test_the_platform_that_it_is_lowered_for_chooses(platform):
    """On CPUs a 1x1 convolution is a product, and gradients are written as the forward one is."""
    x, on_cpu = jnp.zeros((1, 5, 5, 2)), platform == "cpu"

    def text(side):
        gradients = jax.grad(lambda x, kernel: jnp.sum(conv(x, kernel) ** 2), (0, 1))
        traced = jax.jit(gradients).trace(x, jnp.zeros((side, side, 2, 2)))
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert (text(1).count("stablehlo.convolution"), text(1).count("dot_general")) == (
        (0, 3) if on_cpu else (3, 0)
    )
    assert text(3).count("stablehlo.convolution") == 3
    assert text(3).count("[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]") == (3 if on_cpu else 1)


@newer_jax
@pytest.mark.parametrize(("channels", "paired"), [(3, True), (4, True), (5, False)])
def test_a_stem_takes_pairs_of_pixels_on_cpus(channels, paired):
    x, kernel = jnp.zeros((1, 9, 8, channels)), jnp.zeros((7, 7, channels, 2))
    text = jax.jit(lambda x, kernel: conv(x, kernel, stride=2)).lower(x, kernel).as_text()
    assert (f"tensor<4x4x{4 * channels}x2xf32>" in text) == paired


def test_the_gradient_of_a_matrix_comes_turned():
    x, kernel = jnp.zeros((1, 5, 5, 2)), jnp.zeros((1, 1, 2, 3))
    text = jax.jit(jax.grad(lambda kernel: jnp.sum(conv(x, kernel) ** 2))).lower(kernel).as_text()
    assert "optimization_barrier" in text
    assert "tensor<3x2xf32>" in text


def test_layer_computes_in_its_dtype_from_float32_parameters():
    layer = Conv(4, 3, stride=2, use_bias=True, dtype=jnp.bfloat16)
    x = jnp.ones((1, 5, 4, 2))
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)
    assert {k: (v.shape, v.dtype.name) for k, v in variables["params"].items()} == {
        "kernel": ((3, 3, 2, 4), "float32"),
        "bias": ((4,), "float32"),
    }
    bias = jnp.array([1.0, 2, 3, 4])
    zero = {"params": {"kernel": jnp.zeros((3, 3, 2, 4)), "bias": bias}}
    y = layer.apply(zero, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(jnp.float32), jnp.broadcast_to(bias, (1, 3, 2, 4)))
