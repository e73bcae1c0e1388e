"""Configurations with the table's defaults, and whether one fits the table and itself."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from fsjax.config.fields import check_fields, nearest
from fsjax.config.table import AREA_RULES, SECTIONS_LEFT_FREE, TABLE
from fsjax.errors import InputError


def default() -> ConfigDict:
    """Returns the defaults; they describe no run by themselves."""
    config = ConfigDict()
    for name in (*TABLE, *(f"{section}." for section in SECTIONS_LEFT_FREE)):
        *sections, last = name.split(".")
        part = config
        for section in sections:
            if section not in part:
                part[section] = ConfigDict()
            part = part[section]
        if last:
            part[last] = TABLE[name].default
    return config


def check(config: ConfigDict) -> None:
    """Makes sure that a configuration is sound: all fields are there and allowed, and fit each other.

    What is in a section left free, the room that it belongs to checks.

    Raises:
      InputError: naming the first field that is not, its value and what would do.

    >>> config = default()
    >>> config.train.learning_rate = -1.0
    >>> check(config)
    Traceback (most recent call last):
    fsjax.errors.InputError: train.learning_rate is -1.0: give a number above 0 and at most 100.
    """
    check_names(config)
    values = {name: value for name, value in flatten(config).items() if name in TABLE}
    check_fields(TABLE, values)
    for faults in (_data_faults, _training_faults, _model_faults, _evaluation_faults):
        for fault in faults(values):
            raise InputError(fault)


def check_names(config: ConfigDict) -> None:
    """Makes sure that a configuration has the fields of the table and no others, whatever their values.

    Raises:
      InputError: naming the first field that is unknown, a section, or missing.
    """
    values = flatten(config)
    sections = {*SECTIONS_LEFT_FREE, *(section for name in TABLE for section in _sections(name))}
    for name, value in values.items():
        if name in sections:
            raise InputError(f"{name} is {value!r}, where a section of fields belongs: set those in it.")
        for section in _sections(name):
            if section in TABLE:
                raise InputError(f"{section} is a section of fields: give {TABLE[section].allowed}.")
        if name not in TABLE and not left_free(name):
            raise InputError(f"The configuration has no field {name}{nearest(name, TABLE)}")
    for name in TABLE:
        if name not in values:
            raise InputError(f"The configuration lacks the field {name}: begin with fsjax.config.default().")


def trains(config: ConfigDict) -> bool:
    """Says whether there is a training in a configuration; without one it is for eval.py alone."""
    return bool(config.train.steps or config.train.epochs)


def flatten(config: ConfigDict | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of all fields by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict | Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def left_free(name: str) -> bool:
    """Says whether a field is one of a section left free."""
    return name.startswith(tuple(f"{section}." for section in SECTIONS_LEFT_FREE))


def _sections(name: str) -> list[str]:
    """Returns the sections that a field lies in, the outermost first."""
    return [name[:place] for place, letter in enumerate(name) if letter == "."]


def _data_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name, empty in (("data.min_area", ""), ("eval.min_area", ", or nothing for data.min_area's")):
        area = values[name]
        if not (area in AREA_RULES or (area.isascii() and area.isdigit()) or (empty and not area)):
            yield f"{name} is {area!r}: give {', '.join(AREA_RULES)}, or a number of pixels{empty}."
    held_out = Counter(name for fold in values["data.folds"] for name in fold)
    for name, times in held_out.items():
        if times > 1:
            yield f"data.folds has the class {name!r} {times} times: let one fold hold it out."


def _training_faults(values: Mapping[str, Any]) -> Iterator[str]:
    train = {name.removeprefix("train."): v for name, v in values.items() if name.startswith("train.")}
    paired = train["policy"] in ("pair_epoch", "list_walk")
    for name in ("ways", "queries"):
        if paired and train[name] != 1:
            yield (
                f"train.policy is {train['policy']!r}, one-way with one query, and train.{name} is "
                f"{train[name]}: set train.ways=1 and train.queries=1, or train.policy=class_uniform."
            )
    if train["epochs"] and not paired:
        yield (
            f"train.epochs is {train['epochs']}, and counts walks through all pairs: set "
            "train.policy=pair_epoch, or train.epochs=0."
        )
    if train["cached_features"] and (train["crop"] != 1 or train["rotate"] != 0):
        yield (
            "train.cached_features is True, and cached are only a photo and its mirror image: set "
            "train.crop=1 and train.rotate=0, or train.cached_features=False."
        )
    if train["cached_features"] and values["model.name"] != "dpnet":
        yield (
            "train.cached_features is True, and only dpnet's backbone is frozen: set model.name=dpnet, or "
            "train.cached_features=False."
        )
    for name in ("steps", "epochs"):
        if train[name] and values["model.name"] == "fssdino":
            yield (
                f"train.{name} is {train[name]}, and fssdino is never trained: set train.{name}=0, or "
                "another model.name."
            )
    linear = values["lr_scaling"] == "linear"
    factor = values["batch_size"] / train["reference_batch_size"] if linear else 1.0
    warmup, steps = round(train["warmup"] / factor), max(1, round(train["steps"] / factor))
    if train["schedule"] == "cosine" and train["steps"] and not train["epochs"] and warmup >= steps:
        yield f"train.warmup is {train['warmup']} and takes {warmup} of {steps} steps: make it shorter."


def _model_faults(values: Mapping[str, Any]) -> Iterator[str]:
    if not values["model.dpnet.auxiliary"]:
        for name in ("aux_only", "lambda1"):
            if values[f"model.dpnet.{name}"]:
                yield (
                    f"model.dpnet.{name} is {values[f'model.dpnet.{name}']}, and with "
                    "model.dpnet.auxiliary=False there is no auxiliary loss: set model.dpnet.lambda1=0 and "
                    "model.dpnet.aux_only=False."
                )


def _evaluation_faults(values: Mapping[str, Any]) -> Iterator[str]:
    policy = values["eval.policy"]
    for name in ("ways", "queries"):
        if policy in ("list_walk", "image_walk") and values[f"eval.{name}"] != 1:
            yield (
                f"eval.policy is {policy!r}, one-way with one query, and eval.{name} is "
                f"{values[f'eval.{name}']}: set eval.ways=1 and eval.queries=1, or eval.policy=class_uniform."
            )
    if 1.0 not in values["eval.scales"]:
        yield f"eval.scales is {values['eval.scales']}: let 1.0 be one of them."
