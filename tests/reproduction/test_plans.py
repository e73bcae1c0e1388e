"""Plans name every cell that the papers print of their own methods, with commands that are sound."""

from collections import Counter
from pathlib import Path

import pytest

from fsjax import cli, experiment
from fsjax.errors import InputError
from fsjax.reproduction import PLANS, plan, published, published_figures, scale
from fsjax.reproduction.jobs import Training, in_order
from fsjax.reproduction.running import named

PAPER, SHAPES = scale("paper", "", (), ""), scale("shapes", "", (), "")
OWN = scale("own", "mydata", ("--config.model.backbone=resnet50",), "0,1")


def jobs_of(at):
    return in_order(job for name in PLANS for job in plan(name, at).jobs)


def trainings(at):
    return [job for job in jobs_of(at) if isinstance(job, Training)]


@pytest.mark.parametrize("name", published())
def test_every_printed_cell_of_the_own_methods_is_planned(name):
    table = published()[name]
    means = {column.key for column in table.columns if column.kind == "mean"}
    printed = {
        (row.key, column)
        for row in table.rows
        if row.key is not None
        for column, value in row.values.items()
        if value is not None and column not in means
    }
    assert set(plan(name, PAPER).cells) == printed


def test_every_table_and_curve_of_the_papers_has_a_plan():
    assert {*published(), *published_figures(), "prnet/figure4", "dpnet/figure4"} == set(PLANS)


def test_equal_cells_are_trained_once():
    # PRNet: 4 folds of PASCAL x (1-way and 2-way, 1 and 5 shots), of two splits of COCO x (1 and 5 shots).
    # DPNet: 4 folds of PASCAL x (whole, without PIM or MSF, global, cosine and 15 pairs of weights), of COCO.
    assert len(trainings(PAPER)) == 4 * 4 + 2 * 4 * 2 + 4 * (1 + 2 + 2 + 15) + 4
    # The embedded benchmark has one data set, one model for all ways and shots, and weights on one fold.
    assert len(trainings(SHAPES)) == 4 + 4 * (1 + 2 + 2) + 15
    shared = set(jobs_of(SHAPES)) & set(plan("prnet/table1", SHAPES).jobs)
    assert set(plan("prnet/table4", SHAPES).jobs) == shared


@pytest.mark.parametrize("at", [PAPER, SHAPES, OWN], ids=lambda at: at.name)
def test_every_training_has_a_sound_configuration(at, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    for training in trainings(at):
        config = cli.set_fields(cli.load_config(training.config), training.fields)
        if training.backbone:
            config.model.weights = "runs/lent"
        experiment.check_settings(config)
        assert config.train.steps > 0 or config.train.epochs > 0
        assert (config.eval.ways, config.eval.shots) == (training.ways, training.shots)


@pytest.mark.parametrize("at", [PAPER, SHAPES], ids=lambda at: at.name)
def test_every_evaluation_sets_sound_fields(at, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    evaluations = [job for job in jobs_of(at) if not isinstance(job, Training)]
    for job in evaluations:
        config = cli.set_fields(cli.load_config(job.training.config), (*job.training.fields, *job.fields))
        if job.training.backbone:
            config.model.weights = "runs/lent"
        experiment.check_settings(config)
    assert Counter(job.argv(Path("w"))[0] for job in evaluations) == {"eval.py": len(evaluations)}


def test_folders_are_those_of_the_content():
    folders = Counter(job.folder(Path("w")) for job in jobs_of(PAPER))
    assert max(folders.values()) == 1


def test_names_are_read_in_the_papers_order():
    assert named("dpnet/figure5, prnet/table1,prnet/table1") == ["prnet/table1", "dpnet/figure5"]
    assert named("all") == list(PLANS)
    assert named("dpnet") == [name for name in PLANS if name.startswith("dpnet/")]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: named("prnet/table9"), r"There is no table 'prnet/table9': choose from prnet/table1, .*all"),
        (lambda: named(""), "No --table is named: choose from prnet/table1"),
        (lambda: scale("big", "", (), ""), "--scale is 'big': give 'paper', 'shapes' or 'own'"),
        (lambda: scale("paper", "", (), "0,4"), "--folds is '0,4': give numbers from 0 to 3, as 0,1"),
        (lambda: scale("own", "", (), ""), "--scale=own and --data=NAME, a prepared data set, belong"),
        (
            lambda: scale("paper", "", ("--config.eval.shots=5",), ""),
            "eval.shots is what tells one cell of the tables from another: leave it out",
        ),
        (lambda: scale("shapes", "x", (), ""), "--scale=own and --data=NAME, a prepared data set, belong"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(call, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        call()
