"""A preset sets its fields, whatever is set after it stays, and a configuration knows where it departs."""

import pytest

from fsjax.cli import set_fields
from fsjax.config import PROTOCOLS, TABLE, check, default, departures, follow
from fsjax.config.checking import flatten
from fsjax.errors import InputError

FIELDS = ("size", "input", "label", "void", "support_void", "counting", "policy", "runs", "episodes",
          "min_area")  # fmt: skip


def on(data_name, *flags):
    config = default()
    config.data.name = data_name
    return set_fields(config, flags)


def test_every_preset_sets_the_same_fields_to_what_they_allow():
    assert tuple(PROTOCOLS) == TABLE["eval.protocol"].choices[1:]
    for name in PROTOCOLS:
        for data in ("pascal5i", "coco20i", "mine"):
            config = follow(on(data), name)
            check(config)
            assert departures(config) == {}
    assert len({frozenset(protocol.fields) for protocol in PROTOCOLS.values()}) == 1


PASCAL = {
    "panet": ("trainaug", 417, "square", "input", "ignore", "background", "panet_compat", "class_uniform",
              5, 1_000, "none"),
    "canet": ("val", 321, "square", "original", "background", "background", "strict", "list_walk",
              1, 1_000, "oslsm"),
    "pfenet": ("val", 473, "longside", "original", "ignore", "ignore", "strict", "image_walk",
               1, 5_000, "pfenet"),
    "hsnet": ("val", 400, "square", "input", "ignore", "background", "strict", "list_walk",
              1, 1_000, "oslsm"),
    "dpnet": ("val", 321, "square", "original", "background", "ignore", "strict", "class_uniform",
              1, 1_000, "oslsm"),
    "fssdino": ("val", 512, "longside", "original", "background", "background", "strict", "class_uniform",
                1, 1_000, "pfenet"),
}  # fmt: skip
COCO = {
    "panet": ("train", 417, "square", "input", "ignore", "background", "panet_compat", "class_uniform",
              5, 1_000, "none"),
    "canet": ("val", 321, "square", "original", "background", "background", "strict", "class_uniform",
              1, 1_000, "oslsm"),
    "pfenet": ("val", 641, "longside", "original", "ignore", "ignore", "strict", "image_walk",
               1, 20_000, "pfenet"),
    "hsnet": ("val", 400, "square", "input", "ignore", "background", "strict", "class_uniform",
              1, 1_000, "oslsm"),
    "dpnet": ("val", 641, "square", "original", "background", "ignore", "strict", "class_uniform",
              1, 1_000, "pfenet"),
    "fssdino": ("val", 512, "longside", "original", "background", "background", "strict", "class_uniform",
                1, 1_000, "pfenet"),
}  # fmt: skip
"""Typed from what the codebases and papers do, not from the presets."""


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (name, data, values)
        for data, presets in (("pascal5i", PASCAL), ("coco20i", COCO))
        for name, values in presets.items()
    ],
)
def test_presets_are_the_fields(name, data, expected):
    config = on(data, f"--config.eval.protocol={name}")
    part = config.eval
    found = (
        config.data.test_list, part.size, part.input, part.label, part.void, part.support_void,
        part.counting, part.policy, part.runs, part.episodes, part.min_area,
    )  # fmt: skip
    assert found == expected
    changed = {key for key, value in flatten(config).items() if value != flatten(on(data))[key]}
    assert changed <= {"eval.protocol", "data.test_list", *(f"eval.{field}" for field in FIELDS)}
    assert {*PROTOCOLS[name].on(data)} == {"data.test_list", *(f"eval.{field}" for field in FIELDS)}


def test_a_preset_leaves_training_alone():
    config = on("pascal5i", "--config.data.min_area=200", "--config.eval.protocol=pfenet")
    assert (config.data.min_area, config.eval.min_area) == ("200", "pfenet")
    config.eval.min_area = ""  # as stored before the evaluation had its own
    assert departures(config) == {"eval.min_area": ("pfenet", "200")}
    config.data.min_area = "pfenet"
    assert departures(config) == {}


def test_what_is_given_beside_a_preset_departs_from_it_in_any_order():
    flags = ["--config.eval.size=321", "--config.eval.protocol=panet", "--config.data.name=pascal5i"]
    for given in (flags, flags[::-1]):
        config = on("mine", *given)
        assert (config.eval.size, config.eval.runs, config.data.test_list) == (321, 5, "trainaug")
        assert departures(config) == {"eval.size": (417, 321)}


def test_lists_of_other_data_are_left_alone():
    config = on("mine", "--config.data.test_list=fresh", "--config.eval.protocol=canet")
    assert config.data.test_list == "fresh"
    assert departures(config) == {}


def test_no_protocol_is_no_departure():
    assert departures(default()) == {}
    assert follow(default(), "") == default()


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match=r"^eval.protocol is 'voc': give '', 'panet', .* or 'fssdino'\.$"):
        on("mine", "--config.eval.protocol=voc")
