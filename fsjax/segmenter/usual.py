"""The model where nobody names one: DINOv2-small if its weights can be had, else ResNet-50."""

from pathlib import Path

from fsjax.errors import InputError
from fsjax.models import backbones
from fsjax.models.backbones import hub
from fsjax.models.backbones.named import NAMED
from fsjax.training.weights import IMAGENET

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


def _instead(why: InputError) -> str:
    return f"The model is {IMAGENET}, ResNet-50, because {USUAL} cannot be taken: {why}"
