"""A network that is no ResNet: 16-pixel patches, LayerNorm, no stages, no statistics."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.layers.padding import nearest_fit, strided, zero_padding

PATCH = 16  # pixels


class Patches(nn.Module):
    """Normalised embeddings of patches, and a layer over them."""

    width: int

    @nn.compact
    def __call__(self, images, sizes):
        cells = strided(sizes, PATCH)
        spare = [(0, 0), *((0, -side % PATCH) for side in images.shape[1:3]), (0, 0)]
        x = jnp.pad(zero_padding(images / 127.5 - 1.0, sizes), spare)
        shape = [x.shape[0], x.shape[1] // PATCH, PATCH, x.shape[2] // PATCH, PATCH, 3]
        x = x.reshape(shape).swapaxes(2, 3).reshape(shape[0], shape[1], shape[3], -1)
        x = nn.LayerNorm(name="norm")(nn.Dense(self.width, name="embedding")(x))
        y = nn.Dense(self.width, name="layer")(nn.gelu(x))
        return {role: Features(zero_padding(z, cells), cells) for role, z in ((SHALLOW, x), (DEEP, x + y))}


@dataclass(frozen=True)
class PatchNet:
    """The network as a backbone."""

    width: int = 8

    stages: ClassVar[int] = 1
    aligned: ClassVar[bool] = False
    awaits_relu: ClassVar[bool] = False
    published: ClassVar[tuple[str, ...]] = ()

    @property
    def channels(self):
        return {SHALLOW: self.width, DEEP: self.width}

    def cells(self, pixels):
        return -(-pixels // PATCH)

    def side(self, pixels):
        return nearest_fit(pixels, PATCH, 0)

    def init(self, rng):
        blank = jnp.zeros((1, PATCH, PATCH, 3), jnp.uint8), jnp.full((1, 2), PATCH)
        return Patches(self.width).init(rng, *blank)

    def imagenet(self):
        raise InputError("Nobody has trained patches on ImageNet: name a file.")

    def load(self, path):
        with np.load(path) as arrays:
            return {"params": unflatten_dict(dict(arrays), sep=".")}

    def embed(self, variables, images, sizes):
        return Patches(self.width).apply(variables, images, sizes)

    def below(self, variables, images, sizes, stage):
        return images, sizes

    def above(self, variables, below, stage):
        return self.embed(variables, *below)

    def embed_training(self, variables, images, sizes, weights):
        return self.embed(variables, images, sizes), variables

    def group(self, path):
        return Group(1 if path[0] == "layer" else 0, path[0] == "norm")
