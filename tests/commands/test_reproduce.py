"""reproduce.py as its users start it: a few real cells, the dry run, and what it refuses."""

import re

import pytest

import reproduce
from datasets import shapes
from fsjax.reproduction import read_curves
from fsjax.reproduction.foundation import METHODS
from tests.commands.programs import results, start

TINY = (
    "--scale=shapes", "--folds=0", "--config.train.steps=2", "--config.train.warmup=1",
    "--config.train.size=32", "--config.train.ways=1", "--config.train.queries=1", "--config.batch_size=1",
    "--config.eval.size=32", "--config.eval.episodes=4", "--config.eval.adapt_episodes=1",
    "--config.model.backbone_options.widths=(4,4,8)", "--config.model.dpnet.width=6",
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch, small_pictures):
    """A clone's folder in which drawn photos and runs are made."""
    monkeypatch.setattr(shapes, "SPLITS", {"train": 240, "test": 120})
    (tmp_path / "configs").symlink_to(reproduce.Path(reproduce.__file__).parent / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow  # a notebook's test makes a table and a figure, too
def test_a_few_cells_from_the_command_to_the_figure(place, capsys):
    command = "--table=prnet/figure3,prnet/figure4", "--workdir=w", *TINY
    assert start(reproduce, *command) == 0
    tables = place / "w" / "tables"
    assert {path.name for path in tables.iterdir()} == {
        "prnet_figure3.png", "prnet_figure3.svg", "prnet_figure3.csv", "prnet_figure4.md",
        "prnet_figure4.png", "prnet_figure4.csv", "trainings.md",
    }  # fmt: skip
    (curves,) = read_curves(tables / "prnet_figure3.csv").values()
    ours = results(next((place / "w" / "runs").iterdir()))
    scores = {row["name"]: row["mean_iou"] for row in ours["rows"]}
    assert [point.y for point in curves["fold-1"]] == [scores[f"fusion{stage}"] for stage in range(3)]
    assert len((tables / "prnet_figure4.csv").read_text().splitlines()) > 1
    assert (tables / "trainings.md").read_text().startswith("# Trainings\n\n1 different training.")
    capsys.readouterr()
    assert start(reproduce, *command) == 0
    assert "are done; now" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_of_parts_from_the_command_to_the_page(place):
    assert start(reproduce, "--table=dpnet/table3", "--workdir=w", *TINY) == 0
    text = (place / "w/tables/dpnet_table3.md").read_text()
    for line in re.findall(r"this run +\|(.*)", text)[:4]:
        first, *others = [cell.strip() for cell in line.strip(" |").split("|")]
        assert 0 <= float(first) <= 100
        assert others == ["not run"] * 4
    assert (place / "w/tables/dpnet_table3.tex").is_file()
    assert (place / "w/tables/trainings.md").read_text().startswith("# Trainings\n\n4 different trainings.")


def test_the_dry_run_says_every_command_and_its_cost(place, capsys):
    assert start(reproduce, "--table=prnet/table3", "--workdir=w", "--dry_run", "--folds=1") == 0
    said = capsys.readouterr().out
    assert "PRNet PASCAL-5i fold 1 ways=2 shots=5, 30,000 steps of 1 episode at 417 px, 5 x 1,000" in said
    assert "python train.py --config=configs/prnet_pascal.py:fold=1,ways=2,shots=5 --workdir=w/runs/" in said
    assert "2 different trainings and 0 further evaluations make 2 cells of prnet/table3." in said
    assert list(place.iterdir()) == [place / "configs"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--table=prnet/table6", "--workdir=w"], "There is no table 'prnet/table6': choose from"),
        (["--table=prnet/table1"], "Name the folder of the runs and tables with --workdir."),
        (["--workdir=w"], "No --table is named: choose from prnet/table1"),
        (["--table=all", "--workdir=configs"], "configs holds something else than a sweep: name a"),
    ],
)  # fmt: skip
def test_bad_input_is_a_sentence(place, refusal, arguments, sentence):
    assert sentence in refusal(reproduce, *arguments)
    assert list(place.iterdir()) == [place / "configs"]


def test_what_failed_is_told_in_the_end_and_the_rest_is_done(place, refusal):
    given = ["--table=prnet/figure3", "--workdir=w", "--scale=own", "--data=nowhere", "--folds=0"]
    assert "1 of the runs failed, and their cells say not run. PRNet own fold 0: " in refusal(
        reproduce, *given
    )
    assert (place / "w/tables/prnet_figure3.csv").read_text().count("\n") == 2


FROZEN = (
    "--scale=own", "--data=shapes", "--folds=0", "--backbones=dinov2-small", "--config.model.weights=random",
    "--config.model.backbone_options.deep=1", "--config.model.dpnet.width=6", "--config.batch_size=1",
    "--config.train.steps=2", "--config.train.warmup=1", "--config.train.size=28", "--config.eval.size=28",
    "--config.eval.runs=1", "--config.eval.episodes=2", "--config.eval.pictures=0",
)  # fmt: skip


@pytest.mark.slow
def test_a_foundation_backbone_goes_from_the_command_to_the_table(place):
    """Drawn weights and one block of the network."""
    assert start(reproduce, "--table=foundation", "--workdir=w", *FROZEN) == 0
    text = (place / "w/tables/foundation_table1.md").read_text()
    rows = re.findall(r"^\| dinov2-small +\| (.*?) +\| this run +\|(.*)\|$", text, re.MULTILINE)
    assert [method for method, _ in rows] == list(METHODS)
    for _, ours in rows:
        one, five = [float(cell.strip().split()[0]) for cell in ours.split("|")]
        assert 0 <= one <= 100
        assert 0 <= five <= 100
    assert re.search(r"^\| dinov2-base +\| FSSDINO +\| this run +\| +not run", text, re.MULTILINE)
    assert "--config.model.weights=random" in text.partition("| Backbone")[0]
