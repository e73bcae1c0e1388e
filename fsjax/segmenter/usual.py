"""The model where nobody names one: a network's own weights, DINOv2-small, or else ResNet-50."""

from pathlib import Path

from ml_collections import ConfigDict

from fsjax.errors import InputError
from fsjax.models import backbones
from fsjax.models.backbones import hub
from fsjax.models.backbones.named import IMAGENET, NAMED, licence

USUAL = "dinov2-small"
_IMAGENET_ON = "resnet50"


def usual() -> tuple[str, str]:
    """Returns the model that is taken where none is named, and a sentence that says which and why.

    Weights that are not in the hub's cache are fetched. Where the hub does not answer, it is asked once.

    Raises:
      InputError: the hub does not answer, and its cache has neither model's weights.
    """
    known = NAMED[USUAL]
    file = hub.HubFile(known.repository)
    called = f"The model is {USUAL} (DINOv2, {known.licence}), which is taken where none is named"
    if Path(USUAL).exists():
        return USUAL, f"{called}: a file or folder of that name is here."
    if hub.cached(file):
        return USUAL, f"{called}: its weights are in the hub's cache."
    try:
        hub.fetch(file)
    except hub.UnreachableError as error:
        if not hub.cached(hub.HubFile(backbones.make(_IMAGENET_ON, {}, "float32").imagenet())):
            raise
        return IMAGENET, _instead(error)
    except InputError as error:
        return IMAGENET, _instead(error)
    return USUAL, f"{called}: its weights have been fetched."


def of_network(model: ConfigDict) -> tuple[str, str]:
    """Returns the published weights of a configured network, and a sentence that says so; nothing is fetched.

    Args:
      model: the section of a configuration.

    Raises:
      InputError: there is no such network, an option of it is wrong, or nobody has published its weights.
    """
    network = backbones.make(model.backbone, dict(model.backbone_options), "float32")
    if not network.published:
        raise InputError(
            f"No model is named, and there are no published weights of {model.backbone}: name a run, or a "
            "file of weights."
        )
    name = network.published[0]
    terms = f" ({licence(NAMED[name].repository)})" if name in NAMED else ""
    return name, f"The model is {name}{terms}, the published weights of {model.backbone}."


def _instead(why: InputError) -> str:
    return f"The model is {IMAGENET}, ResNet-50, because {USUAL} cannot be taken: {why}"
