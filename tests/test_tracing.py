"""Traces of steps: which they are of, what becomes of them if something goes wrong, how they are read."""

import gzip
import json
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import pytest

from benchmarks import programs
from fsjax import distributed, trace_files
from fsjax.errors import InputError
from fsjax.preemption import Preempted
from fsjax.tracing import EVALUATION, TRAINING, check, steps, tracing
from tests.models.programs import newer_jax
from tests.runs import dpnet_config

pytestmark = pytest.mark.usefixtures("no_older_programs")


def loop(count, kind=EVALUATION, stop=None):
    """Squares so many matrices on the devices; returns how many."""

    @jax.jit
    def squared_in_a_loop(x):
        with jax.named_scope("backbone"):
            return x @ x

    found = [jnp.ones((64, 64))]
    for number in steps(kind, range(1, count + 1), lambda: found):
        found.append(squared_in_a_loop(found[-1]))
        if number == stop:
            raise Preempted
    return len(found) - 1


def traced_in(folder):
    return trace_files.read(trace_files.newest(folder))


def test_three_batches_after_the_second_are_traced(tmp_path):
    with tracing(tmp_path / "new", EVALUATION):
        assert loop(9, TRAINING) == 9  # a loop of another kind
        assert loop(2) == 2  # one that is over before
        assert loop(9) == 9
        assert loop(9) == 9  # one is enough
    found = traced_in(tmp_path / "new")
    assert (found.kind, len(found.steps)) == (EVALUATION, 3)
    (row,) = [row for row in found.rows if row.operation == "dot_general"]
    assert (row.phase, row.times) == ("backbone", 3)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plugins"]
    assert list((tmp_path / "new").rglob("perfetto_trace.json.gz"))
    assert list((tmp_path / "new").rglob("*.xplane.pb"))


def test_what_is_over_in_between_leaves_what_there_was(tmp_path):
    with tracing(tmp_path, EVALUATION):
        loop(4)
    assert len(traced_in(tmp_path).steps) >= 2


def test_what_is_ended_in_between_leaves_what_there_was(tmp_path):
    with pytest.raises(Preempted), tracing(tmp_path, EVALUATION):
        loop(9, stop=5)
    assert len(traced_in(tmp_path).steps) >= 2
    with tracing(tmp_path, EVALUATION):  # and another can be made, maybe in the same second
        loop(9)
    assert len(list(tmp_path.glob("plugins/profile/*"))) == 2


def test_what_is_over_before_is_said(tmp_path):
    over = pytest.raises(InputError, match="begins at batch 3, and this evaluation was over before")
    with over, tracing(tmp_path, EVALUATION):
        loop(2)
    assert list(tmp_path.iterdir()) == []


def test_too_few_steps_are_said_before_they_begin(tmp_path):
    check(TRAINING, 3)  # nothing is to be traced
    refused = pytest.raises(InputError, match="traces steps 11 to 15 of what is left, and 14 are left")
    with refused, tracing(tmp_path, TRAINING):
        check(TRAINING, 15)
        check(TRAINING, 14)


def test_without_a_folder_and_in_other_processes_nothing_is_traced(tmp_path, monkeypatch):
    with tracing("", EVALUATION):
        assert loop(2) == 2
    monkeypatch.setattr(distributed, "is_main", lambda: False)
    with tracing(tmp_path / "new", EVALUATION):
        assert loop(9) == 9
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"), tracing(tmp_path / "file" / "in", TRAINING):
        pytest.fail("nothing begins")


def test_a_trace_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    stop = jax.profiler.stop_trace

    def full():
        stop()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jax.profiler, "stop_trace", full)
    refused = pytest.raises(InputError, match=r"cannot be written to .*No space left.*: make room")
    with refused, tracing(tmp_path, EVALUATION):
        loop(9)
    assert list(tmp_path.iterdir()) == []


def test_where_programs_of_one_name_disagree_no_phase_is_named(tmp_path):
    def square(x):
        return x @ x

    parts = [jax.jit(jax.named_scope(name)(square)) for name in ("backbone", "head", "head")]
    with tracing(tmp_path, EVALUATION):
        for size, part in zip(steps(EVALUATION, (8, 16, 24, 32, 40)), (*parts, *parts), strict=False):
            part(jnp.ones((size, size)))
    assert {row.phase for row in traced_in(tmp_path).rows} == {"other"}


def write(folder, events):
    """Writes a trace of these events, without programs."""
    place = folder / "plugins" / "profile" / "now"
    place.mkdir(parents=True)
    with gzip.open(place / "host.trace.json.gz", "wt") as file:
        json.dump({"traceEvents": events}, file)


def event(name, start, lasts, **arguments):
    return {"ph": "X", "name": name, "ts": start, "dur": lasts, "args": arguments}


def test_times_by_hand(tmp_path):
    """An operation that goes on beside others, one in a loop, and two steps that load for 3 ms."""
    write(tmp_path, [
        event("training", 0, 10_000, step_num="11"), event("training", 20_000, 12_000, step_num="12"),
        event("loading", 100, 1_000), event("loading", 20_100, 2_000), event("loading", 50_000, 9_000),
        event("convolution.1", 2_000, 10, hlo_op="convolution.1", hlo_module="step"),
        event("end: convolution.1", 7_000, 1),
        event("while.2", 7_000, 2_000, hlo_op="while.2", hlo_module="step"),
        event("copy.3", 7_500, 500, hlo_op="copy.3", hlo_module="step"), event("end: copy.3", 7_900, 1),
    ])  # fmt: skip
    found = traced_in(tmp_path)
    assert (found.kind, found.steps, found.loading) == (TRAINING, [10.0, 12.0], 3.0)
    assert found.rows == [
        trace_files.Row("convolution", "other", 1, 5.0), trace_files.Row("copy", "other", 1, 0.5),
    ]  # fmt: skip


def test_a_damaged_trace_is_said(tmp_path):
    with pytest.raises(InputError, match="There is no trace in"):
        traced_in(tmp_path)
    write(tmp_path, [])
    (file,) = tmp_path.rglob("*.trace.json.gz")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="is damaged"):
        traced_in(tmp_path)


@newer_jax
def test_names_of_phases_change_no_program(monkeypatch):
    @contextmanager
    def unnamed(name):
        yield

    def text():
        return programs.training(dpnet_config(), 2).lower().as_text()

    named = text()
    monkeypatch.setattr(jax, "named_scope", unnamed)
    assert text() == named
