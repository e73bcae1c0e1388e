"""A preset sets its fields, whatever is set after it stays, and a configuration knows where it departs."""

import pytest

from fsjax.cli import set_fields
from fsjax.config import PROTOCOLS, TABLE, check, default, departures, follow
from fsjax.errors import InputError


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


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [  # worked out by hand from what the codebases do
        ("panet", "pascal5i", (417, "square", "input", "ignore", 5, 1000, "trainaug")),
        ("panet", "coco20i", (417, "square", "input", "ignore", 5, 1000, "train")),
        ("canet", "pascal5i", (321, "square", "original", "background", 1, 1000, "val")),
        ("pfenet", "pascal5i", (473, "longside", "original", "ignore", 1, 5000, "val")),
        ("pfenet", "coco20i", (641, "longside", "original", "ignore", 1, 20000, "val")),
        ("hsnet", "pascal5i", (400, "square", "input", "ignore", 1, 1000, "val")),
        ("dpnet", "pascal5i", (321, "square", "original", "background", 1, 1000, "val")),
        ("dpnet", "coco20i", (641, "square", "original", "background", 1, 1000, "val")),
    ],
)
def test_presets_are_the_fields(name, data, expected):
    config = on(data, f"--config.eval.protocol={name}")
    part = config.eval
    sizes = part.size, part.input, part.label, part.void, part.runs, part.episodes
    assert (*sizes, config.data.test_list) == expected


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
    with pytest.raises(InputError, match=r"^eval.protocol is 'voc': give '', 'panet', .* or 'dpnet'\.$"):
        on("mine", "--config.eval.protocol=voc")
