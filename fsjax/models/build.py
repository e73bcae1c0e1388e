"""The small interface that every method satisfies, and the one place that builds a method from a config."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from fsjax.devices import DEVICES
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.backbones.resnet import BACKBONES
from fsjax.models.dpnet.dpnet import DPNet, Explanation
from fsjax.models.dpnet.head import Head, Switches
from fsjax.models.dpnet.pseudo_prototype import PSEUDO_PROTOTYPES
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.variables import Variables


@runtime_checkable
class Method(Protocol):
    """A few-shot segmenter. Nothing above this room knows which one runs.

    Training is embed, then loss. Evaluation is embed, fit, segment. Features are a pytree whose leaves have
    images first.

    Attributes:
      frozen: whether the extractor is never trained; its features may then come from a cache.
      outputs: the names of what `segment` returns.
      plain: the one without the method's refinements.
      final: the one that is the method's answer.
    """

    frozen: bool
    outputs: tuple[str, ...]
    plain: str
    final: str

    def settings(self, evaluation: ConfigDict) -> Any:
        """Returns the settings of `segment` that `config.eval` describes, checked."""

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns the head's part of them alone."""

    def embed(
        self, variables: Variables, images, sizes, *, train: bool = False, weights=None
    ) -> tuple[Any, Any]:
        """Returns the features of images [B, H, W, 3] and the extractor's new statistics."""

    def loss(
        self, variables: Variables, supports: Any, queries: Any, episodes: Episode, rngs
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the loss of each of B episodes, from features, and its terms, all [B]."""

    def fit(self, variables: Variables, supports: Any, masks, sizes) -> Any:
        """Returns all that segmenting needs of one episode's supports."""

    def segment(
        self,
        variables: Variables,
        fitted: Any,
        queries: Any,
        shape: tuple[int, int],
        sizes,
        settings: Any,
    ) -> dict[str, jax.Array]:
        """Returns the logits [T, H, W, N + 1] of every output, on the labels' own pixels."""


@runtime_checkable
class Adaptable(Protocol):
    """A method that can be tuned to an episode before it segments."""

    def adapt(
        self,
        variables: Variables,
        episode: Episode,
        settings: AdaptSettings,
        probe: Callable[[Variables], Any] | None = None,
    ) -> tuple[Variables, Any]:
        """Returns the variables tuned to one episode's supports, and the probe's value after each step."""


@runtime_checkable
class Explainable(Protocol):
    """A method that compares cells of a support with cells of a query, and can show how."""

    def explain(
        self, variables: Variables, supports: Any, masks, sizes, queries: Any, settings: Any
    ) -> Explanation:
        """Returns what it finds between the first support and the first query of an episode."""


def build(model: ConfigDict) -> Method:
    """Builds the method that `config.model` describes.

    Raises:
      InputError: for an unknown method, backbone or switch.
    """
    if model.backbone not in BACKBONES:
        raise InputError(f"model.backbone is {model.backbone!r}: choose one of {', '.join(BACKBONES)}.")
    extractor = BACKBONES[model.backbone](
        **model.backbone_options, dtype=jnp.dtype(model.compute_dtype), axis_name=DEVICES
    )
    match model.name:
        case "prnet":
            return _prnet(model, extractor)
        case "dpnet":
            return _dpnet(model, extractor)
    raise InputError(f"model.name is {model.name!r}: choose 'prnet' or 'dpnet'.")


def _prnet(model: ConfigDict, extractor: nn.Module) -> PRNet:
    last = extractor.stages or len(extractor.stage_sizes)
    return PRNet(
        extractor=extractor,
        feature=f"stage{last}_pre",
        last_stage=f"layer{last}",
        batch_statistics=model.batch_statistics,
        scale=model.scale,
    )


def _dpnet(model: ConfigDict, extractor: nn.Module) -> DPNet:
    if (extractor.stages or len(extractor.stage_sizes)) != 3:
        raise InputError("DPNet compares stage 3: set model.backbone_options.stages=3.")
    options = model.dpnet
    for field in ("width", "dis_hidden", "pim_hidden", "tile"):
        if options[field] < 1:
            raise InputError(f"model.dpnet.{field} is {options[field]}: choose 1 or more.")
    if not options.rates or min(options.rates) < 1:
        raise InputError(f"model.dpnet.rates is {tuple(options.rates)}: give dilations of 1 or more.")
    head = Head(
        width=options.width,
        dis_hidden=options.dis_hidden,
        pim_hidden=options.pim_hidden,
        alpha_init=options.alpha_init,
        rates=tuple(options.rates),
        auxiliary=options.auxiliary,
        tile=options.tile,
        dtype=jnp.dtype(model.compute_dtype),
    )
    return DPNet(extractor, head, switches(options))


def switches(options: ConfigDict) -> Switches:
    """Returns the switches that `config.model.dpnet` describes.

    Raises:
      InputError: for a value that is none of a switch's.
    """
    choices = {"pseudo_prototype": PSEUDO_PROTOTYPES, "dis_loss_set": ("candidates", "selected")}
    for field, values in choices.items():
        if options[field] not in values:
            raise InputError(f"model.dpnet.{field} is {options[field]!r}: choose from {', '.join(values)}.")
    if not 0 <= options.dropout < 1:
        raise InputError(f"model.dpnet.dropout is {options.dropout}: choose 0 or more and less than 1.")
    if not 0 <= options.beta <= 1:
        raise InputError(f"model.dpnet.beta is {options.beta}: choose 0 to 1.")
    if options.lambda1 < 0 or options.lambda2 < 0:
        raise InputError("model.dpnet.lambda1 and lambda2 weigh losses: choose 0 or more.")
    if not options.auxiliary and (options.aux_only or options.lambda1):
        raise InputError(
            "model.dpnet.auxiliary=False has no auxiliary loss: set lambda1=0 and aux_only=False."
        )
    return Switches(
        pim=float(options.pim),
        msf=float(options.msf),
        pseudo_prototype=PSEUDO_PROTOTYPES.index(options.pseudo_prototype if options.ccm else "off"),
        aux_only=float(options.aux_only),
        selected_loss=float(options.dis_loss_set == "selected"),
        lambda1=options.lambda1,
        lambda2=options.lambda2,
        beta=options.beta,
        dropout=options.dropout,
    )
