"""Places that cannot be written to, and which exit code tells what; test_bad_input_table.py has the rest."""

import os
import tempfile

import pytest

import datasets
import eval as evaluation
import train
from fsjax import cli
from tests.commands.programs import start


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
