"""One field: what a text on a command line means for it, and tables of other rooms."""

import pytest

from fsjax.config import TABLE, Field, check_fields
from fsjax.errors import InputError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("train.steps", "1_000", 1000),
        ("train.learning_rate", "1", 1.0),
        ("train.flip", "false", False),
        ("train.flip", "True", True),
        ("train.milestones", "3,4", (3, 4)),
        ("train.milestones", "()", ()),
        ("eval.scales", "0.7,1", (0.7, 1.0)),
        ("eval.rows", "rgb", ("rgb",)),
        ("eval.rows", "rgb, fusion2", ("rgb", "fusion2")),
        ("eval.rows", "('rgb', 'fusion2')", ("rgb", "fusion2")),
        ("data.folds", "[['cat', 'dog'], ('cow',)]", (("cat", "dog"), ("cow",))),
        ("model.weights", "7.npz", "7.npz"),
        ("data.train_list", "", ""),
    ],
)
def test_a_text_means_a_value(name, text, value):
    found = TABLE[name].read(name, text)
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, tuple):
        assert list(map(type, found)) == list(map(type, value))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.steps", "abc"),
        ("train.steps", "1.5"),
        ("train.steps", "1e400"),
        ("train.steps", "9" * 5000),
        ("train.learning_rate", "nan"),
        ("train.learning_rate", "1e999"),
        ("train.flip", "perhaps"),
        ("train.flip", "1"),
        ("train.milestones", "3,x"),
        ("train.milestones", "{[]: 1}"),
        ("data.folds", "(" * 1000),
        ("data.folds", "cat,dog"),
        ("eval.rows", ""),
        ("eval.rows", "7"),
    ],
)
def test_a_text_that_means_nothing_is_refused(name, text):
    with pytest.raises(InputError, match=f"^{name} is .*: give .*"):
        TABLE[name].read(name, text)


def test_a_table_of_another_room():
    table = {"stages": Field(4, "Of the network.", low=1, high=4)}
    check_fields(table, {}, "model.backbone_options.")
    check_fields(table, {"stages": 3}, "model.backbone_options.")
    with pytest.raises(InputError, match=r"^model\.backbone_options\.stages is 5: give a whole number from"):
        check_fields(table, {"stages": 5}, "model.backbone_options.")
    with pytest.raises(InputError, match=r"did you mean model\.backbone_options\.stages\?"):
        check_fields(table, {"stagse": 3}, "model.backbone_options.")
