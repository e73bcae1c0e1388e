"""Rectangles, their sizes after a stride, and lengths that fit a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.padding import inside, nearest_fit, strided, zero_padding


def test_a_rectangle_is_the_top_left_of_its_array():
    sizes = np.array([[2, 3], [4, 1], [0, 5]])
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    expected = np.zeros_like(x)
    for image, (height, width) in enumerate(sizes):
        expected[image, :height, :width] = x[image, :height, :width]
    np.testing.assert_array_equal(zero_padding(jnp.asarray(x), jnp.asarray(sizes)), expected)
    assert inside((4, 5), jnp.asarray(sizes)).sum((1, 2)).tolist() == [6, 4, 0]


def test_a_stride_keeps_the_begun_cell():
    sizes = np.array([[1, 8], [9, 16]])
    np.testing.assert_array_equal(strided(jnp.asarray(sizes), 8), [[1, 1], [2, 2]])


@pytest.mark.parametrize(("stride", "rest"), [(8, 1), (4, 1), (16, 0), (4, 0)])
def test_the_nearest_fit_is_the_nearest(stride, rest):
    """Against a search through all lengths that fit; of two that are equally near, either will do."""
    lengths = np.arange(1, 99) * stride + rest
    pixels = np.arange(1, 900) / 3
    found = nearest_fit(pixels, stride, rest)
    assert np.isin(found, lengths).all()
    np.testing.assert_allclose(np.abs(found - pixels), np.abs(lengths[:, None] - pixels).min(0))
    whole = np.arange(1, 300)
    numbers = [nearest_fit(int(n), stride, rest) for n in whole]
    assert {type(n) for n in numbers} == {int}
    np.testing.assert_array_equal(nearest_fit(whole, stride, rest), numbers)
    traced = jax.jit(lambda n: nearest_fit(n, stride, rest))(whole)
    assert traced.dtype == jnp.int32
    np.testing.assert_array_equal(traced, numbers)
