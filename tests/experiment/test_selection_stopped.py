"""SIGTERM does not wait for a selection, and changes no result of it."""

import os
import signal

import pytest

from fsjax import distributed, experiment
from fsjax.experiment.selection import Selection
from fsjax.models import build
from fsjax.preemption import Preempted
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.runs import Run
from tests.experiment.test_selection import selecting
from tests.same import assert_same_bits


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, apart):
    """The folder of a run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    experiment.train(selecting("novel_fold"), apart, workdir)
    return workdir


@pytest.mark.parametrize("when", ["before it is measured", "meanwhile", "both times"])
def test_a_step_that_sigterm_leaves_unmeasured_is_measured_by_the_next_start(
    when, apart, undisturbed, tmp_path, monkeypatch
):
    add, score, left = Curves.add, Selection._score, ["add", "score", "score"]
    stops = {"before it is measured": left[:1], "meanwhile": left[1:2], "both times": left[1:]}[when]

    def stop(self, step, *args, **more):
        add(self, step, *args, **more)
        if step == 2 and stops[:1] == ["add"]:
            os.kill(os.getpid(), signal.SIGTERM)

    def break_off(self, variables):
        if stops[:1] == ["score"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return score(self, variables)

    monkeypatch.setattr(Curves, "add", stop)
    monkeypatch.setattr(Selection, "_score", break_off)
    while stops:
        with pytest.raises(Preempted):
            experiment.train(selecting("novel_fold"), apart, tmp_path)
        assert [("selection" in line) for line in read_metrics(tmp_path)] == [False, False]
        assert Run.open(tmp_path).found["unmeasured"] == 2
        stops.pop(0)
    run = experiment.train(selecting("novel_fold"), apart, tmp_path)
    whole = Run.open(undisturbed)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (undisturbed / "metrics.jsonl").read_bytes()
    assert (run.step, run.found) == (whole.step, whole.found)
    method = build.method(run.config.model)
    assert_same_bits(run.variables(method), whole.variables(method))


def test_one_of_several_processes_saves_nothing_alone(apart, monkeypatch):
    """At a second SIGTERM in a selection, while the others measure on: they would never save with it."""
    config = selecting("novel_fold")
    selection = Selection.configured(config, apart, build.method(config.model), steps=4)

    def break_off(*_):
        raise Preempted

    monkeypatch.setattr(Selection, "measure", break_off)
    monkeypatch.setattr(distributed, "several", lambda: True)
    found = {}
    with pytest.raises(Preempted):
        selection.measure_unless_stopping(2, {}, found, stopping=False)
    assert found == {}
    assert selection.measure_unless_stopping(2, {}, found, stopping=True) is None
    assert found == {"unmeasured": 2}
