"""The backbones, by the names that configurations call them, and their options."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from fsjax.config import Field, check_fields
from fsjax.devices import DEVICES
from fsjax.errors import InputError
from fsjax.models.backbones.architecture import DINOV2, DINOV3, REGISTERS, Architecture
from fsjax.models.backbones.backbone import Backbone
from fsjax.models.backbones.named import names
from fsjax.models.backbones.positions import CODEBASES
from fsjax.models.backbones.resnet import ResNet, resnet50, resnet101, small
from fsjax.models.backbones.resnet_backbone import ResNetBackbone
from fsjax.models.backbones.vgg import VGG
from fsjax.models.backbones.vgg_backbone import VGGBackbone
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone

_PRETRAINED = {
    "stages": Field(4, "the last stage that is built", low=1, high=4),
    "convention": Field(
        "torchvision",
        "whose weights fit: stride on the 3x3 and RGB over its deviation, or stride on the 1x1 and BGR",
        choices=("torchvision", "caffe"),
    ),
    "first_block_dilation": Field(
        "previous",
        "of a dilated stage's first 3x3: the previous stage's, as torchvision's, or its own stage's",
        choices=("previous", "stage"),
    ),
    "batch_statistics": Field(False, "normalise by the batch in training; True when training from scratch"),
}
_FROM_SCRATCH = {
    "widths": Field(
        (32, 64, 128), "channels of each stage", each=Field(1, "channels", low=1, high=4096), least=1
    ),
    "batch_statistics": Field(True, "normalise by the batch in training"),
}
_WITHOUT_NORM = {
    "width": Field(
        64, "channels of the first block, the others having 2, 4, 8 and 8 times as many", low=1, high=512
    ),
}


def _vit_options(depth: int, **own: Field) -> dict[str, Field]:
    """Returns the options of a vision transformer of so many blocks."""
    return {
        "deep": Field(0, "the block whose features are DEEP, from 1; 0: the last", low=0, high=depth),
        "shallow": Field(0, "the block whose features are SHALLOW; 0: half of deep", low=0, high=depth),
        "final_norm": Field(True, "whether the last normalisation follows the block of DEEP"),
        "positions": Field("weights", "whose rule of positions is followed", choices=("weights", *CODEBASES)),
        "debias": Field(
            0,
            "leading directions of an empty photo's features that are projected out of DEEP",
            low=0,
            high=1000,
        ),
        "stage_blocks": Field(0, "blocks of a stage; 0: a quarter of all, rounded up", low=0, high=depth),
        **own,
    }


def _resnet(
    network: Callable[..., ResNet],
    repository: str,
    dtype: DTypeLike,
    remat: str,
    *,
    batch_statistics: bool,
    **options: Any,
) -> Backbone:
    made = network(**options, dtype=dtype, axis_name=DEVICES, remat=remat)
    return ResNetBackbone(made, batch_statistics, repository)


def _vgg(dtype: DTypeLike, remat: str, *, width: int) -> Backbone:
    return VGGBackbone(VGG(width, dtype=dtype, remat=remat), "timm/vgg16.tv_in1k")


def _vit(
    name: str,
    shape: Architecture,
    dtype: DTypeLike,
    remat: str,
    *,
    deep: int,
    shallow: int,
    final_norm: bool,
    positions: str,
    debias: int,
    stage_blocks: int,
    registers: bool = True,
) -> Backbone:
    if debias >= shape.width:
        raise InputError(
            f"model.backbone_options.debias is {debias}, and features have {shape.width} channels: name "
            "fewer."
        )
    deep = deep or shape.depth
    shallow = shallow or max(deep // 2, 1)
    stage = stage_blocks or -(-max(deep, shallow) // 4)
    network = ViT(
        replace(shape, registers=REGISTERS if registers else 0),
        deep,
        shallow,
        final_norm,
        stage,
        dtype=dtype,
        remat=remat,
    )
    published = names(name, registers=registers)
    return ViTBackbone(network, None if positions == "weights" else positions, debias, published)


_REGISTERS = Field(False, "with four tokens that belong to no patch")

_BACKBONES: dict[str, tuple[dict[str, Field], Callable[..., Backbone]]] = {
    "resnet50": (_PRETRAINED, partial(_resnet, resnet50, "timm/resnet50.tv_in1k")),
    "resnet101": (_PRETRAINED, partial(_resnet, resnet101, "timm/resnet101.tv_in1k")),
    "vgg16": (_WITHOUT_NORM, _vgg),
    **{
        name: (_vit_options(shape.depth, registers=_REGISTERS), partial(_vit, name, shape))
        for name, shape in DINOV2.items()
    },
    **{name: (_vit_options(shape.depth), partial(_vit, name, shape)) for name, shape in DINOV3.items()},
    "small": (_FROM_SCRATCH, partial(_resnet, small, "")),
}
"""For each name its options, and what makes it: a function of the type to compute in, of what is computed
again for gradients (see `make`), and of all options."""

OPTIONS = {name: options for name, (options, _) in _BACKBONES.items()}
"""The backbones' names, and what `model.backbone_options` may hold for each."""


def make(name: str, options: Mapping[str, Any], compute_dtype: str, remat: str = "none") -> Backbone:
    """Returns the backbone of a name.

    Args:
      name: one of `OPTIONS`.
      options: of that backbone; where one is missing, its default is taken.
      compute_dtype: what convolutions compute in, e.g. "bfloat16"; features and variables are float32.
      remat: what is computed again for gradients instead of being kept: none, stages or blocks.

    Raises:
      InputError: for another name, an unknown option, or a value that an option does not allow.

    >>> backbone = make("resnet50", {"stages": 3}, "float32")
    >>> backbone.channels, backbone.side(320), backbone.cells(321)
    ({'shallow': 512, 'deep': 1024}, 321, 41)
    """
    if name not in OPTIONS:
        raise InputError(f"model.backbone is {name!r}: choose one of {', '.join(OPTIONS)}.")
    known, made = _BACKBONES[name]
    check_fields(known, options, "model.backbone_options.")
    chosen = {option: options.get(option, field.default) for option, field in known.items()}
    return made(jnp.dtype(compute_dtype), remat, **chosen)
