"""Which fields of a run that has begun may differ when it goes on, and when it is evaluated."""

import copy

import pytest

from fsjax.config import TABLE, check_equal, check_evaluation_owns, check_resumable, default
from fsjax.errors import InputError
from tests.config.changed import changed

PLACES = {"data.tfds_dir", "data.feature_dir", "data.threads", "data.workers"}
ANYTIME = (
    PLACES
    | {"compilation_cache", "train.keep", "model.remat"}
    | {name for name in TABLE if name.startswith("eval.")}
)
SAVING = {"train.checkpoint_every", "train.checkpoint_minutes", "train.keep_last"}
ON_RESUME = {"model.weights", "train.log_every", "train.accumulate"} | SAVING
AT_EVALUATION = {
    "fold", "data.name", "data.train_list", "data.test_list", "data.split", "data.folds", "data.fold_count",
    "data.fold_seed", "data.leave_out", "data.min_area",
}  # fmt: skip


def other_value(field):
    """A value that a field allows besides its default."""
    match field.default:
        case bool():
            return not field.default
        case str():
            return next((c for c in field.choices if c != field.default), field.default + "x")
        case tuple():
            item = next(iter(field.default), field.each.default) if field.each.default != () else ("cat",)
            return (*field.default, other_value(field.each) if item in field.default else item)
    if field.high is not None and field.default < field.high:
        return field.high
    return field.low if field.low is not None else (field.default + (field.above or 0)) / 2


@pytest.mark.parametrize("name", [*TABLE, "model.backbone_options.first_block_dilation"])
def test_a_run_keeps_what_decided_it(name):
    value = other_value(TABLE[name]) if name in TABLE else "stage"
    stored, config = default(), changed({name: value})
    check_resumable(stored, copy.deepcopy(stored), "runs/a")
    check_evaluation_owns(stored, copy.deepcopy(stored), "runs/a")
    for checked, free in ((check_resumable, ON_RESUME), (check_evaluation_owns, AT_EVALUATION)):
        if name in free | ANYTIME:
            checked(stored, config, "runs/a")
        else:
            with pytest.raises(InputError) as refusal:
                checked(stored, config, "runs/a")
            assert "The run in runs/a " in str(refusal.value)
            assert f" {name}=" in str(refusal.value)
            assert str(value) in str(refusal.value)


def test_some_fields_alone_can_be_compared():
    stored, config = default(), changed({"model.backbone": "small", "train.steps": 3})
    check_equal(stored, config, "runs/a", lambda name: name == "seed")
    with pytest.raises(InputError, match=r"began with model\.backbone=resnet101, not small: keep"):
        check_equal(stored, config, "runs/a", lambda name: name.startswith("model."))
