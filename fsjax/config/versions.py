"""How a run's configuration is stored, and how every one stored so far is opened."""

import json
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from ml_collections import ConfigDict

from fsjax.config.checking import default, flatten, left_free
from fsjax.config.table import TABLE
from fsjax.errors import InputError

VERSION = 3
"""Of the table. Version 1 stored the configuration bare, with what the run had found out in it; version 2 had
data sets that were built from `data.dir` at first use, and `data.min_area` a number."""


class Selected(TypedDict):
    """The best checkpoint of those that were measured so far."""

    step: int
    score: float  # mean-IoU in percent
    row: str  # the output of the method that was scored
    episodes: int
    sha256: str  # of the episodes


class Found(TypedDict, total=False):
    """What a run finds out, apart from its configuration; what is not there is not known."""

    data_version: str
    backbone_sha256: str  # of a frozen backbone's weights
    weights_sha256: str  # of the weights that the backbone began with
    train_ids_sha256: str  # of the ids of the training images
    steps: int  # at which the training ends, after train.epochs and lr_scaling
    base_classes: list[str]  # names, in the order of their ids
    novel_classes: list[str]
    backbone_classes: list[str]  # names, of the run that lent its backbone
    backbone_selected_on: list[str]  # names of novel classes on which that run's checkpoint was selected
    selection: Selected
    unmeasured: int  # the step that is still to be measured, as SIGTERM came before


def store(config: ConfigDict, found: Found) -> dict[str, Any]:
    """Returns what is written down of a run, as JSON has it."""
    stored: dict[str, Any] = {"version": VERSION, "config": config.to_dict(), "found": dict(found)}
    return dict(json.loads(json.dumps(stored)))


def upgrade(stored: Mapping[str, Any]) -> tuple[ConfigDict, Found]:
    """Returns the configuration of a run stored by any version, as today's table has it, and what it found.

    Fields that its version did not know have their defaults.

    Args:
      stored: what `store` returned, or the configuration alone, as version 1 stored it.

    Raises:
      InputError: a newer version stored it, or it is no configuration of fsjax.
    """
    version = stored.get("version", 1)
    if not isinstance(version, int) or version > VERSION:
        raise InputError(
            f"The run was stored with version {version!r} of the configuration, and this fsjax reads up to "
            f"{VERSION}: install a newer fsjax."
        )
    config = default()
    values, found = _of_version_1(stored) if version == 1 else (stored.get("config"), stored.get("found"))
    if not isinstance(values, Mapping) or not isinstance(found, Mapping):
        raise _foreign("it lacks the configuration or what the run found")
    values = flatten(values)
    if version < 3:
        _from_version_2(values)
    for name, value in values.items():
        _set(config, name, value)
    return config, cast(Found, dict(found))


def _of_version_1(stored: Mapping[str, Any]) -> tuple[dict[str, Any], Found]:
    """Moves what the run found out of the configuration, and fields to their new names."""
    values = flatten(stored)
    if not {"model.name", "batch_size", "train.steps", "train.reference_batch_size"} <= values.keys():
        raise _foreign("it has no model or no training")
    found = Found(steps=_steps(values))
    if version := values.pop("data.version", ""):
        found["data_version"] = version
    if sha256 := values.pop("model.backbone_sha256", ""):
        found["backbone_sha256"] = sha256
    values.pop("eval.cached_features", None)
    values.setdefault("eval.fusion.threshold_over", "predicted")  # the only reading that 0.1.0 had
    if values.get("train.epochs"):
        del values["train.steps"]  # they had been replaced by the epochs'
    batch_statistics = values.pop("model.batch_statistics", False)
    if values["model.name"] != "dpnet":  # whose backbone is frozen
        values["model.backbone_options.batch_statistics"] = batch_statistics
    usual = _USUAL_OPTIONS | {"batch_statistics": values.get("model.backbone") == "small"}
    for option, value in usual.items():
        if values.get(f"model.backbone_options.{option}") == value:
            del values[f"model.backbone_options.{option}"]
    return values, found


def _from_version_2(values: dict[str, Any]) -> None:
    """Brings fields up to date whose meaning is the same; data sets have names now instead of folders."""
    values.pop("data.dir", None)
    area = values.get("data.min_area", 1)
    if isinstance(area, int):
        values["data.min_area"] = {0: "none", 1: "none", 2048: "pfenet"}.get(area, str(area))


_USUAL_OPTIONS: dict[str, Any] = {
    "stages": 4,
    "convention": "torchvision",
    "first_block_dilation": "previous",
}
"""Version 1 wrote them out; today they are left out where they are the backbone's own defaults."""


def _steps(values: Mapping[str, Any]) -> int:
    linear = values.get("lr_scaling") == "linear"
    factor = values["batch_size"] / values["train.reference_batch_size"] if linear else 1.0
    return max(1, round(values["train.steps"] / factor))


def _set(config: ConfigDict, name: str, value: Any) -> None:
    if name not in TABLE and not left_free(name):
        raise _foreign(f"it has the field {name}, which is unknown here")
    *sections, last = name.split(".")
    for section in sections:
        config = config[section]
    try:
        config[last] = _tuples(value)
    except TypeError:
        raise _foreign(f"its field {name} is {value!r}") from None


def _tuples(value: Any) -> Any:
    """JSON has no tuples; configurations have no lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _foreign(why: str) -> InputError:
    return InputError(f"The stored configuration cannot be opened, {why}: name a run that fsjax has made.")
