"""The one place that makes a method from a configuration."""

from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from fsjax.models import backbones
from fsjax.models.backbones.backbone import SHALLOW, Backbone
from fsjax.models.dpnet.dpnet import DPNet, DPNetSettings
from fsjax.models.dpnet.head import Head, Switches
from fsjax.models.method import Trainable
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet


def method(model: ConfigDict) -> Trainable:
    """Builds the method that `config.model`, which has been checked, describes.

    Raises:
      InputError: for an option that the backbone does not have.
    """
    backbone = backbones.make(model.backbone, model.backbone_options.to_dict(), model.compute_dtype)
    if model.name == "prnet":
        return PRNet(backbone, model.scale, model.support_loss)
    return _dpnet(model, backbone)


def segment_settings(config: ConfigDict) -> Any:
    """Returns the settings of the method's `segment`, a frozen dataclass."""
    if config.model.name == "prnet":
        return FusionSettings(**config.eval.fusion)
    return DPNetSettings(config.eval.beta)


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
