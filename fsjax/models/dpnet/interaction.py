"""Layers over a feature map and one vector an image, without ever tiling the vector over the map."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.lax import Precision
from jaxtyping import Array, Float

from fsjax.models.layers.parameter import parameter


class PairDense(nn.Module):
    """A fully connected layer, or 1x1 convolution, of the concatenation [x; vector].

    W [x; v] = W_x x + W_v v: the vector's part is computed once and broadcast over the cells. The parameters
    `kernel` [2 C, features] and `bias` are those of the concatenation.

    Attributes:
      features: channels of the output.
    """

    features: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "*cells c"], *vectors: Float[Array, "*broadcast c"]
    ) -> list[Float[Array, "*result features"]]:
        """Returns the layer's output for each vector.

        Args:
          x: features.
          *vectors: their leading axes are as many as those of `x`, and broadcast against them.
        """
        channels = x.shape[-1]
        kernel = parameter(self, "kernel", nn.initializers.he_normal(), (2 * channels, self.features))
        bias = parameter(self, "bias", nn.initializers.zeros, (self.features,))
        of_cells = _product(x, kernel[:channels])
        row = (1,) * (x.ndim - 1) + (self.features,)
        return [of_cells + (_product(vector, kernel[channels:]) + bias.reshape(row)) for vector in vectors]


class Discriminator(nn.Module):
    """Says whether a query cell shares the prototype's class (DPNet 4.2).

    Attributes:
      hidden: width of the hidden layer.
    """

    hidden: int

    @nn.compact
    def __call__(
        self, features: Float[Array, "*cells c"], prototypes: Float[Array, "*broadcast c"]
    ) -> Float[Array, "*result"]:
        """Returns the logit of h of every cell, for each prototype that is broadcast against the cells."""
        (hidden,) = PairDense(self.hidden, name="hidden")(features, prototypes)
        return nn.Dense(1, precision=Precision.HIGHEST, name="output")(nn.relu(hidden))[..., 0]


class PrototypeInteraction(nn.Module):
    """The prototype interaction module: channel weights from a pair of prototypes (DPNet 4.3).

    Attributes:
      hidden: width between the two fully connected layers.
      alpha_init: first value of the learnable scale; with 0 the module begins as the identity.
    """

    hidden: int
    alpha_init: float = 0.0

    @nn.compact
    def __call__(
        self, prototype: Float[Array, "*pairs c"], pseudo: Float[Array, "*pairs c"]
    ) -> Float[Array, "*pairs c"]:
        """Returns alpha W of DPNet Eq. 6 to Eq. 8, which multiply by 1 + alpha W."""
        channels = prototype.shape[-1]
        (mixed,) = PairDense(channels, name="mix")(prototype, pseudo)
        hidden = nn.Dense(self.hidden, precision=Precision.HIGHEST, name="reduce")(z_score(mixed))
        weights = nn.Dense(channels, precision=Precision.HIGHEST, name="expand")(nn.relu(hidden))
        alpha = parameter(self, "alpha", nn.initializers.constant(self.alpha_init), ())
        return alpha * nn.sigmoid(weights)  # DPNet Eq. 5


def z_score(x: Float[Array, "*pairs c"]) -> Float[Array, "*pairs c"]:
    """Returns the channels less their mean, over their standard deviation plus 1e-5 (DPNet Eq. 4).

    Of a constant vector the result is zero, and its gradient finite.
    """
    centred = x - jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), -1, keepdims=True)
    varies = variance > 0
    deviation = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return centred / (deviation + 1e-5)


def _product(x: Array, kernel: Array) -> Array:
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())), precision=Precision.HIGHEST)
