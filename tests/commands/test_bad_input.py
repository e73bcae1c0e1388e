"""Damaged checkpoints, places that cannot be written to, exit codes; test_bad_input_table.py has the rest."""

import os
import shutil
import tempfile

import pytest

import datasets
import eval as evaluation
import train
from fsjax import cli
from fsjax.files import claimed
from fsjax.training.runs import Run
from tests.commands.programs import results, start


def damaged(trained, folder, harm, part):
    """Copies a run, cutting or losing the files of a part of its latest checkpoint."""
    shutil.copytree(trained / "run", folder / "run")
    place = folder / "run" / "checkpoints" / "2" / part
    for path in [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.unlink()
        if harm == "cut":
            path.write_bytes(whole[: len(whole) // 2])
    return folder / "run"


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        ("cut", "config"),
        ("lost", "config"),
        ("cut", "state/_METADATA"),
        ("cut", "state/d"),
        ("lost", "state"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name_and_else_skipped(harm, part, trained, tmp_path, refusal):
    run = damaged(trained, tmp_path, harm, part)
    sentence = refusal(evaluation, f"--workdir={run}", f"--out={tmp_path}/out", "--step=2")
    assert sentence.startswith(f"error: Checkpoint 2 in {run} is damaged (")
    assert sentence.endswith("): name another step.")
    assert not (tmp_path / "out").exists()
    assert Run.open(run).step == 1


def test_the_newest_sound_checkpoint_is_evaluated_and_another_evaluation_beside_it_is_not(
    trained, tmp_path, refusal, capsys
):
    run, out = damaged(trained, tmp_path, "cut", "state/d"), tmp_path / "out"
    with claimed(out):
        sentence = refusal(evaluation, f"--workdir={run}", f"--out={out}")
        assert f"Another process is at work in {out}: wait for it to end, or name another folder." in sentence
    assert not out.exists()
    assert start(evaluation, f"--workdir={run}", f"--out={out}") == 0
    assert results(out)["step"] == 1
    assert "and skipped: the newest sound one is 1" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--out", "--save_episodes"])
def test_a_place_that_cannot_be_written_to_is_refused_before_scoring(trained, refusal, flag, caplog):
    place = f"{trained}/mini.py/in_a_file"
    sentence = refusal(evaluation, f"--workdir={trained}/run", f"{flag}={place}")
    assert f"{trained}/mini.py" in sentence
    assert not any("Evaluating" in line for line in caplog.messages)


def test_exit_codes_tell_input_system_and_bugs_apart(place, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    command = f"--config={place}/mini.py", f"--workdir={place}/run"

    def code_of(error, *more):
        def fail(config):
            raise error

        monkeypatch.setattr(datasets, "load", fail)
        code = start(train, *command, *more)
        return code, capsys.readouterr().err

    code, said = code_of(PermissionError(13, os.strerror(13), "runs/mine"))
    sentence = "The system refused runs/mine: Permission denied: make room or name another place."
    assert (code, said) == (cli.INPUT_ERROR, f"error: {sentence}\n")
    code, said = code_of(KeyError("colour"))
    (log,) = place.glob("fsjax_*.log")
    assert code == cli.BUG
    assert said.startswith("error: This is a bug in fsjax (KeyError)")
    assert str(log) in said
    assert "KeyError: 'colour'" in log.read_text()
    code, said = code_of(KeyError("colour"), "--debug")
    assert code == cli.BUG
    assert said.startswith("Traceback")
    assert code_of(KeyboardInterrupt())[0] == cli.INTERRUPTED
