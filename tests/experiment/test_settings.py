"""What a configuration means for the rooms below."""

import json

import pytest

from fsjax import experiment
from fsjax.data import manifest
from fsjax.errors import InputError
from fsjax.experiment.settings import photos_of, plan_of
from tests.runs import prnet_config, toy_sources


def rare(sources, *class_ids):
    """Leaves one photo of each of these classes, to train and to test on."""
    for source in sources.values():
        labels = [photo[1] for photo in source._photos]
        for class_id in class_ids:
            shown = [mask for mask in labels if (mask == class_id).any()]
            for mask in shown[1:]:
                mask[mask == class_id] = 0
    return sources


def test_all_classes_with_too_few_photos_are_named_at_once(tmp_path):
    sources = rare(toy_sources(tmp_path), 2, 3)  # bee is novel, cat is a base class; dog is left out
    for source in sources.values():
        source.folds = ((1, 2), (3,), (5, 6))
    config = prnet_config({"data.leave_out": ("dog",), "train.ways": 1})
    all_of_them = r"class 'bee' has 1 eligible .*--config\.data\.leave_out=dog,cat,bee\.$"
    for refuse in (experiment.check, lambda *both: experiment.rehearse(*both, tmp_path / "run")):
        with pytest.raises(InputError, match=all_of_them):
            refuse(config, sources)
    with pytest.raises(
        InputError, match=r"class 'cat' has 1 eligible .*--config\.data\.leave_out=dog,cat\.$"
    ):
        experiment.train(config, sources, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for source in sources.values():
        source.folds = ((1,), (), (5, 6))
    experiment.check(config, sources)
    plan_of(config, sources["train"])


def test_fields_of_the_masks_reach_the_photos(sources):
    config = prnet_config({"train.other_classes": "ignore", "eval.support_void": "background", "fold": 1})
    assert plan_of(config, sources["train"]).inputs.ignored == (3, 4)
    assert plan_of(prnet_config({"fold": 1}), sources["train"]).inputs.ignored == ()
    _, _, sampler = experiment.novel_episodes(config, sources["test"], "", count=0)
    settings = photos_of(config, sources["test"], sampler).settings
    assert (settings.support_void, settings.void) == ("background", "ignore")


@pytest.mark.parametrize("value", ["", "ignore", "background"])
def test_void_of_supports_in_training(sources, value):
    values = {"train.support_void": value, "train.void": "background" if value == "ignore" else "ignore"}
    plan = plan_of(prnet_config(values), sources["train"])
    batch = next(plan.episodes(sources["train"], 0, threads=1, workers=0))
    void_of_supports, void_of_queries = (
        (masks == 255).any() for masks in (batch.support_masks, batch.query_masks)
    )
    assert (void_of_supports, void_of_queries) == {
        "": (True, True), "ignore": (True, False), "background": (False, True)
    }[value]  # fmt: skip


def test_a_walk_through_the_list_is_written_and_evaluated_again(sources, tmp_path):
    values = {"eval.policy": "list_walk", "eval.rows": ("rgb",), "eval.episodes": 4, "eval.shots": 2}
    first = experiment.evaluate(prnet_config(values), sources, tmp_path / "first")
    path = tmp_path / "first" / "manifest.jsonl"
    header, specs = manifest.read(path, sources["test"])
    assert header.policy == "list_walk"
    shown = [p for p in range(40) if (sources["test"].labels(p) == 1).any()]
    assert [spec.query for spec in specs] == [(position,) for position in shown[:4]]
    again = experiment.evaluate(prnet_config({**values, "eval.policy": "class_uniform"}), sources,
                                tmp_path / "again", episodes=path)  # fmt: skip
    assert (tmp_path / "again" / "manifest.jsonl").read_bytes() == path.read_bytes()
    assert again.rows[0]["per_class"] == first.rows[0]["per_class"]
    protocol = json.loads((tmp_path / "again" / "results.json").read_text())["protocol"]
    assert (protocol["policy"], protocol["support_void"], protocol["folds"]) == (
        "list_walk",
        "ignore",
        "usual",
    )
    assert protocol["eligibility"] == "at least 1 pixels of the class in the original mask"


def test_episodes_chosen_by_a_row_need_the_row():
    chosen = {"eval.pictures_of": "worst", "eval.pictures": 3, "eval.rows": ("fusion0",)}
    with pytest.raises(
        InputError, match=r"eval\.pictures_of is 'worst', .* the row fusion2: add it to eval\.rows"
    ):
        experiment.check_settings(prnet_config(chosen))
    for change in (
        {"eval.pictures": 0},
        {"eval.pictures_of": "first"},
        {"eval.rows": ("fusion0", "fusion2")},
    ):
        experiment.check_settings(prnet_config(chosen | change))


def test_float16_trains_nothing(tmp_path):
    config, sources = prnet_config({"model.compute_dtype": "float16"}), toy_sources(tmp_path)
    for refuse in (experiment.train, experiment.rehearse):
        with pytest.raises(InputError, match=r"model\.compute_dtype is float16, .*: train in bfloat16"):
            refuse(config, sources, tmp_path / "run")
    assert not (tmp_path / "run").exists()
