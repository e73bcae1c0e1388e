"""VGG-16 as PANet dilates it (Wang and others, ICCV 2019), exact under padding, as a linen module."""

from dataclasses import field
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features
from fsjax.models.backbones.normalization import normalize
from fsjax.models.layers.conv import Conv
from fsjax.models.layers.padding import strided, zero_padding
from fsjax.models.layers.pool import max_pool
from fsjax.models.layers.remat import forgetting

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of each block; those of block 5 are called conv5_1 to conv5_3."""

LAST = len(DEPTHS)
"""The number of the last block."""

_FACTORS = (1, 2, 4, 8, 8)
_POOLS = (2, 2, 2, 1)  # strides of the max-pooling after each block but the last
_DILATIONS = (1, 1, 1, 1, 2)


class VGG(nn.Module):
    """VGG-16's thirteen convolutions at output stride 8: no normalisation, no classifier.

    Max-pooling is 3x3; after block 4 it has stride 1, and block 5 is dilated instead. With a width of 64 it
    has 14,714,688 parameters, biases included.

    Attributes:
      width: channels of block 1; the others have 2, 4, 8 and 8 times as many.
      dtype: what the convolutions compute in; parameters and results are float32.
      remat: unless it is "none", each of the five blocks is computed again for the gradients.
    """

    width: int = 64
    dtype: Any = jnp.float32
    remat: str = field(default="none", repr=False)  # changes no features, and so not what they are called

    @nn.compact
    def __call__(
        self,
        x: UInt8[Array, "b h w 3"] | Float[Array, "b h w c"],
        sizes: Int[Array, "b 2"],
        *,
        begin: int = 1,
        end: int = LAST + 1,
    ) -> dict[str, Features]:
        """Returns block 4 after its last ReLU as SHALLOW, and block 5 before its last ReLU as DEEP.

        Where it ends earlier, they are the last two blocks before that. A padded photo's features are exactly
        the unpadded one's.

        Args:
          x: RGB; what lies beyond `sizes` is not used. Where `begin` is not 1, DEEP of the block before it.
          sizes: valid height and width of each image, in pixels; of features, in cells.
          begin: the first block that is computed.
          end: the block that is the first not to be computed.
        """
        x = normalize(x, sizes, "torchvision") if begin == 1 else x.astype(self.dtype)
        for block in range(begin, end):
            before = x, sizes
            x, sizes = forgetting(partial(_block, block), self.remat != "none")(self, x, sizes)
        return {SHALLOW: _features(nn.relu(before[0]), before[1]), DEEP: _features(x, sizes)}


def _block(block, network, x, sizes):
    """The sums of a block's last convolution, before its ReLU, from those of the block before it."""
    width, dilation = network.width * _FACTORS[block - 1], _DILATIONS[block - 1]
    if block > 1:
        stride = _POOLS[block - 2]
        x = max_pool(zero_padding(nn.relu(x), sizes), stride)
        sizes = strided(sizes, stride)
        x = zero_padding(x, sizes)
    for layer in range(1, DEPTHS[block - 1] + 1):
        if layer > 1:
            x = zero_padding(nn.relu(x), sizes)
        name = f"conv{block}_{layer}"
        x = Conv(width, 3, dilation=dilation, use_bias=True, dtype=network.dtype, name=name)(x)
    return x, sizes


def _features(x: Float[Array, "b h w c"], sizes: Int[Array, "b 2"]) -> Features:
    return Features(zero_padding(x.astype(jnp.float32), sizes), sizes)
