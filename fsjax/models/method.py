"""The small interface that every method satisfies, and the one place that builds a method from a config."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from fsjax.devices import DEVICES
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.adaptation import AdaptSettings
from fsjax.models.fusion import FusionSettings
from fsjax.models.prnet import PRNet
from fsjax.models.resnet import BACKBONES
from fsjax.models.variables import Variables


@runtime_checkable
class Method(Protocol):
    """A few-shot segmenter. Nothing above this room knows which one runs.

    Training is embed, then loss. Evaluation is embed, fit, segment; with adaptation, adapt comes first.
    Features are a pytree whose leaves have images first.

    Attributes:
      outputs: the names of what `segment` returns.
      plain: the one without the method's refinements.
      final: the one that is the method's answer.
    """

    outputs: tuple[str, ...]
    plain: str
    final: str

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""

    def embed(
        self, variables: Variables, images, sizes, *, train: bool = False, weights=None
    ) -> tuple[Any, Any]:
        """Returns the features of images [B, H, W, 3] and the extractor's new statistics."""

    def loss(
        self, variables: Variables, supports: Any, queries: Any, episode: Episode, rng: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns one episode's loss, from features, and its terms."""

    def adapt(
        self,
        variables: Variables,
        episode: Episode,
        settings: AdaptSettings,
        probe: Callable[[Variables], Any] | None = None,
    ) -> tuple[Variables, Any]:
        """Returns the variables tuned to one episode's supports, and the probe's value after each step."""

    def fit(self, variables: Variables, supports: Any, masks, sizes) -> Any:
        """Returns all that segmenting needs of the supports."""

    def segment(
        self,
        variables: Variables,
        fitted: Any,
        queries: Any,
        shape: tuple[int, int],
        sizes,
        settings: FusionSettings,
    ) -> dict[str, jax.Array]:
        """Returns the logits [T, H, W, N + 1] of every output, on the labels' own pixels."""


def build(model: ConfigDict) -> Method:
    """Builds the method that `config.model` describes.

    Raises:
      InputError: for an unknown method or backbone.
    """
    if model.backbone not in BACKBONES:
        raise InputError(f"model.backbone is {model.backbone!r}: choose one of {', '.join(BACKBONES)}.")
    extractor = BACKBONES[model.backbone](
        **model.backbone_options, dtype=jnp.dtype(model.compute_dtype), axis_name=DEVICES
    )
    last = extractor.stages or len(extractor.stage_sizes)
    if model.name == "prnet":
        return PRNet(
            extractor=extractor,
            feature=f"stage{last}_pre",
            last_stage=f"layer{last}",
            batch_statistics=model.batch_statistics,
            scale=model.scale,
        )
    raise InputError(f"model.name is {model.name!r}: the method at hand is 'prnet'.")
