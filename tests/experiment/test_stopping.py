"""A training that is asked to end, or that meets numbers that are not finite, loses nothing."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import pytest

from fsjax import distributed, experiment
from fsjax.errors import InputError
from fsjax.files import ClaimedError, claimed
from fsjax.preemption import Preempted
from fsjax.training import saving
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.plan import Plan
from fsjax.training.runs import Run
from tests.experiment.test_training import assert_same_run
from tests.runs import prnet_config, toy_sources


@pytest.fixture
def at_step(monkeypatch):
    """Does something as soon as a step is taken; its metrics are what it returns, if anything."""
    genuine = Curves.add

    def doing(when, action):
        def add(self, step, metrics, **more):
            changed = action(metrics) if step == when else None
            genuine(self, step, changed or metrics, **more)

        monkeypatch.setattr(Curves, "add", add)

    return doing


def terminate(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)


def steps_in(workdir):
    return {path.name for path in (workdir / "checkpoints").iterdir()}


@pytest.mark.parametrize("step", [1, 4, 6])
def test_sigterm_saves_after_the_step(step, tmp_path, folder, whole, at_step, monkeypatch):
    at_step(step, terminate)
    with pytest.raises(Preempted, match=rf"stops after step {step} of 6, which is saved; the same command"):
        experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert str(step) in steps_in(tmp_path)
    monkeypatch.undo()
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert_same_run(tmp_path, whole, folder)


def test_a_second_sigterm_does_not_wait_for_the_step(tmp_path, folder, at_step, monkeypatch):
    monkeypatch.setattr("fsjax.preemption.SAME", -1.0)
    at_step(5, lambda _: [terminate(), terminate()].clear())
    with pytest.raises(Preempted):
        experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert steps_in(tmp_path) == {"3"}


class Clock:
    """A clock on which a step takes half a minute."""

    now = 0.0

    def monotonic(self):
        return self.now


def test_checkpoints_are_saved_after_minutes_too(tmp_path, folder, whole, at_step, monkeypatch):
    clock, genuine = Clock(), Curves.add

    def add(self, step, metrics, **more):
        clock.now = 30.0 * step
        genuine(self, step, metrics, **more)

    monkeypatch.setattr(saving, "time", clock)
    monkeypatch.setattr(Curves, "add", add)
    often = {"train.checkpoint_every": 4, "train.checkpoint_minutes": 1, "train.keep_last": 9}
    experiment.train(prnet_config(often), toy_sources(folder), tmp_path)
    assert steps_in(tmp_path) == {"2", "4", "6"}
    assert_same_run(tmp_path, whole, folder)


@pytest.mark.parametrize(
    ("minutes", "log_every", "due"),
    [(0, 1, [4]), (1, 1, [2, 4, 6]), (1, 3, [3, 4, 6]), (1.5, 1, [3, 4, 7])],
)
def test_minutes_count_from_the_last_checkpoint_at_lines_of_the_log(minutes, log_every, due, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    schedule, found = saving.Saving(4, minutes, log_every, {7} if minutes == 1.5 else (), since=0.0), []
    for step in range(1, 8):
        clock.now = 30.0 * step
        if schedule.due(step):
            schedule.saved()
            found.append(step)
    assert found == due


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"loss": np.nan}, "The loss of step 5 is nan"),
        ({"gradient_norm": np.inf}, "The gradients of step 5 are not finite"),
        ({"finite": 0.0}, "The weights after step 5 are not finite"),
    ],
)
def test_what_is_not_finite_is_named_with_its_episodes(broken, said, tmp_path, folder, at_step):
    at_step(5, lambda metrics: {**metrics, **{name: jnp.float32(value) for name, value in broken.items()}})
    sources = toy_sources(folder)
    with pytest.raises(FloatingPointError) as raised:
        experiment.train(prnet_config(), sources, tmp_path)
    told = str(raised.value)
    assert told.startswith(f"{said}, after episode 8 (support ")
    assert ", episode 9 (support " in told
    assert told.endswith(
        "look at these photos and their masks, lower train.learning_rate, and begin anew in another "
        "--workdir; the last good checkpoint is that of step 3."
    )
    assert all(name in sources["train"].ids for name in told.split("query ")[1].split(")")[0].split(", "))
    assert steps_in(tmp_path) == {"3"}
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4]


def test_a_second_training_stops_before_it_touches_anything(whole, folder, tmp_path):
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    with claimed(tmp_path), pytest.raises(ClaimedError, match="Another process is at work in"):
        experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert steps_in(tmp_path) == {"3.orbax-checkpoint-tmp"}
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert steps_in(tmp_path) == {"3", "6"}
    assert_same_run(tmp_path, whole, folder)


def test_processes_see_one_folder_before_they_read_its_checkpoints(whole, folder, monkeypatch):
    """They read them together, and one that finds none would let the others wait."""

    def refuse(place):
        raise InputError(f"Process 1 does not see {place}.")

    opened = []
    monkeypatch.setattr(distributed, "check_shared", refuse)
    monkeypatch.setattr("fsjax.experiment.training.Checkpoints", opened.append)
    with pytest.raises(InputError, match="Process 1 does not see"):
        experiment.train(prnet_config(), toy_sources(folder), whole)
    assert not opened


def test_a_damaged_checkpoint_is_trained_anew(whole, folder, tmp_path, at_step, monkeypatch):
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    for path in (tmp_path / "checkpoints" / "6" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    assert Run.open(tmp_path).step == 3
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert_same_run(tmp_path, whole, folder)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 6


def test_sigterm_before_the_first_step_waits_for_nothing(tmp_path, folder, whole, monkeypatch):
    """As while features of a frozen backbone are computed, which may take hours."""
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "episodes", terminate)
        with pytest.raises(Preempted):
            experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert_same_run(tmp_path, whole, folder)
