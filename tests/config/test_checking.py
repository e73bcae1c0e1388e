"""What `check` refuses: values that the table does not allow, and fields that do not fit each other."""

import pytest

from fsjax.config import TABLE, check, default, trains
from fsjax.errors import InputError
from tests.config.changed import changed

WRONG_TYPES = {
    bool: (0, 1, 1.0, "True", None, ()),
    int: (1.5, True, "3", None, (1,), float("nan")),
    float: (True, "0.5", None, (0.5,)),
    str: (3, 0.5, True, None, ("word",)),
    tuple: (3, "word", None, True),
}


def bad_values(field):
    """Values that a field must refuse, from what the table says of it."""
    kind = type(field.default)
    yield from WRONG_TYPES[kind]
    if kind is float:
        yield from (float("nan"), float("inf"), -float("inf"))
    if kind in (int, float):
        yield from (2**32, -(2**32), kind(2**32), 10**400)
        yield from (bound for bound in (field.above, field.below) if bound is not None)
        if field.low is not None:
            yield field.low - kind(1)
        if field.high is not None:
            yield field.high + kind(1)
    if field.choices:
        last = field.choices[-1]
        yield from {"", "nothing of the kind", last.upper(), last + " "} - set(field.choices)
    if kind is str:
        yield "a\0b"
    if kind is tuple:
        yield from ((value,) for value in bad_values(field.each))
        if field.least:
            yield ()
        if not field.repeats:
            yield 2 * (field.default[:1] or (field.each.default or "cat",))


@pytest.mark.parametrize("name", TABLE)
def test_a_field_refuses_what_it_does_not_allow(name):
    for value in bad_values(TABLE[name]):
        with pytest.raises(InputError) as refusal:
            check(changed({name: value}))
        sentence = str(refusal.value)
        assert sentence.startswith(f"{name} is {value!r}: give ")
        assert sentence.endswith(".")
        assert "\n" not in sentence


@pytest.mark.parametrize("name", TABLE)
def test_a_field_is_bounded_and_explained(name):
    field = TABLE[name]
    while isinstance(field.default, tuple):
        field = field.each
    if type(field.default) in (int, float):
        assert field.high is not None or field.below is not None
        assert field.low is not None or field.above is not None
    assert TABLE[name].help.endswith(".")
    assert "\n" not in TABLE[name].help


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", -5),
        ("train.learning_rate", -1.0),
        ("train.learning_rate", 0.0),
        ("train.log_every", 0),
        ("train.checkpoint_every", 0),
        ("train.reference_batch_size", 0),
        ("model.compute_dtype", "int8"),
        ("model.compute_dtype", "bf16"),
        ("train.momentum", 1.0),
        ("train.momentum", -0.1),
        ("train.b2", 1.0),
        ("train.decay", 0.0),
        ("train.decay", 1.5),
        ("train.weight_decay", -1e-4),
        ("model.scale", 0.0),
        ("model.dpnet.lambda1", -1.0),
        ("model.dpnet.lambda2", float("nan")),
        ("eval.fusion.omega_s", float("nan")),
        ("eval.fusion.omega_q", -0.5),
        ("eval.fusion.omega_f", 1.5),
        ("eval.fusion.threshold_over", "all"),
        ("eval.rows", ()),
        ("eval.rows", ("fusion0", "fusion0")),
        ("eval.pictures", -1),
        ("data.threads", 0),
        ("data.min_area", "-1"),
        ("data.min_area", "canet"),
        ("data.min_area", "٣"),
        ("data.min_area", ""),
        ("eval.min_area", "-1"),
        ("eval.min_area", "canet"),
        ("eval.min_area", "٣"),
        ("data.split", "fwb"),
        ("train.keep", (0,)),
        ("train.size", 2**32),
        ("eval.size", 2**32),
        ("batch_size", 2**32),
        ("eval.batch_size", 2**32),
        ("seed", 2**31),
        ("eval.scales", (0.05, 1.0)),
        ("eval.memory", -1.0),
        ("model.dpnet.rates", (0, 6)),
    ],
)
def test_settings_that_were_once_accepted_are_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} is "):
        check(changed({name: value}))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"train.schedule": "cosine", "train.steps": 50, "train.warmup": 50}, "train.warmup is 50"),
        (
            {"train.schedule": "cosine", "train.steps": 64, "train.warmup": 40, "batch_size": 64,
             "lr_scaling": "linear"},
            "train.warmup is 40 and takes 1 of 1 steps",
        ),
        ({"model.name": "fssdino"}, "train.steps is 30000, and fssdino is never trained: set train.steps=0"),
        (
            {"model.name": "fssdino", "train.steps": 0, "train.epochs": 3, "train.policy": "pair_epoch"},
            "train.epochs is 3, and fssdino is never trained",
        ),
        ({"train.policy": "pair_epoch", "train.ways": 2}, "train.ways is 2: set train.ways=1"),
        ({"train.policy": "pair_epoch", "train.queries": 3}, "train.queries is 3"),
        ({"train.policy": "list_walk", "train.ways": 2}, "train.policy is 'list_walk', one-way with one"),
        ({"eval.policy": "list_walk", "eval.ways": 2}, "eval.ways is 2: set eval.ways=1"),
        ({"eval.policy": "list_walk", "eval.queries": 2}, "eval.queries is 2: set eval.ways=1"),
        ({"eval.policy": "image_walk", "eval.ways": 2}, "eval.policy is 'image_walk', one-way with one"),
        ({"eval.policy": "image_walk", "eval.queries": 2}, "eval.queries is 2: set eval.ways=1"),
        ({"eval.policy": "pair_epoch"}, "eval.policy is 'pair_epoch': give"),
        ({"eval.min_area": "big"}, "is 'big': give none, oslsm, pfenet, or a number of pixels, or nothing"),
        ({"train.epochs": 3}, "train.epochs is 3"),
        ({"train.cached_features": True, "model.name": "dpnet", "train.crop": 1.5}, "set train.crop=1"),
        ({"train.cached_features": True, "model.name": "dpnet", "train.rotate": 5.0}, "train.rotate=0"),
        ({"train.cached_features": True}, "set model.name=dpnet"),
        ({"model.dpnet.auxiliary": False}, "model.dpnet.lambda1 is 1.0"),
        ({"model.dpnet.auxiliary": False, "model.dpnet.lambda1": 0.0, "model.dpnet.aux_only": True},
         "model.dpnet.aux_only is True"),
        ({"eval.scales": (0.7, 1.3)}, "let 1.0 be one of them"),
        ({"data.folds": (("cat", "dog"), ("cat",))}, "data.folds has the class 'cat' 2 times"),
        ({"data.folds": (("cat", "cat"),)}, "data.folds has the class 'cat' 2 times"),
        ({"train.stepz": 3}, "no field train.stepz: did you mean train.steps?"),
        ({"trian.steps": 3}, "no field trian.steps: did you mean train.steps?"),
        ({"eval.fusion.omega": 0.5}, "no field eval.fusion.omega: did you mean eval.fusion.omega_"),
        ({"train": 3}, "train is 3, where a section of fields belongs"),
        ({"eval.fusion": "m3"}, "eval.fusion is 'm3', where a section of fields belongs"),
        ({"model.backbone_options": 3}, "model.backbone_options is 3, where a section"),
        ({"fold": {"number": 3}}, "fold is a section of fields: give a whole number"),
        ({"fold": {}}, "lacks the field fold"),
    ],
)  # fmt: skip
def test_fields_must_fit_each_other_and_the_table(values, sentence):
    with pytest.raises(InputError) as refusal:
        check(changed(values))
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"train.schedule": "cosine", "train.steps": 50, "train.warmup": 49},
        {"train.schedule": "cosine", "train.steps": 0, "train.warmup": 50},
        {"train.policy": "pair_epoch", "train.epochs": 3, "train.shots": 5},
        {"train.cached_features": True, "model.name": "dpnet"},
        {"model.dpnet.auxiliary": False, "model.dpnet.lambda1": 0},
        {"eval.scales": (0.7, 1, 1.3), "train.learning_rate": 1, "train.milestones": [3, 4]},
        {"data.folds": (("cat", "dog"), ("cow",))},
        *({"data.min_area": rule} for rule in ("none", "oslsm", "pfenet", "0", "2048")),
        *({"eval.min_area": rule} for rule in ("", "none", "oslsm", "pfenet", "0", "2048")),
        {"train.policy": "list_walk", "eval.policy": "list_walk"},
        {"train.ways": 3, "eval.policy": "image_walk"},
        {"model.backbone_options.anything": 3},
    ],
)
def test_a_sound_configuration_passes(values):
    check(changed(values))


def test_a_configuration_may_train_nothing():
    assert trains(default())
    assert trains(changed({"train.steps": 0, "train.epochs": 3}))
    assert not trains(changed({"train.steps": 0}))
