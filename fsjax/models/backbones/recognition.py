"""Which backbone a file holds the weights of, told by its keys and their shapes."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fsjax.errors import InputError
from fsjax.models.backbones import vit_weights, weights_file
from fsjax.models.backbones.architecture import DINOV2, DINOV3
from fsjax.models.backbones.named import SIDES

_RESNETS = {6: "resnet50", 23: "resnet101"}
"""By the blocks of their third stage."""

_VITS = DINOV2 | DINOV3

Shapes = Mapping[str, tuple[int, ...]]


class Recognised(NamedTuple):
    """A backbone by its name, and what its weights ask for.

    Attributes:
      backbone: as `model.backbone` names it.
      options: of `model.backbone_options`.
      side: of a photo, in pixels; 0 for any.
    """

    backbone: str
    options: dict[str, Any]
    side: int = 0


def recognised(shapes: Shapes) -> Recognised | None:
    """Returns the backbone whose weights have these keys and shapes; None if it is none that is known."""
    if "features.0.weight" in shapes:
        return Recognised("vgg16", {})
    matches = [re.match(r"layer(\d)\.(\d+)\.conv1\.weight", key) for key in shapes]
    stages = dict(sorted((int(match[1]), int(match[2]) + 1) for match in matches if match))  # last blocks
    resnet = _RESNETS.get(stages.get(3, 0))
    if resnet:
        convention = "caffe" if "mean_bgr" in shapes else "torchvision"
        return Recognised(resnet, {"stages": max(stages), "convention": convention})
    return _vit(shapes)


@contextmanager
def naming_the_backbone(path: Path, backbone: str, **options: Any) -> Iterator[None]:
    """Where weights cannot be loaded because they are another known backbone's, lets the sentence say so.

    Args:
      path: of the weights' file.
      backbone: that is configured, by its name; "" for one without.
      options: of it, without which it is another.

    Raises:
      InputError: they are another's, or in place of one about what else is wrong.
    """
    try:
        yield
    except InputError as error:
        try:
            found = recognised(weights_file.shapes(path))
        except InputError:
            raise error from None
        if found is None or (found.backbone == backbone and options.items() <= found.options.items()):
            raise
        told = {name: value for name, value in found.options.items() if name in options or value is True}
        flags = [f"--config.model.backbone={found.backbone}"]
        flags += [f"--config.model.backbone_options.{name}={value}" for name, value in told.items()]
        raise InputError(
            f"{path} holds weights of another network than is configured: give {' '.join(flags)} for them, "
            "or name others."
        ) from error


def _vit(shapes: Shapes) -> Recognised | None:
    named = {vit_weights.name_of(key): shape for key, shape in shapes.items()}
    patch = named.get("patch_embed.proj.weight", ())
    blocks = [int(match[1]) + 1 for match in (re.match(r"blocks\.(\d+)\.", name) for name in named) if match]
    if len(patch) != 4 or not blocks:
        return None
    gated = any(".mlp.gate." in name for name in named)
    fitting = [
        name
        for name, shape in _VITS.items()
        if (shape.width, shape.patch, shape.depth) == (patch[0], patch[2], max(blocks))
        and bool(shape.grid) == ("pos_embed" in named)
    ]
    if len(fitting) > 1:
        fitting = [name for name in fitting if _VITS[name].gated == gated]
    if not fitting:
        return None
    family = fitting[0].partition("_")[0]
    options = {"registers": "register_tokens" in named} if family == "dinov2" else {}
    return Recognised(fitting[0], options, SIDES[family])
