"""DPNet's runs: the backbone is kept once, lent to others, and may run once a photo."""

import shutil

import jax
import numpy as np
import pytest

from fsjax import experiment
from fsjax.errors import InputError
from fsjax.evaluation.results import read_records
from fsjax.experiment.settings import plan_of, variables_before_training
from fsjax.models import build
from fsjax.training import frozen
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits
from tests.training.interruption import interrupted_before

METHOD = build.method(dpnet_config().model)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sources):
    workdir = tmp_path_factory.mktemp("finished")
    experiment.train(dpnet_config(), sources, workdir)
    return workdir


@pytest.fixture(scope="module")
def drawn():
    return jax.tree.map(np.asarray, METHOD.init(jax.random.key(0)))


def before_training(values, sources):
    config = dpnet_config(values)
    return variables_before_training(config, build.method(config.model), sources["train"])


def test_a_run_keeps_its_backbone_once_and_unchanged(finished, drawn):
    run = Run.open(finished)
    variables = run.variables(METHOD)
    assert run.step == 4
    assert_same_bits(variables["backbone"], drawn["backbone"])
    assert (variables["head"]["merge"]["kernel"] != drawn["head"]["merge"]["kernel"]).any()
    assert run.found["backbone_sha256"] == frozen.digest(drawn["backbone"])
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(drawn["backbone"]))
    assert size < (finished / frozen.NAME).stat().st_size < size + 8192


def test_two_steps_and_two_more_are_four(tmp_path, sources, finished, monkeypatch):
    with interrupted_before(4, monkeypatch):
        experiment.train(dpnet_config(), sources, tmp_path)
    experiment.train(dpnet_config(), sources, tmp_path)
    assert read_metrics(tmp_path) == read_metrics(finished)
    assert_same_bits(*(Run.open(place).variables(METHOD) for place in (tmp_path, finished)))


def test_a_run_does_not_go_on_without_its_backbone(tmp_path, sources, finished):
    shutil.copytree(finished, tmp_path / "copy")
    (tmp_path / "copy" / frozen.NAME).unlink()
    with pytest.raises(InputError, match="missing or damaged"):
        experiment.train(dpnet_config({"train.log_every": 2}), sources, tmp_path / "copy")


def test_another_run_lends_its_backbone(tmp_path, sources, finished, drawn):
    borrowed = before_training({"seed": 9, "model.weights": str(finished)}, sources)
    assert_same_bits(borrowed["backbone"], drawn["backbone"])
    assert (borrowed["head"]["merge"]["kernel"] != drawn["head"]["merge"]["kernel"]).any()
    with pytest.raises(InputError, match="was trained on cat, dog, which fold=1 holds out"):
        before_training({"fold": 1, "model.weights": str(finished)}, sources)
    with pytest.raises(InputError, match=r"widths=\(4, 4, 8\), not \(4, 4, 12\)"):
        before_training(
            {"model.backbone_options.widths": (4, 4, 12), "model.weights": str(finished)}, sources
        )


def test_a_backbone_is_not_taken_from_an_unfinished_run(tmp_path, sources):
    prnet = prnet_config({"train.checkpoint_every": 2})
    run = experiment.train(prnet, sources, tmp_path)
    lent = before_training({"model.weights": str(tmp_path)}, sources)["backbone"]
    assert_same_bits(lent, run.variables(build.method(prnet.model))["backbone"])
    shutil.rmtree(tmp_path / "checkpoints" / "6")
    with pytest.raises(InputError, match="stopped at step 4 of 6: run its training to the end"):
        before_training({"model.weights": str(tmp_path)}, sources)


@pytest.mark.slow
def test_an_untrained_row_needs_the_weights_before_anything_is_written(tmp_path, sources, finished):
    values = {"model.weights": str(tmp_path / "lender"), "train.steps": 1}
    shutil.copytree(finished, tmp_path / "lender")
    run = experiment.train(dpnet_config(values), sources, tmp_path / "run")
    shutil.rmtree(tmp_path / "lender")
    config = dpnet_config({**values, "eval.rows": ("rgb", "untrained", "master")})
    with pytest.raises(InputError, match="nothing is there"):
        experiment.evaluate(config, sources, tmp_path / "out", run=run)
    assert not (tmp_path / "out").exists()


def test_a_frozen_backbone_needs_weights(tmp_path, sources):
    config = dpnet_config({"model.weights": ""})
    for call in (experiment.train, experiment.evaluate):
        with pytest.raises(InputError, match="to a file or a run's folder, or to random"):
            call(config, sources, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_from_cached_features(tmp_path, sources, finished):
    cached = {"train.cached_features": True, "data.feature_dir": str(tmp_path / "features")}
    run = experiment.train(dpnet_config(cached), sources, tmp_path / "run")
    there, photos = (read_metrics(place) for place in (tmp_path / "run", finished))
    losses = [[line["loss"] for line in lines] for lines in (there, photos)]
    np.testing.assert_allclose(*losses, rtol=0.02)  # features are kept in float16
    (features,) = (tmp_path / "features").iterdir()
    assert features.name.startswith("features_test_32_")
    scored = {}
    for name, of in (("cached", run), ("photos", Run.open(finished))):
        experiment.evaluate(of.config, sources, tmp_path / name, run=of)
        scored[name] = np.array([r["confusion"] for r in read_records(tmp_path / name / "episodes.jsonl")])
    moved = np.abs(scored["cached"] - scored["photos"]).sum() / 2
    assert moved <= 0.02 * scored["photos"].sum()
    assert "no crops or rotations" in (tmp_path / "cached" / "results.md").read_text()


@pytest.mark.slow
def test_epochs_walk_through_all_pairs(tmp_path, sources):
    values = {"train.policy": "pair_epoch", "train.epochs": 1, "train.checkpoint_every": 100,
              "data.min_area": "60"}  # fmt: skip
    source = sources["train"]
    pairs = sum(int(source.areas(p)[c - 1] >= 60) for p in range(40) for c in (3, 4, 5, 6))
    run = experiment.train(dpnet_config(values), sources, tmp_path)
    assert run.found["steps"] == run.step == len(read_metrics(tmp_path)) == round(pairs / 2)
    assert run.config.train.steps == 4  # the configuration stays as it was given
    scaled = {**values, "lr_scaling": "linear", "train.reference_batch_size": 1}
    assert plan_of(dpnet_config(scaled), source).steps == round(pairs / 2)
    assert plan_of(dpnet_config({**scaled, "train.reference_batch_size": 3}), source).steps == round(
        pairs / 2
    )
