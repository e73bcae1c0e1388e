"""What a segmenter is loaded from: a run, an exported model, or pretrained weights as they are."""

import logging
from pathlib import Path

from ml_collections import ConfigDict

from fsjax.config import check_evaluation_owns, default
from fsjax.errors import InputError
from fsjax.models import build
from fsjax.models.backbones import hub, weights_file
from fsjax.models.backbones.named import IMAGENET, NAMED, meant
from fsjax.models.backbones.recognition import recognised
from fsjax.models.method import Networked
from fsjax.models.variables import Variables
from fsjax.segmenter.usual import of_network, usual
from fsjax.training import release
from fsjax.training.runs import Run
from fsjax.training.weights import RANDOM, initial_variables

LOG = logging.getLogger(__name__)


def configuration(source: str | Path) -> ConfigDict:
    """Returns the configuration that belongs to a model.

    Args:
      source: a run's folder, or the file of an exported model: the run's own. "imagenet", or a file of
        weights of a ResNet, VGG-16, DINOv2 or DINOv3: PRNet on that network, which the file's keys and their
        shapes tell, without training. A repository of the hub, "owner/name", and weights by name, as
        dinov2-small, are their file, and fetched once.

    Raises:
      InputError: there is no such run or file, or it is damaged, or another network's.
    """
    place = _fetched(source)
    if place.is_dir():
        return Run.open(place).config
    if release.is_export(place):
        return release.configuration(place)
    config = default()
    config.model.update(backbone="resnet50", weights=str(source))
    config.train.steps = 0
    config.eval.label = "original"
    if place.is_file():
        network = recognised(weights_file.shapes(place))
        if network is None:
            raise InputError(
                f"{place} holds weights of no network that is known without a configuration: name a "
                "ResNet-50's, a ResNet-101's, a VGG-16's, a DINOv2's or a DINOv3's, or give --config."
            )
        config.model.backbone = network.backbone
        config.model.backbone_options.update(network.options)
        config.eval.size = network.side or config.eval.size
    return config


def load(
    source: str | Path | None, config: ConfigDict | None = None
) -> tuple[ConfigDict, Networked, Variables]:
    """Returns the configuration, the method and the variables of a model.

    Args:
      source: see `configuration`. None: with a configuration its model.weights, its network's published
        ones where that is empty, and else the usual model, which is logged; see `usual`.
      config: in place of the one that belongs to it; of a run or an exported model only what an evaluation
        owns may differ.

    Raises:
      InputError: it is missing, damaged, or does not fit the configuration.
    """
    if source is None:
        source = _usual() if config is None else config.model.weights or of_network(config.model)[0]
    place = _fetched(source)
    if release.is_export(place):
        model = release.read(place)
        check_evaluation_owns(model.config, config or model.config, place)
        return config or model.config, model.method, model.variables
    if place.is_dir():
        run = Run.open(place)
        check_evaluation_owns(run.config, config or run.config, place)
        method = build.method(run.config.model)
        return config or run.config, method, run.variables(method)
    config = config or configuration(source)
    method = build.method(config.model)
    return config, method, initial_variables(method, config.seed, str(source), lambda run: None)


def _fetched(source: str | Path) -> Path:
    """Returns where a model is; one of the hub's is fetched, but for ImageNet weights by that name.

    Raises:
      InputError: nothing is there, or it cannot be fetched.
    """
    if str(source) in ("", RANDOM):
        raise InputError(f"{str(source)!r} is no model: name a run, a file of weights, or {IMAGENET}.")
    if str(source) == IMAGENET or Path(source).exists():
        return Path(source)
    file = hub.parse(str(source))
    if file is None:
        raise InputError(
            f"The model is {source}, and nothing is there: name a run's folder, an exported model, a file of "
            f"weights, a hub's repository, or weights by name, {meant(str(source)) or IMAGENET} or another: "
            f"{IMAGENET}, {', '.join(NAMED)}."
        )
    return hub.fetch(file)


def _usual() -> str:
    """Returns the usual model; what stands in for it is logged where one sees it without asking for it."""
    source, why = usual()
    LOG.log(logging.WARNING if source == IMAGENET else logging.INFO, "%s", why)
    return source
