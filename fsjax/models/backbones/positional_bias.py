"""What a vision transformer's features say of the place alone, projected out of them.

DINOv3's features carry where a cell is, whatever it shows, so that cells match by place. As INSID3 does
(CVPR 2026), the leading directions of an empty photo's features, which is black, are taken for that, and
features are projected onto the others. INSID3 takes 500 of 1,024 channels, of a photo of 1,024 pixels.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.lax import Precision
from jaxtyping import Array, Float

from fsjax.models.backbones.backbone import DEEP, Features
from fsjax.models.variables import Variables

CELLS = 32
"""Side of the empty photo, in cells."""


def directions(network: nn.Module, variables: Variables, count: int) -> Float[Array, "c count"]:
    """Returns orthonormal directions in which an empty photo's features differ most from their mean.

    Args:
      network: a `ViT`.
      variables: of it, before any training.
      count: how many, fewer than there are channels and cells.
    """
    return _directions(network, count)(variables)


@lru_cache
def _directions(network, count):
    """The program of `directions`, compiled once."""

    def program(variables):
        side = CELLS * network.shape.patch
        photo = jnp.zeros((1, side, side, 3), jnp.uint8)
        found = network.apply(variables, photo, jnp.full((1, 2), side))[DEEP].map
        cells = found.reshape(-1, found.shape[-1])
        _, _, rows = jnp.linalg.svd(cells - cells.mean(0, keepdims=True), full_matrices=False)
        return rows[:count].T

    return jax.jit(program)


def without(features: Features, directions: Float[Array, "c count"]) -> Features:
    """Returns features without what lies in some orthonormal directions; padding stays zero."""
    along = jnp.matmul(features.map, directions, precision=Precision.HIGHEST)
    return features._replace(map=features.map - jnp.matmul(along, directions.T, precision=Precision.HIGHEST))
