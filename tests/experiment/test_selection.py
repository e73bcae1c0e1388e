"""Selection picks what independent evaluations of all checkpoints would, and a kill does not change it."""

import json
import logging
import shutil

import jax
import numpy as np
import pytest

from fsjax import experiment
from fsjax.data import manifest
from fsjax.errors import InputError
from fsjax.experiment.selection import FIRST_SEED, Selection
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.runs import Run
from tests.runs import dpnet_config, held_out_source, prnet_config
from tests.same import assert_same_bits
from tests.toy import ToySource
from tests.training.interruption import interrupted_before

STEPS = (2, 4, 5)
"""Of the selections of five steps, one after every second and the last."""

SELECTING = {"train.select_every": 2, "train.select_episodes": 7, "train.steps": 5, "train.keep": (2, 4, 5)}


def selecting(select, values=None):
    return prnet_config({**SELECTING, "train.select": select, **(values or {})})


@pytest.fixture(scope="module")
def novel_run(tmp_path_factory, apart):
    """The folder of a run that nobody disturbed, selected on the tested classes."""
    workdir = tmp_path_factory.mktemp("novel")
    experiment.train(selecting("novel_fold"), apart, workdir)
    return workdir


def scored_apart(run_folder, config, sources, novel, steps, out):
    """The mean-IoU of each checkpoint by evaluations of their own, on the episodes of the selection."""
    method, plan = build.method(config.model), plan_of(config, sources["train"])
    selection = Selection.configured(config, sources, method, plan.steps)
    source, specs = sources["test"], [selection.sampler(i) for i in range(config.train.select_episodes)]
    fold = [class_id for class_id in range(1, 7) if (class_id in (1, 2)) == novel]
    assert selection.sampler.classes == tuple(fold)
    header = manifest.describe(source, selection.sampler, fold=config.fold, label_policy="")
    path = out / "episodes.jsonl"
    manifest.write(path, header, specs, source.ids)
    if not novel:  # for an evaluation these classes have to be a fold's novel ones
        source = held_out_source(sources["test"].cache_dir)
        source.folds = ((3, 4, 5, 6), (1, 2))
    changed = config.copy_and_resolve_references()
    changed.eval.rows, changed.eval.allow_trained_classes = (method.final,), True
    scores = {}
    for step in steps:
        run = Run.open(run_folder, step)
        results = experiment.evaluate(
            changed, {**sources, "test": source}, out / str(step), run=run, episodes=path
        )
        scores[step] = results.rows[0]["mean_iou"]
    return scores


@pytest.mark.parametrize(("select", "steps"), [("novel_fold", (2, 4, 5)), ("base_val", (2, 4))])
def test_the_best_of_independent_evaluations_is_selected(select, steps, apart, novel_run, tmp_path, caplog):
    config, workdir = selecting(select, {"train.steps": steps[-1]}), tmp_path / "run"
    if select == "novel_fold":
        workdir, run = novel_run, Run.open(novel_run)
    else:
        with caplog.at_level(logging.INFO, logger="fsjax.experiment.selection"):
            run = experiment.train(config, apart, workdir)
        said = [record.message for record in caplog.records if " episodes of base_val, in " in record.message]
        assert [line.split(":")[0] for line in said] == ["Step 2", "Step 4"]
        assert all(" s (selecting has taken " in line for line in said)
    scores = scored_apart(workdir, config, apart, select == "novel_fold", steps, tmp_path)
    lines = {line["step"]: line["selection"] for line in read_metrics(workdir) if "selection" in line}
    assert lines.keys() == set(steps)
    np.testing.assert_allclose([lines[step] for step in steps], [scores[step] for step in steps], rtol=1e-12)
    best = max(steps, key=lambda step: scores[step])  # of equal ones the first
    assert run.step == best
    assert run.found["selection"]["step"] == best
    assert run.found["selection"]["score"] == lines[best]
    assert Run.open(workdir).step == best
    assert Run.open(workdir, step=4).step == 4


def test_a_selection_draws_apart_from_the_reported_episodes(apart):
    config = selecting("novel_fold", {"seed": 1234})  # eval.seed's default
    assert config.eval.seed == config.seed
    selection = Selection.configured(config, apart, build.method(config.model), 5)
    assert selection.sampler.seed == FIRST_SEED + 1234
    _, reported, _ = experiment.novel_episodes(config, apart["test"], "")
    measured = [selection.sampler(i) for i in range(len(reported))]
    assert [spec.support + spec.query for spec in measured] != [
        spec.support + spec.query for spec in reported
    ]


def test_base_val_draws_held_out_photos_of_base_classes(folder, apart):
    mixed = {"train": ToySource(folder), "test": held_out_source(folder)}
    mixed["test"].ids[:18] = mixed["train"].ids[:18]
    for drop in (False, True):
        config = selecting("base_val", {"data.drop_novel_images": drop, "train.ways": 1, "eval.shots": 1})
        selection = Selection.configured(config, mixed, build.method(config.model), 5)
        specs = [selection.sampler(i) for i in range(200)]
        photos = {position for spec in specs for way in spec.support for position in way}
        photos |= {position for spec in specs for position in spec.query}
        assert {class_id for spec in specs for class_id in spec.class_ids} == {3, 4, 5, 6}
        assert min(photos) >= 18
        shows_novel = any(mixed["test"].areas(position)[:2].any() for position in photos)
        assert shows_novel != drop


@pytest.mark.parametrize("policy", ["list_walk", "image_walk"])
def test_a_walk_through_the_list_is_shuffled(policy, apart):
    config = selecting("novel_fold", {"eval.policy": policy})
    selection = Selection.configured(config, apart, build.method(config.model), 5)
    specs = [selection.sampler(i) for i in range(7)]
    assert {spec.class_ids for spec in specs} == {(1,), (2,)}
    queries = [spec.query for spec in specs]
    assert queries != sorted(queries)


def test_without_selection_all_is_as_it_was(novel_run, apart, tmp_path):
    few = {"train.keep": (), "train.checkpoint_every": 1}
    run = experiment.train(selecting("none", few), apart, tmp_path)
    there = [{k: v for k, v in line.items() if k != "selection"} for line in read_metrics(novel_run)]
    assert read_metrics(tmp_path) == there
    assert (run.step, run.selected, "selection" in run.found) == (5, False, False)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"4", "5"}
    method = build.method(run.config.model)
    assert_same_bits(run.variables(method), Run.open(novel_run, 5).variables(method))


def scripted(monkeypatch, scores):
    """Selections measure these scores; returns the steps at which they were asked."""
    asked = []

    def score(self, variables):
        asked.append(len(asked))
        return scores[len(asked) - 1]

    monkeypatch.setattr(Selection, "_score", score)
    return asked


@pytest.mark.parametrize(
    ("scores", "best"),
    [([30, 20, 25], 1), ([30, 20, 40, 40, 10, 40], 3), ([0, 0, 0], 1), ([1, 2, 3], 3)],
    ids=["the first", "equal ones", "nothing found", "the last"],
)
def test_of_equal_scores_the_earlier_stays(scores, best, apart, monkeypatch):
    scripted(monkeypatch, [float(score) for score in scores])
    config, found = selecting("novel_fold"), {}
    selection = Selection.configured(config, apart, build.method(config.model), len(scores))
    for step in range(1, len(scores) + 1):
        selection.measure(step, {}, found)
    assert (found["selection"]["step"], found["selection"]["score"]) == (best, max(scores))


@pytest.mark.parametrize("stop", [pytest.param(3, marks=pytest.mark.slow), 5])
def test_a_run_that_stopped_measures_on_as_if_it_had_not(stop, apart, novel_run, tmp_path, monkeypatch):
    measured = []
    with interrupted_before(stop, monkeypatch):
        experiment.train(selecting("novel_fold"), apart, tmp_path)
    measure = Selection.measure

    def counted(self, step, variables, found):
        measured.append(step)
        return measure(self, step, variables, found)

    monkeypatch.setattr(Selection, "measure", counted)
    run = experiment.train(selecting("novel_fold"), apart, tmp_path)
    assert measured == [step for step in STEPS if step >= stop]  # what is behind the checkpoint is not again
    whole = Run.open(novel_run)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (novel_run / "metrics.jsonl").read_bytes()
    assert (run.step, run.found) == (whole.step, whole.found)
    method = build.method(run.config.model)
    assert_same_bits(run.variables(method), whole.variables(method))


def test_a_score_whose_checkpoint_was_not_whole_is_measured_again(apart, novel_run, tmp_path, monkeypatch):
    save = Checkpoints.save

    def full(self, state, config, found):
        if int(state.step) == 4:
            raise KeyboardInterrupt
        save(self, state, config, found)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        with pytest.raises(KeyboardInterrupt):
            experiment.train(selecting("novel_fold"), apart, tmp_path)
    assert "selection" in read_metrics(tmp_path)[3]
    experiment.train(selecting("novel_fold"), apart, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (novel_run / "metrics.jsonl").read_bytes()
    assert Run.open(tmp_path).found == Run.open(novel_run).found


def test_a_finished_run_measures_nothing(novel_run, apart, monkeypatch):
    asked = scripted(monkeypatch, [])
    before = Run.open(novel_run)
    run = experiment.train(selecting("novel_fold", {"eval.size": 24}), apart, novel_run)
    assert (run.step, run.found["selection"], asked) == (before.step, before.found["selection"], [])


def test_no_second_copy_stays_behind(apart, tmp_path):
    config = selecting("novel_fold")
    method = build.method(config.model)
    selection = Selection.configured(config, apart, method, 5)
    variables = jax.device_get(method.init(jax.random.key(0)))
    selection.measure(2, variables, {})
    before = sum(array.nbytes for array in jax.live_arrays())
    selection.measure(4, variables, {})
    assert sum(array.nbytes for array in jax.live_arrays()) <= before


@pytest.mark.parametrize("cached", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_frozen_backbone_selects(cached, apart, tmp_path):
    features = {"train.cached_features": cached, "data.feature_dir": str(tmp_path / "features")}
    config = dpnet_config({"train.select": "base_val", "train.select_every": 2, "train.select_episodes": 5,
                           "train.keep": (2, 4), "train.steps": 4, **features})  # fmt: skip
    run = experiment.train(config, apart, tmp_path / "run")
    scores = scored_apart(tmp_path / "run", config, apart, False, (2, 4), tmp_path)
    assert {line["step"]: line.get("selection") for line in read_metrics(tmp_path / "run")} == {
        1: None, 2: pytest.approx(scores[2], rel=1e-12), 3: None, 4: pytest.approx(scores[4], rel=1e-12)
    }  # fmt: skip
    assert run.step == max((2, 4), key=lambda step: scores[step])
    assert run.found["selection"]["row"] == "master"


# ---- refusals ----


def test_base_val_needs_photos_held_out_of_training(sources, tmp_path):
    said = r"^train\.select is 'base_val', and every photo of test is in the training list, too: name another"
    for call in (experiment.train, experiment.rehearse):
        with pytest.raises(InputError, match=said):
            call(selecting("base_val"), sources, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_base_val_needs_enough_of_each_class(folder, apart, tmp_path):
    few = {"train": ToySource(folder), "test": held_out_source(folder)}
    few["train"].ids += few["test"].ids[:30]  # five of each class's remain, or more
    few["train"]._photos += few["test"]._photos[:30]
    said = (
        r"^train\.select is 'base_val', and among the photos of val that are held out of training class "
        r"'\w+' has .* name a larger data.test_list, lower eval.shots, or set train.select=none"
    )
    with pytest.raises(InputError, match=said):
        experiment.train(selecting("base_val", {"eval.shots": 5}), few, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("train.select", "base_val", "began with train.select=novel_fold, not base_val"),
        ("train.select_every", 3, "began with train.select_every=2, not 3"),
        ("train.select_episodes", 8, "began with train.select_episodes=7, not 8"),
        ("eval.size", 40, "began with eval.size=32, not 40"),
        ("eval.void", "background", "began with eval.void=ignore, not background"),
        ("eval.fusion.omega_s", 0.7, r"began with eval.fusion.omega_s=0.5, not 0.7"),
    ],
)
def test_a_run_goes_on_to_select_as_it_began(field, value, said, apart, novel_run, tmp_path):
    shutil.copytree(novel_run / "checkpoints" / "2", tmp_path / "checkpoints" / "2")
    with pytest.raises(InputError, match=said):
        experiment.train(selecting("novel_fold", {field: value}), apart, tmp_path)


def test_scores_on_other_episodes_are_not_gone_on_with(apart, novel_run, folder, tmp_path):
    shutil.copytree(novel_run / "checkpoints" / "2", tmp_path / "checkpoints" / "2")
    other = {**apart, "test": held_out_source(folder)}
    other["test"].ids = [f"{name}b" for name in other["test"].ids]
    with pytest.raises(
        InputError, match="measured its checkpoints on other episodes than would be drawn now"
    ):
        experiment.train(selecting("novel_fold"), other, tmp_path)


def test_a_loss_that_is_not_finite_is_told_before_anything_is_measured(apart, tmp_path, monkeypatch):
    asked = scripted(monkeypatch, [])
    add = Curves.add

    def broken(self, step, metrics, **more):
        add(self, step, {**metrics, "loss": metrics["loss"] * (np.nan if step == 2 else 1)}, **more)

    monkeypatch.setattr(Curves, "add", broken)
    with pytest.raises(FloatingPointError, match="The loss of step 2 is nan"):
        experiment.train(selecting("novel_fold"), apart, tmp_path)
    assert asked == []
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_weights_that_are_not_finite_are_told(apart):
    config = selecting("novel_fold")
    method = build.method(config.model)
    selection = Selection.configured(config, apart, method, 5)
    variables = jax.tree.map(lambda x: np.full(x.shape, np.nan, x.dtype), method.init(jax.random.key(0)))
    with pytest.raises(FloatingPointError, match="weights after step 2 are not finite: lower"):
        selection.measure(2, variables, {})


def test_what_is_stored_can_be_read_by_any_tool(novel_run):
    """The best so far is beside every checkpoint's configuration."""
    for step in STEPS:
        files = (novel_run / "checkpoints" / str(step) / "config").iterdir()
        (stored,) = (json.loads(path.read_text()) for path in files if "version" in path.read_text())
        assert set(stored["found"]["selection"]) == {"step", "score", "row", "episodes", "sha256"}
        assert stored["found"]["selection"]["step"] <= step
