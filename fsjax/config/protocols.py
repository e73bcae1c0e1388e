"""The field's evaluation protocols by name: each a set of fields, any of which may be set after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from fsjax.config.checking import flatten

DATA_NAME = "data.name"
PROTOCOL = "eval.protocol"


@dataclass(frozen=True)
class Protocol:
    """How a codebase of the field evaluates.

    Attributes:
      fields: what it sets, whatever the data.
      of_data: what it sets beside on the data sets of these names, its image lists among them.
    """

    fields: Mapping[str, Any]
    of_data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def on(self, data_name: str) -> dict[str, Any]:
        """Returns all that it sets on a data set."""
        return {**self.fields, **self.of_data.get(data_name, {})}


_FIELDS = (
    "eval.size", "eval.input", "eval.label", "eval.void", "eval.support_void", "eval.counting",
    "eval.policy", "eval.runs", "eval.episodes", "eval.min_area",
)  # fmt: skip

_VALUES: dict[str, tuple[Any, ...]] = {
    "panet": (
        417, "square", "input", "ignore", "background", "panet_compat", "class_uniform", 5, 1000, "none",
    ),
    "canet": (
        321, "square", "original", "background", "background", "strict", "class_uniform", 1, 1000, "oslsm",
    ),
    "pfenet": (473, "longside", "original", "ignore", "ignore", "strict", "image_walk", 1, 5000, "pfenet"),
    "hsnet": (400, "square", "input", "ignore", "background", "strict", "class_uniform", 1, 1000, "oslsm"),
    "dpnet": (321, "square", "original", "background", "ignore", "strict", "class_uniform", 1, 1000, "oslsm"),
    "fssdino": (
        512, "longside", "original", "background", "background", "strict", "class_uniform", 1, 1000, "pfenet",
    ),
}  # fmt: skip

_ON_PASCAL: dict[str, dict[str, Any]] = {
    "panet": {"data.test_list": "trainaug"},
    "canet": {"eval.policy": "list_walk"},  # of longer lists 1,000 pairs would be of one class or two
    "hsnet": {"eval.policy": "list_walk"},
}

_ON_COCO: dict[str, dict[str, Any]] = {
    "panet": {"data.test_list": "train"},
    "pfenet": {"eval.size": 641, "eval.episodes": 20_000},
    "dpnet": {"eval.size": 641, "eval.min_area": "pfenet"},
}

PROTOCOLS = {
    name: Protocol(
        dict(zip(_FIELDS, values, strict=True)),
        {
            "pascal5i": {"data.test_list": "val", **_ON_PASCAL.get(name, {})},
            "coco20i": {"data.test_list": "val", **_ON_COCO.get(name, {})},
        },
    )
    for name, values in _VALUES.items()
}
"""By the names that `eval.protocol` may have; docs/protocols.md has them side by side, with their sources."""


def follow(config: ConfigDict, name: str) -> ConfigDict:
    """Sets the fields of a protocol, as its data set's name says; what is set later stays.

    Args:
      config: it is changed.
      name: of PROTOCOLS; "" sets nothing.

    >>> from fsjax.config import default
    >>> config = follow(default(), "hsnet")
    >>> config.eval.size, config.eval.label
    (400, 'input')
    """
    config.eval.protocol = name
    for dotted, value in PROTOCOLS[name].on(config.data.name).items() if name else ():
        section, last = dotted.split(".")
        config[section][last] = value
    return config


def departures(config: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Returns the fields that are not as the protocol says: its value, and the configuration's own."""
    if not config.eval.protocol:
        return {}
    values = flatten(config)
    values["eval.min_area"] = values["eval.min_area"] or values["data.min_area"]
    preset = PROTOCOLS[config.eval.protocol].on(config.data.name)
    return {name: (value, values[name]) for name, value in preset.items() if values[name] != value}
