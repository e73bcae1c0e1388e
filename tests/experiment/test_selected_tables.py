"""Which checkpoint an evaluation takes, and that no table hides how it was selected."""

import json

import pytest

from fsjax import experiment
from fsjax.evaluation import report
from fsjax.experiment import selection
from fsjax.models import build
from fsjax.segmenter import Segmenter
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits

SCORES = {1: 10.0, 2: 30.0, 3: 20.0}
"""Of the checkpoints; the second is the best, the third the last."""


def config_of(select, make=prnet_config, **values):
    few = {"train.select": select, "train.select_every": 1, "train.select_episodes": 3, "train.steps": 3,
           "train.keep": (1,), "eval.episodes": 2}  # fmt: skip
    rows = ("rgb", "fusion2") if make is prnet_config else ("master",)
    return make({**few, "eval.rows": rows, **values})


@pytest.fixture(scope="module")
def runs(tmp_path_factory, apart):
    """The folders of a run selected by each rule; what each checkpoint scores is given."""
    with pytest.MonkeyPatch.context() as patch:
        scores = iter([*SCORES.values()] * 2)
        patch.setattr(selection.Selection, "_score", lambda self, variables: next(scores))
        folders = {}
        for select in ("base_val", "novel_fold"):
            folders[select] = tmp_path_factory.mktemp(select)
            experiment.train(config_of(select), apart, folders[select])
    return folders


def tables_of(config, run, sources, out):
    results = experiment.evaluate(config, sources, out, run=run)
    return json.loads((out / "results.json").read_text()), [
        report.table(results.rows),
        (out / "results.md").read_text(),
    ]


MARK = "Selected on the tested classes (†): ant, bee. The scores are too high: not comparable with"


def test_the_best_by_tested_classes_is_evaluated_and_marked(runs, apart, tmp_path):
    run = Run.open(runs["novel_fold"])
    found, tables = tables_of(run.config, run, apart, tmp_path / "out")
    assert (found["step"], found["selected_classes"]) == (2, ["ant", "bee"])
    assert found["selection"]["by"] == "novel_fold"
    assert (found["selection"]["step"], found["selection"]["score"]) == (2, 30.0)
    assert all(row["selected_classes"] == ["ant", "bee"] for row in found["rows"])
    assert all("mean-IoU†" in table and MARK in table for table in tables)


def test_the_best_by_base_classes_is_evaluated_and_told(runs, apart, tmp_path):
    run = Run.open(runs["base_val"])
    found, tables = tables_of(run.config, run, apart, tmp_path / "out")
    assert (found["step"], found["selected_classes"], found["selection"]["used"]) == (2, [], True)
    assert (
        "- Selection: base_val; step 2 had the highest mean-IoU of fusion2, 30.0, on 3 episodes" in tables[1]
    )
    assert not any("†" in table for table in tables)


@pytest.mark.parametrize(("step", "marked"), [(1, True), (3, False)])
def test_a_named_step_may_have_been_chosen_by_its_score_unless_it_is_the_last(
    step, marked, runs, apart, tmp_path
):
    run = Run.open(runs["novel_fold"], step)
    found, tables = tables_of(run.config, run, apart, tmp_path / "out")
    assert (found["step"], found["selection"]["used"]) == (step, False)
    assert [MARK in table for table in tables] == [marked, marked]
    assert "- Selection: novel_fold, not used, as the step was named; step" in tables[1]


def test_other_classes_than_those_selected_on_are_not_marked(runs, apart, tmp_path):
    run = Run.open(runs["novel_fold"])
    config = config_of("novel_fold", **{"fold": 1, "eval.allow_trained_classes": True})
    found, tables = tables_of(config, run, apart, tmp_path / "out")
    assert (found["trained_classes"], found["selected_classes"]) == (["cat", "dog"], [])
    assert not any("†" in table for table in tables)


def test_a_segmenter_is_that_of_the_best(runs):
    loaded = Segmenter.load(runs["base_val"])
    assert_same_bits(loaded.variables, Run.open(runs["base_val"], 2).variables(loaded.method))


@pytest.mark.parametrize(
    ("select", "classes"),
    [("novel_fold", ["ant", "bee"]), pytest.param("base_val", [], marks=pytest.mark.slow)],
)
def test_a_backbone_that_was_selected_marks_the_tables_of_who_borrows_it(
    select, classes, runs, apart, tmp_path
):
    lender = Run.open(runs[select])
    values = {"model.weights": str(lender.folder), "train.steps": 1, "train.keep": ()}
    run = experiment.train(config_of("none", dpnet_config, **values), apart, tmp_path / "run")
    lent, own = (one.variables(build.method(one.config.model))["backbone"] for one in (lender, run))
    assert_same_bits(lent, own)
    found, tables = tables_of(run.config, run, apart, tmp_path / "out")
    assert (found["step"], found["selection"], found["selected_classes"]) == (1, None, classes)
    assert [MARK in table for table in tables] == [bool(classes)] * 2


def test_the_dry_run_says_what_is_selected(apart, tmp_path, step_is_not_compiled):
    def said(select, **values):
        return " ".join(" ".join(experiment.rehearse(config_of(select, **values), apart, tmp_path)).split())

    assert "No checkpoint is selected: the last one is evaluated." in said("none")
    honest, marked = said("base_val", **{"train.select_every": 2}), said("novel_fold", **{"eval.shots": 2})
    assert (
        "The best checkpoint is evaluated (base_val): 2 times, every 2 steps and after the last, the "
        "mean-IoU of fusion2 is measured on the same 3 episodes, 1-way 1-shot at 32 px. Selected on, with "
        "the photos of val that count and that are held out of training, 4 classes: "
    ) in honest
    assert "the tested classes" not in honest
    assert "3 times, every 1 step and after" in marked
    assert "1-way 2-shot at 32 px. These are the tested classes: scores will be too high" in marked
    assert "Selected on, with the photos of val that count, 2 classes: " in marked
