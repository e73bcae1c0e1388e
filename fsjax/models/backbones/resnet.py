"""The dilated ResNets, exact under padding (PRNet 4.1, DPNet 5.1), as linen modules."""

from collections.abc import Sequence
from dataclasses import field
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.backbones.normalization import normalize
from fsjax.models.layers.conv import Conv
from fsjax.models.layers.norm import BatchNorm, FixedNorm
from fsjax.models.layers.padding import strided, zero_padding
from fsjax.models.layers.pool import max_pool
from fsjax.models.layers.remat import forgetting


class Block(nn.Module):
    """A residual block: three convolutions in a bottleneck (1x1, 3x3, 1x1), else two (3x3, 3x3).

    Attributes:
      width: channels of the 3x3 convolutions; a bottleneck returns four times as many.
      bottleneck: which of the two kinds it is.
      stride: of the whole block.
      dilation: of the 3x3 convolutions.
      convention: `torchvision` puts a bottleneck's stride on its 3x3, `caffe` on its first 1x1.
      dtype: what the convolutions compute in.
      axis_name: see `BatchNorm`.
    """

    width: int
    bottleneck: bool
    stride: int = 1
    dilation: int = 1
    convention: str = "torchvision"
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], sizes: Int[Array, "b 2"], **statistics: Any
    ) -> tuple[Float[Array, "b h2 w2 o"], Int[Array, "b 2"]]:
        """Returns the sum of the block and its shortcut, before the ReLU, and its valid sizes.

        Args:
          x: the block's input.
          sizes: valid height and width of `x`, in cells.
          **statistics: arguments of `BatchNorm`.
        """
        layer = partial(_conv_norm, dtype=self.dtype, axis_name=self.axis_name, statistics=statistics)
        out_sizes = strided(sizes, self.stride)
        if self.bottleneck:
            first, second = (1, self.stride) if self.convention == "torchvision" else (self.stride, 1)
            y = nn.relu(layer(x, "conv1", "bn1", self.width, stride=first))
            y = zero_padding(y, strided(sizes, first))
            y = nn.relu(layer(y, "conv2", "bn2", self.width, 3, second, self.dilation))
            y = layer(y, "conv3", "bn3", 4 * self.width)
        else:
            y = zero_padding(x, sizes)
            y = nn.relu(layer(y, "conv1", "bn1", self.width, 3, self.stride, self.dilation))
            y = layer(zero_padding(y, out_sizes), "conv2", "bn2", self.width, 3, 1, self.dilation)
        if x.shape != y.shape:
            x = layer(x, "downsample_conv", "downsample_bn", y.shape[-1], stride=self.stride)
        return x + y, out_sizes


class ResNet(nn.Module):
    """A ResNet whose last stages are dilated instead of strided.

    Attributes:
      stage_sizes: blocks of each stage.
      widths: channels of each stage's 3x3 convolutions; the first is the stem's too.
      strides: of each stage's first block.
      dilations: of each stage's 3x3 convolutions.
      bottleneck: whether blocks are bottlenecks.
      stages: how many stages are built; None for all.
      convention: whose weights fit: decides on the normalisation and on a bottleneck's stride.
      first_block_dilation: in a dilated stage the first block's 3x3 keeps the `previous` stage's
        dilation (torchvision's rule) or takes its own `stage`'s.
      dtype: what the convolutions compute in; parameters, statistics and results are float32.
      axis_name: see `BatchNorm`.
      remat: what is computed again for the gradients: nothing ("none"), the stem and each stage as a whole
        ("stages"), or the stem and each block ("blocks").
    """

    stage_sizes: Sequence[int]
    widths: Sequence[int] = (64, 128, 256, 512)
    strides: Sequence[int] = (1, 2, 1, 1)
    dilations: Sequence[int] = (1, 1, 2, 4)
    bottleneck: bool = True
    stages: int | None = None
    convention: str = "torchvision"
    first_block_dilation: str = "previous"
    dtype: Any = jnp.float32
    axis_name: str | None = None
    remat: str = field(default="none", repr=False)  # changes no features, and so not what they are called

    @nn.compact
    def __call__(
        self,
        x: UInt8[Array, "b h w 3"] | Float[Array, "b h w c"],
        sizes: Int[Array, "b 2"],
        *,
        begin: int = 0,
        end: int | None = None,
        batch_statistics: bool = False,
        weights: Float[Array, " b"] | None = None,
    ) -> dict[str, Features]:
        """Returns the named features of photos; a padded photo's are exactly the unpadded one's.

        Args:
          x: RGB; what lies beyond `sizes` is not used. Where `begin` is not 0, the features of the stage
            before it: `stem`, or those before the last ReLU.
          sizes: valid height and width of each image, in pixels; of features, in cells.
          begin: the first stage that is computed; 0 is the stem.
          end: the stage that is the first not to be computed; None for all to the last.
          batch_statistics: see `BatchNorm`; images should then be unpadded.
          weights: of the images, see `BatchNorm`.

        Returns:
          `stem`; `stage1` and so on, after their last ReLU; `stage1_pre` and so on, before it.
        """
        statistics = {"batch_statistics": batch_statistics, "weights": weights}
        features = {}
        if begin == 0:
            x, sizes = forgetting(partial(_stem, statistics), self.remat != "none")(self, x, sizes)
            features["stem"] = _features(x, sizes)
        x = x.astype(self.dtype)  # as the stage before returned it
        built = len(self.stage_sizes[: self.stages])
        for stage in range(max(begin, 1), built + 1 if end is None else end):
            compute = forgetting(partial(_stage, stage - 1, statistics), self.remat == "stages")
            x, sizes = compute(self, x, sizes)
            features[f"stage{stage}"] = _features(nn.relu(x), sizes)
            features[f"stage{stage}_pre"] = _features(x, sizes)
        return features


def resnet50(**fields: Any) -> ResNet:
    """Returns ResNet-50 at output stride 8; `fields` are those of `ResNet`."""
    return ResNet(stage_sizes=(3, 4, 6, 3), **fields)


def resnet101(**fields: Any) -> ResNet:
    """Returns ResNet-101 at output stride 8; `fields` are those of `ResNet`."""
    return ResNet(stage_sizes=(3, 4, 23, 3), **fields)


def small(widths: Sequence[int] = (32, 64, 128), **fields: Any) -> ResNet:
    """Returns the network that is trained from scratch: 0.31 M parameters at output stride 8.

    Args:
      widths: channels of each stage, of one block without a bottleneck each.
      **fields: the others of `ResNet`.
    """
    stages = range(len(widths))
    return ResNet(
        stage_sizes=(1,) * len(widths),
        widths=tuple(widths),
        strides=tuple(2 if stage == 1 else 1 for stage in stages),
        dilations=tuple(2 ** max(stage - 1, 0) for stage in stages),
        bottleneck=False,
        **fields,
    )


def _stem(statistics, network, images, sizes):
    """The first layers, at stride 4."""
    x = normalize(images, sizes, network.convention)
    layer = partial(_conv_norm, dtype=network.dtype, axis_name=network.axis_name, statistics=statistics)
    x = nn.relu(layer(x, "conv1", "bn1", network.widths[0], 7, 2))
    sizes = strided(sizes, 2)
    return max_pool(zero_padding(x, sizes)), strided(sizes, 2)


def _stage(stage, statistics, network, x, sizes):
    """The sums of a stage's last block, from those of the stage before it (or the stem's features)."""
    for index in range(network.stage_sizes[stage]):
        block = partial(_block, stage, index, statistics)
        x, sizes = forgetting(block, network.remat == "blocks")(network, x, sizes)
    return x, sizes


def _block(stage, index, statistics, network, x, sizes):
    keep = index == 0 and stage > 0 and network.first_block_dilation == "previous"
    return Block(
        network.widths[stage],
        network.bottleneck,
        stride=network.strides[stage] if index == 0 else 1,
        dilation=network.dilations[stage - 1 if keep else stage],
        convention=network.convention,
        dtype=network.dtype,
        axis_name=network.axis_name,
        name=f"layer{stage + 1}_{index}",
    )(x if stage == index == 0 else nn.relu(x), sizes, **statistics)


def _conv_norm(
    x, conv_name, norm_name, width, kernel_size=1, stride=1, dilation=1, *, dtype, axis_name, statistics
):
    convolve = Conv(width, kernel_size, stride, dilation, dtype=dtype, name=conv_name)
    if statistics.get("batch_statistics"):
        return BatchNorm(axis_name=axis_name, name=norm_name)(convolve(x), **statistics)
    return convolve(x, *FixedNorm(name=norm_name)(width))  # kernels are multiplied, not features


def _features(x, sizes):
    return Features(zero_padding(x.astype(jnp.float32), sizes), sizes)
