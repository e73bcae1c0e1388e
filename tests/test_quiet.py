"""What is printed beside the sentence that a program says: nothing of the same error."""

import logging
import sys

import pytest

from fsjax import cli
from fsjax.errors import InputError
from fsjax.preemption import Preempted


def logged(path, error):
    """A record as a module at a path would log an error."""
    record = logging.LogRecord("absl", logging.ERROR, path, 1, "it failed", (), (type(error), error, None))
    logging.getLogger("absl").handle(record)


class Dying:
    """An object whose end raises, as a callback does."""

    def __init__(self, error):
        self.error = error

    def __del__(self):
        raise self.error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_told_once(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    def program(argv):
        logged("/site-packages/orbax/checkpoint/future.py", OSError(28, "No space left on device"))
        logged("/fsjax/loading.py", ValueError("of our own"))
        for error in (RuntimeError("Event loop is closed"), Preempted(), RuntimeError("another")):
            Dying(error)
        raise InputError("The disk is full: make room.")

    assert cli.run(program, ["train.py"]) == 2
    said = capsys.readouterr().err
    assert "No space left" not in said
    assert "Event loop is closed" not in said
    assert "Preempted" not in said
    assert "of our own" in said
    assert "RuntimeError: another" in said
    assert said.endswith("error: The disk is full: make room.\n")
    assert sys.unraisablehook is sys.__unraisablehook__
