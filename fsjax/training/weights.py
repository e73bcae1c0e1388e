"""Where a method's variables come from before any training: pretrained weights, another run, a seed."""

from collections.abc import Callable
from pathlib import Path

import jax

from fsjax.errors import InputError
from fsjax.models.backbones import hub
from fsjax.models.backbones.backbone import Backbone
from fsjax.models.backbones.named import IMAGENET, NAMED, meant
from fsjax.models.method import Networked
from fsjax.models.variables import Variables
from fsjax.training.runs import Run

RANDOM = "random"
"""The word for drawn weights, before which no path of that name is looked for, as before `IMAGENET`:
`./imagenet` is a path."""


def initial_variables(
    method: Networked,
    seed: int,
    weights: str,
    check_run: Callable[[Run], None],
) -> Variables:
    """Returns a method's variables before any training; the head is always drawn from the seed.

    Args:
      method: whose variables.
      seed: of what is drawn.
      weights: where the backbone comes from. "random" or "": it is drawn, too. "imagenet": the backbone's
        own ImageNet weights, from the hub. Else the file or the run's folder of that path, where one is.
        Else a repository of the hub, or a file in one; see `hub.parse`.
      check_run: raises where a run's backbone may not be taken.

    Raises:
      InputError: for weights that are missing, cannot be fetched, are of another architecture, or of a run
        that has not ended.
    """
    rng = jax.random.key(seed)
    if weights in ("", RANDOM):
        return method.init(rng)
    folder = run_folder(weights)
    if folder is None:
        file = _file(weights, method.backbone)
        return {"backbone": method.backbone.load(file), "head": method.init_head(rng)}
    run = Run.open(folder)
    check_run(run)
    like = jax.eval_shape(method.init, rng)["backbone"]
    return {"backbone": run.backbone(like), "head": method.init_head(rng)}


def run_folder(weights: str) -> Path | None:
    """Returns the folder of a run where `model.weights` names one."""
    named = weights not in ("", RANDOM, IMAGENET) and Path(weights).is_dir()
    return Path(weights) if named else None


def missing(weights: str, backbone: Backbone) -> str:
    """Returns why weights are not at hand, a sentence, or "" where they are; nothing is fetched or read.

    Args:
      weights: as in `initial_variables`.
      backbone: that they are for.
    """
    if weights in ("", RANDOM) or run_folder(weights):
        return ""
    try:
        named = _named(weights, backbone)
    except InputError as error:
        return str(error)
    if isinstance(named, Path) or hub.cached(named):
        return ""
    return f"The weights, {named}, are not in the hub's cache: they are fetched when they are needed."


def _file(weights: str, backbone: Backbone) -> Path:
    """Returns the file of weights that are no run's, fetched if need be."""
    named = _named(weights, backbone)
    return named if isinstance(named, Path) else hub.fetch(named)


def _named(weights: str, backbone: Backbone) -> Path | hub.HubFile:
    """Returns the file that weights name, here or on the hub."""
    if weights == IMAGENET:
        return hub.HubFile(backbone.imagenet())
    if Path(weights).exists():
        return Path(weights)
    file = hub.parse(weights)
    if file is None:
        by_name = _choices(weights, backbone)
        raise InputError(
            f"model.weights is {weights}, and nothing is there: name a .npz or .safetensors file, "
            f"{f'weights by name ({by_name}), ' if by_name else ''}or a hub's repository, or train a PRNet "
            "on the same fold first and name its folder."
        )
    return file


def _choices(weights: str, backbone: Backbone) -> str:
    """Returns the names of weights that fit a backbone, and the one that is likely to be meant."""
    names, likely = list(backbone.published), meant(weights)
    if likely and likely not in names:
        known = NAMED[likely]
        options = " --config.model.backbone_options.registers=True" if known.registers else ""
        names.append(f"{likely} with --config.model.backbone={known.backbone}{options}")
    return " or ".join(names)
