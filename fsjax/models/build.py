"""The one place that makes a method from a configuration."""

from dataclasses import fields, replace
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from fsjax.config import TABLE
from fsjax.errors import InputError
from fsjax.models import backbones
from fsjax.models.backbones.backbone import SHALLOW, Backbone
from fsjax.models.dpnet.dpnet import DPNet, DPNetSettings
from fsjax.models.dpnet.head import Head, Switches
from fsjax.models.fssdino.clustering import Clustering
from fsjax.models.fssdino.fssdino import FSSDINO
from fsjax.models.method import Networked, Trainable
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet


def method(model: ConfigDict) -> Networked:
    """Builds the method that `config.model`, which has been checked, describes.

    Raises:
      InputError: for an option that the backbone does not have.
    """
    options = model.backbone_options.to_dict()
    backbone = backbones.make(model.backbone, options, model.compute_dtype, model.remat)
    if model.name == "prnet":
        return PRNet(backbone, model.scale, model.support_loss)
    if model.name == "fssdino":
        return FSSDINO(backbone, model.scale)
    return _dpnet(model, backbone)


def trainable(model: ConfigDict) -> Trainable:
    """Builds the method that is to be trained.

    Raises:
      InputError: as `method`, and for one that is never trained.
    """
    made = method(model)
    if not isinstance(made, Trainable):
        raise InputError(f"model.name is {model.name!r}, which is never trained: give it to eval.py.")
    return made


def segment_settings(config: ConfigDict) -> Any:
    """Returns the settings of the method's `segment`, a frozen dataclass."""
    if config.model.name == "prnet":
        return FusionSettings(**config.eval.fusion)
    if config.model.name == "fssdino":
        return Clustering(**config.eval.fssdino)
    return DPNetSettings(config.eval.beta)


def variants(config: ConfigDict) -> dict[str, Any]:
    """Returns the settings that `eval.variants` names: the method's own with some fields changed.

    Raises:
      InputError: for what is not of the form field=value, several with + between them, or not a field of the
        method's segmentation or a value of it.
    """
    own = segment_settings(config)
    return {text: _changed(own, text, config.model.name) for text in config.eval.variants}


def _changed(settings: Any, text: str, method: str) -> Any:
    prefix = {"prnet": "eval.fusion.", "fssdino": "eval.fssdino."}.get(method, "eval.")
    names = [field.name for field in fields(settings)]
    changes = {}
    for part in text.split("+"):
        name, equals, value = part.partition("=")
        if name not in names or not equals:
            raise InputError(
                f"eval.variants holds {text!r}: write field=value, with + between several; the fields are "
                f"{', '.join(names)}."
            )
        changes[name] = TABLE[prefix + name].read(prefix + name, value)
    return replace(settings, **changes)


def _dpnet(model: ConfigDict, backbone: Backbone) -> DPNet:
    options = model.dpnet
    head = Head(
        width=options.width,
        dis_hidden=options.dis_hidden,
        pim_hidden=options.pim_hidden,
        alpha_init=options.alpha_init,
        rates=tuple(options.rates),
        shallow=backbone.channels[SHALLOW],
        rectify=backbone.awaits_relu,
        aligned=backbone.aligned,
        auxiliary=options.auxiliary,
        tile=options.tile,
        dtype=jnp.dtype(model.compute_dtype),
    )
    switches = Switches(
        pim=options.pim,
        msf=options.msf,
        pseudo_prototype=options.pseudo_prototype if options.ccm else "off",
        aux_only=options.aux_only,
        selected_loss=options.dis_loss_set == "selected",
        lambda1=options.lambda1,
        lambda2=options.lambda2,
        beta=options.beta,
        dropout=options.dropout,
    )
    return DPNet(backbone, head, switches)
