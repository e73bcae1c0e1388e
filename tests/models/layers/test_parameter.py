"""A layer's parameter is drawn as Flax draws it, found where it is, and refused where it does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.errors import ScopeParamNotFoundError, ScopeParamShapeError

from fsjax.models.layers.parameter import parameter

SHAPE = (2, 3)


class Own(nn.Module):
    """Asks `parameter`."""

    @nn.compact
    def __call__(self):
        return parameter(self, "kernel", nn.initializers.he_normal(), SHAPE)


class Flax(nn.Module):
    """Asks Flax."""

    @nn.compact
    def __call__(self):
        return self.param("kernel", nn.initializers.he_normal(), SHAPE)


def test_it_is_drawn_as_flax_draws_it():
    ours, theirs = (network.init(jax.random.key(3)) for network in (Own(), Flax()))
    np.testing.assert_array_equal(ours["params"]["kernel"], theirs["params"]["kernel"])


def test_it_is_found_where_it_is():
    kernel = jnp.arange(6.0).reshape(SHAPE)
    np.testing.assert_array_equal(Own().apply({"params": {"kernel": kernel}}), kernel)


def test_it_is_refused_where_it_does_not_fit():
    with pytest.raises(ScopeParamShapeError):
        Own().apply({"params": {"kernel": jnp.zeros((3, 2))}})
    with pytest.raises(ScopeParamNotFoundError):
        Own().apply({"params": {"bias": jnp.zeros(2)}})
