"""train.py as its users start it: what it writes, and that it goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ablate
import eval as evaluation
import train
from fsjax import cli
from fsjax.evaluation.rows import Evaluation
from fsjax.files import claimed
from fsjax.training.curves import Curves
from tests.commands.programs import ROWS, files, results, scores, start

ROOT = Path(train.__file__).parent


def test_a_run_writes_tables_pictures_curves_and_its_manifest(trained):
    run = trained / "run"
    for name in ("episodes.png", "learning_curve.png", "results.md", "checkpoints/2"):
        assert (run / name).exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert len((run / "manifest.jsonl").read_text().splitlines()) == 1 + 8
    assert len((run / "episodes.jsonl").read_text().splitlines()) == 8 * len(ROWS)
    found = results(run)
    assert (found["title"], found["data_set"]) == ("VOC folder: 12 photos, other folds", "mini")
    assert (found["step"], found["fold"], found["classes"]) == (2, 1, ["dog", "horse"])
    assert [row["name"] for row in found["rows"]] == list(ROWS)
    for row in found["rows"]:
        low, high = row["ci95"]
        assert 0 <= low <= row["mean_iou"] <= high <= 100
        assert row["mean_iou"] == pytest.approx(np.mean(list(row["per_class"].values())))
        assert 0 <= row["binary_iou"] <= 100
        assert (row["episodes"], row["seed"], len(row["manifest"])) == (8, 1234, 64)
        assert row["seconds"] > 0


def test_the_same_command_again_trains_no_further(trained, capsys):
    run = trained / "run"
    before, curve = scores(run), (run / "metrics.jsonl").read_bytes()
    assert start(train, f"--config={trained}/mini.py", f"--workdir={run}") == 0
    assert scores(run) == before
    assert (run / "metrics.jsonl").read_bytes() == curve
    assert "fusion2" in capsys.readouterr().out


def test_a_run_keeps_its_configuration(trained, refusal):
    before = files(trained / "run")
    sentence = refusal(
        train, f"--config={trained}/mini.py", f"--workdir={trained}/run", "--config.train.learning_rate=0.5"
    )
    assert "began with train.learning_rate=0.02, not 0.5" in sentence
    assert files(trained / "run") == before


@pytest.mark.parametrize("dry", [(), ("--dry_run",)], ids=["train", "dry run"])
def test_a_selection_without_photos_held_out_is_refused(dry, place, refusal):
    run = place / "run"
    sentence = refusal(
        train, f"--config={place}/mini.py", f"--workdir={run}", "--config.train.select=base_val", *dry
    )
    assert "train.select is 'base_val', and every photo of all is in the training list, too: " in sentence
    assert files(run) == {}


def test_two_programs_do_not_write_one_run(trained, refusal):
    with claimed(trained / "run"):
        sentence = refusal(train, f"--config={trained}/mini.py", f"--workdir={trained}/run")
    assert f"Another process is at work in {trained}/run" in sentence


@pytest.mark.parametrize("during", ["training", "evaluation"])
def test_sigterm_ends_with_75_and_the_same_command_goes_on(during, place, trained, monkeypatch, capsys):
    command = f"--config={place}/mini.py", f"--workdir={place}/run"
    add, score = Curves.add, Evaluation.score

    def stop(self, step, *args, **more):
        add(self, step, *args, **more)
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def stop_scoring(self, rows):
        os.kill(os.getpid(), signal.SIGTERM)
        return score(self, rows)

    with monkeypatch.context() as patch:
        if during == "training":
            patch.setattr(Curves, "add", stop)
        else:
            patch.setattr(Evaluation, "score", stop_scoring)
        assert start(train, *command) == cli.PREEMPTED
    assert "command" in capsys.readouterr().err.splitlines()[-1]
    assert len((place / "run" / "metrics.jsonl").read_text().splitlines()) == 1 + (during == "evaluation")
    assert start(train, *command) == 0
    assert scores(place / "run") == scores(trained / "run")


def test_a_run_in_a_file_is_refused(place, refusal):
    sentence = refusal(train, f"--config={place}/mini.py", f"--workdir={place}/mini.py/run")
    assert f"{place}/mini.py/run cannot be written to" in sentence


def test_programs_keep_what_they_compile(place, refusal, monkeypatch):
    kept = []

    def keep(folder):
        kept.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.configs, "keep_compiled", keep)
    for program in (train, evaluation, ablate):
        out = "--workdir=run" if program is train else "--out=out"
        assert start(program, f"--config={place}/mini.py", out, "--config.compilation_cache=here") == 130
    assert kept == ["here"] * 3


def test_a_process_ends_with_one_sentence():
    command = [sys.executable, "train.py", "--config.trian.steps=3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == "error: The configuration has no field trian.steps: did you mean train.steps?\n"


def test_help_names_every_flag(capsys):
    for program in (train, evaluation, ablate):
        with pytest.raises(SystemExit) as ended:
            start(program, "--help")
        assert not ended.value.code
        printed = capsys.readouterr().out
        assert all(f"--{name}=" in printed for name in (*program.FLAGS, "config.train.steps"))
