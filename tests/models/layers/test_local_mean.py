"""Local averages against a loop over cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.local_mean import local_mean


@pytest.mark.parametrize(("factor", "sigma"), [(1, 1.5), (2, 0.8), (3, 2.0)])
def test_it_averages_valid_cells_alone(factor, sigma):
    x = np.random.default_rng(0).normal(size=(7, 8, 2)).astype(np.float32)
    height, width = 5, 8
    found = jax.jit(lambda x, size: local_mean(x, size, factor, sigma))(
        jnp.asarray(x), jnp.array([height, width])
    )
    assert found.shape == (-(-7 // factor), -(-8 // factor), 2)
    for i in range(-(-height // factor)):
        for j in range(found.shape[1]):
            center = (i * factor + (factor - 1) / 2, j * factor + (factor - 1) / 2)
            total, mass = np.zeros(2), 0.0
            for row in range(height):
                for column in range(width):
                    distance = (row - center[0]) ** 2 + (column - center[1]) ** 2
                    weight = np.exp(-0.5 * distance / sigma**2)
                    total, mass = total + weight * x[row, column], mass + weight
            np.testing.assert_allclose(found[i, j], total / mass, rtol=1e-4, atol=1e-5)
