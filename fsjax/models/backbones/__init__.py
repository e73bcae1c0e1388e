"""The backbones, by the names that configurations call them, and their options."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from fsjax.config import Field, check_fields
from fsjax.devices import DEVICES
from fsjax.errors import InputError
from fsjax.models.backbones.backbone import Backbone
from fsjax.models.backbones.resnet import resnet50, resnet101, small
from fsjax.models.backbones.resnet_backbone import ResNetBackbone

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

OPTIONS: dict[str, dict[str, Field]] = {
    "resnet50": _PRETRAINED,
    "resnet101": _PRETRAINED,
    "small": _FROM_SCRATCH,
}
"""The backbones' names, and what `model.backbone_options` may hold for each."""

_NETWORKS = {"resnet50": resnet50, "resnet101": resnet101, "small": small}


def make(name: str, options: Mapping[str, Any], compute_dtype: str) -> Backbone:
    """Returns the backbone of a name.

    Args:
      name: one of `OPTIONS`.
      options: of that backbone; where one is missing, its default is taken.
      compute_dtype: what convolutions compute in, e.g. "bfloat16"; features and variables are float32.

    Raises:
      InputError: for another name, an unknown option, or a value that an option does not allow.

    >>> backbone = make("resnet50", {"stages": 3}, "float32")
    >>> backbone.channels, backbone.side(320), backbone.cells(321)
    ({'shallow': 512, 'deep': 1024}, 321, 41)
    """
    if name not in OPTIONS:
        raise InputError(f"model.backbone is {name!r}: choose one of {', '.join(OPTIONS)}.")
    check_fields(OPTIONS[name], options, "model.backbone_options.")
    chosen = {option: options.get(option, field.default) for option, field in OPTIONS[name].items()}
    batch_statistics = chosen.pop("batch_statistics")
    network = _NETWORKS[name](**chosen, dtype=jnp.dtype(compute_dtype), axis_name=DEVICES)
    return ResNetBackbone(network, batch_statistics)
