"""Random weights for whole networks, drawn with NumPy: JAX's own initialisation compiles for seconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def shapes_of():
    def shapes(model):
        images, sizes = jnp.zeros((1, 33, 33, 3), jnp.uint8), jnp.full((1, 2), 33)
        return jax.eval_shape(model.init, jax.random.key(0), images, sizes)

    return shapes


@pytest.fixture(scope="session")
def random_variables(shapes_of):
    """Variables that keep activations of order one, no BatchNorm being the identity."""

    def draw(model, seed=0):
        rng = np.random.default_rng(seed)

        def leaf(path, shape):
            name, values = path[-1].key, rng.normal(size=shape.shape)
            if name == "kernel":
                values = values * np.sqrt(2 / np.prod(shape.shape[:3]))
            elif name in ("scale", "var"):
                values = 0.6 + 0.2 * np.abs(values)
            else:
                values = 0.1 * values
            return values.astype(np.float32)

        return jax.tree_util.tree_map_with_path(leaf, shapes_of(model))

    return draw
