"""No run is evaluated on a class that it was trained on unless every table says so, or as another network."""

import json

import pytest

from fsjax import experiment
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config, toy_sources

TRAINED = "The run in {} was trained on {}: evaluate it on classes that it never saw, or set "


def with_folds(folder, *folds):
    """The toy photos, their classes held out in other folds; cat is 3, dog 4, emu 5, fox 6."""
    sources = toy_sources(folder)
    for source in sources.values():
        source.folds = folds
    return sources


def evaluated(run, values, sources, out, make=prnet_config):
    """The results of a run with some fields changed."""
    return experiment.evaluate(make(values), sources, out, run=run)


@pytest.fixture(scope="module")
def run(whole):
    """Of fold 0: trained on cat, dog, emu and fox; ant and bee are novel."""
    return Run.open(whole)


def test_another_fold_is_refused_by_the_names_of_its_classes(run, sources, tmp_path):
    with pytest.raises(InputError) as refusal:
        evaluated(run, {"fold": 1}, sources, tmp_path / "out")
    assert str(refusal.value).startswith(TRAINED.format(run.folder, "cat, dog"))
    assert "eval.allow_trained_classes=True" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_fold_that_means_other_classes_is_refused(run, folder, tmp_path):
    moved = with_folds(folder, (1, 5), (2, 3), (4, 6))  # fold 0 was ant and bee, and now is ant and emu
    with pytest.raises(InputError) as refusal:
        evaluated(run, {"data.folds": (("ant", "emu"), ("bee", "cat"))}, moved, tmp_path / "out")
    assert str(refusal.value).startswith(TRAINED.format(run.folder, "emu"))
    renamed = with_folds(folder, (1, 2), (3, 4), (5, 6))
    renamed["test"].class_names = ("cat", "bee", "ant", "dog", "emu", "fox")  # the ids stay
    with pytest.raises(InputError, match="was trained on cat: "):
        evaluated(run, {}, renamed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_classes_that_were_never_seen_may_be_evaluated(run, folder, tmp_path):
    moved = with_folds(folder, (3, 4), (1, 2), (5, 6))  # the novel classes are fold 1's here
    here = evaluated(run, {"fold": 1, "eval.rows": ("fusion0",)}, moved, tmp_path / "here")
    there = evaluated(
        run, {"eval.rows": ("fusion0",)}, with_folds(folder, (1, 2), (3, 4), (5, 6)), tmp_path / "t"
    )
    assert [row["per_class"].keys() for row in here.rows] == [{"ant", "bee"}]
    assert here.rows[0]["mean_iou"] == there.rows[0]["mean_iou"]
    assert here.rows[0]["trained_classes"] == []


def test_trained_classes_are_marked_in_every_table(run, sources, tmp_path):
    values = {"fold": 1, "eval.allow_trained_classes": True}
    results = evaluated(run, values, sources, tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["trained_classes"] == ["cat", "dog"]
    assert all(row["trained_classes"] == ["cat", "dog"] for row in written["rows"])
    for table in (report.table(results.rows), (tmp_path / "results.md").read_text()):
        assert "Trained on (*): cat, dog. This is no test on new classes." in table
        assert "mean-IoU*" in table


def test_a_class_behind_the_backbone_counts_as_trained_on(whole, folder, tmp_path):
    few = with_folds(folder, (1, 2), (3,))  # DPNet's own base class is cat; its backbone saw dog, emu and fox
    small = {"model.dpnet.pim": False, "model.dpnet.msf": False, "model.dpnet.auxiliary": False,
             "model.dpnet.lambda1": 0.0}  # fmt: skip
    values = {**small, "model.weights": str(whole), "train.steps": 1, "eval.rows": ("master",)}
    run = experiment.train(dpnet_config(values), few, tmp_path / "run")
    assert (run.found["base_classes"], run.found["novel_classes"]) == (["cat"], ["ant", "bee"])
    assert run.found["backbone_classes"] == ["cat", "dog", "emu", "fox"]
    other = with_folds(folder, (4, 5), (3,))
    with pytest.raises(InputError, match=r"run was trained on dog, emu: "):
        evaluated(run, values, other, tmp_path / "out", make=dpnet_config)
    evaluated(run, values, few, tmp_path / "novel", make=dpnet_config)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.backbone_options.first_block_dilation", "stage"),
        ("model.backbone_options.convention", "caffe"),
        ("model.backbone_options.stages", 3),
        ("model.backbone", "resnet101"),
        ("model.scale", 10.0),
        ("model.compute_dtype", "bfloat16"),
        ("model.weights", "elsewhere.npz"),
        ("train.size", 64),
        ("train.cached_features", False),
        ("data.drop_novel_images", True),
        ("seed", 3),
    ],
)
def test_an_evaluation_does_not_change_the_network(field, value, sources, tmp_path):
    stored = {"model.backbone": "resnet50", "model.backbone_options": {}, "eval.rows": ("master",)}
    config = dpnet_config({**stored, "train.cached_features": True})
    run = Run(tmp_path / "run", config, {"base_classes": ["cat"]}, 4)
    changed = dpnet_config({**stored, "train.cached_features": True, field: value})
    with pytest.raises(InputError) as refusal:
        experiment.evaluate(changed, sources, tmp_path / "out", run=run)
    assert str(refusal.value).startswith(f"The run in {run.folder} was made with {field}=")
    assert f"an evaluation cannot change it to {value}: leave the field out." in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_what_belongs_to_the_evaluation_may_change(run, sources, tmp_path):
    values = {"eval.shots": 2, "eval.seed": 9, "eval.void": "background", "eval.fusion.omega_s": 0.7,
              "data.min_area": "5", "data.threads": 1}  # fmt: skip
    results = evaluated(run, values, sources, tmp_path)
    assert results.description.protocol["shots"] == 2
    assert results.description.void == "background"
    assert results.description.settings["omega_s"] == 0.7


def test_a_manifest_of_trained_classes_is_refused(run, sources, tmp_path):
    header, specs, _ = experiment.novel_episodes(prnet_config({"fold": 1}), sources["test"], "")
    path = tmp_path / "episodes.jsonl"
    experiment.evaluation.manifest.write(path, header, specs, sources["test"].ids)
    with pytest.raises(InputError, match="holds episodes of fold 1, not of fold=0"):
        experiment.evaluate(prnet_config(), sources, tmp_path / "out", run=run, episodes=path)
    with pytest.raises(InputError, match="was trained on cat, dog"):
        experiment.evaluate(prnet_config({"fold": 1}), sources, tmp_path / "out", run=run, episodes=path)


def test_a_class_is_the_same_under_another_data_sets_name(tmp_path, folder):
    voc, coco = (with_folds(folder, (1, 2), (3, 4), (5, 6)) for _ in range(2))
    voc["train"].class_names = ("ant", "bee", "sofa", "tvmonitor", "emu", "fox")
    coco["test"].class_names = ("tv", "couch", "cat", "dog", "airplane", "gnu")
    run = experiment.train(prnet_config({"train.steps": 1}), voc, tmp_path / "run")
    with pytest.raises(InputError, match=r"was trained on tv, couch: "):
        evaluated(run, {"train.steps": 1}, coco, tmp_path / "out")
    lent = dpnet_config({"model.weights": str(run.folder)})
    with pytest.raises(InputError, match=r"was trained on sofa, tvmonitor, which fold=0 holds out"):
        experiment.train(lent, {"train": coco["test"]}, tmp_path / "dpnet")


def test_a_run_is_no_file_of_weights(whole, sources, tmp_path):
    config = prnet_config({"model.weights": str(whole), "eval.rows": ("fusion0",)})
    with pytest.raises(InputError, match=r"names the run .*: evaluate it with --workdir"):
        experiment.evaluate(config, sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_folds_of_the_same_number_do_not_hide_what_training_saw(folder, tmp_path):
    few = {"eval.rows": ("fusion0",), "data.drop_novel_images": True, "train.steps": 1}
    own, moved = with_folds(folder, (1, 2), (3, 4)), with_folds(folder, (5, 6), (3, 4))
    run = experiment.train(prnet_config(few), own, tmp_path / "run")
    assert evaluated(run, few, own, tmp_path / "own").description.tested_images_in_training == 0
    seen = evaluated(run, few, moved, tmp_path / "moved").description.tested_images_in_training
    assert seen == len(own["train"].ids)


def test_images_that_training_saw_are_counted_or_said_to_be_unknown(run, folder, tmp_path):
    few = {"eval.rows": ("fusion0",), "eval.pictures": 0}
    sources = toy_sources(folder)
    both = len(set(sources["train"].ids) & set(sources["test"].ids))
    found = evaluated(run, few, sources, tmp_path / "same").description
    assert found.tested_images_in_training == both > 0
    sources["train"].ids = [f"other {name}" for name in sources["train"].ids]
    found = evaluated(run, few, sources, tmp_path / "other").description
    assert found.tested_images_in_training is None
