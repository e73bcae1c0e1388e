"""Max-pooling by slices is what Flax's own is, gradients included."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fsjax.models.layers.pool import max_pool


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 8, 8, 2), (1, 9, 6, 2)])
def test_max_pool_and_its_gradient(shape, stride):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    def plain(x):
        return nn.max_pool(x, (3, 3), (stride, stride), ((1, 1), (1, 1)))

    def ours(x):
        return max_pool(x, stride)

    @partial(jax.jit, static_argnums=1)
    def value_and_gradient(x, pool):
        y, vjp = jax.vjp(lambda x: pool(nn.relu(x)), x)
        return y, vjp(jnp.arange(1.0, y.size + 1).reshape(y.shape))[0]

    for mine, theirs in zip(value_and_gradient(x, ours), value_and_gradient(x, plain), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
