"""A run that stops, however it stops, goes on as if it had not; nothing else may go on in its place."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fsjax.training.same_run import check_same_run
from ml_collections import ConfigDict

from configs import common
from fsjax import experiment
from fsjax.errors import InputError
from fsjax.models.method import build
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.optimizer import learning_rate, make_optimizer
from fsjax.training.step import make_state
from tests.toy import ToySource
from tests.training.interruption import interrupted_before

REPOSITORY = Path(__file__).parents[2]
TINY = {"stage_sizes": (1, 1), "widths": (8, 16), "strides": (1, 2), "dilations": (1, 1)}


def small_config(**train):
    """Six steps of two episodes, a checkpoint after every third."""
    config = common.get_config()
    config.batch_size = 2
    config.model.backbone = "small"
    config.model.backbone_options = ConfigDict(TINY)
    config.model.batch_statistics = True
    config.train.update(
        {"ways": 2, "size": 32, "steps": 6, "learning_rate": 0.02, "milestones": (2, 4), "log_every": 1,
         "checkpoint_every": 3, **train}
    )  # fmt: skip
    return config


def sources(folder):
    return {"train": ToySource(folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the data set keeps its class index."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder):
    """The folder of a run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    experiment.train(small_config(), sources(folder), workdir)
    return workdir


def state_shapes(options=TINY):
    """The shapes of a run's state: those that restoring asks for."""
    config = small_config()
    config.model.backbone_options = ConfigDict(options)
    method = build(config.model)
    optimizer = make_optimizer(config.train, learning_rate(config.train, 2, "none")[0])
    return jax.eval_shape(lambda: make_state(method.init(jax.random.key(0)), optimizer))


@pytest.fixture(scope="module")
def state():
    """As after seven steps, no leaf having a round value."""
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda x: np.asarray(rng.normal(size=x.shape) * 100, x.dtype), state_shapes())
    return drawn._replace(step=np.int32(7))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, state):
    workdir = tmp_path_factory.mktemp("saved")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(state, small_config())
    return workdir


def assert_same_bits(left, right):
    def compare(one, other):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)

    jax.tree.map(compare, left, right)


def last_state(workdir):
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step == 6
        return checkpoints.restore(state_shapes())


def assert_same_run(workdir, whole):
    assert (workdir / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert_same_bits(last_state(workdir), last_state(whole))


# ---- checkpoints ----


def test_a_state_comes_back_bit_for_bit(saved, state):
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.latest_step == 7
        back = checkpoints.restore(state_shapes())
        assert jax.tree.structure(back) == jax.tree.structure(state)
        assert_same_bits(back, state)
        assert_same_bits(checkpoints.variables(state.variables), state.variables)


def test_the_configuration_comes_back_with_its_tuples(saved):
    config = small_config()
    assert Checkpoints.stored_config(saved).to_dict() == config.to_dict()
    check_same_run(Checkpoints.stored_config(saved), config, saved)


def test_the_two_latest_are_kept(tmp_path, state):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 2, 3):
            checkpoints.save(state._replace(step=np.int32(step)), small_config())
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()) == ["2", "3"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**TINY, "widths": (8, 24)}, r"layer2_0\.\w+\.\w+ is \(.*16.*\) there and \(.*24"),
        ({**TINY, "stage_sizes": (1, 2)}, r"layer2_1\.\w+\.\w+ is absent there and \("),
        ({**TINY, "stage_sizes": (1,)}, r"layer2_0\.\w+\.\w+ is \(.*\) there and absent"),
    ],
    ids=["another width", "a block more", "a stage less"],
)
def test_another_architecture_is_named_by_its_parameter(saved, options, said):
    like = state_shapes(options)
    with Checkpoints(saved) as checkpoints:
        for restore, given in ((checkpoints.restore, like), (checkpoints.variables, like.variables)):
            with pytest.raises(InputError, match=said):
                restore(given)


def test_without_a_checkpoint_the_folder_is_named(tmp_path, state):
    with pytest.raises(InputError, match=str(tmp_path)):
        Checkpoints.stored_config(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step is None
        for ask in (checkpoints.config, lambda: checkpoints.restore(state)):
            with pytest.raises(InputError, match=str(tmp_path)):
                ask()


@pytest.mark.parametrize(
    ("field", "value", "matters"),
    [
        ("train.learning_rate", 0.5, True),
        ("train.milestones", (2, 5), True),
        ("seed", 1, True),
        ("batch_size", 3, True),
        ("model.backbone_options.widths", (8, 32), True),
        ("eval.shots", 5, False),
        ("data.threads", 7, False),
        ("train.checkpoint_every", 1, False),
    ],
)
def test_only_fields_that_change_a_run_must_stay(field, value, matters):
    before, now = small_config(), small_config()
    *path, name = field.split(".")
    part = now
    for key in path:
        part = part[key]
    part[name] = value
    if not matters:
        check_same_run(before, now, "runs/mine")
        return
    with pytest.raises(InputError, match=f"The run in runs/mine began with {field}="):
        check_same_run(before, now, "runs/mine")


# ---- curves ----


def metrics(loss):
    return {name: jnp.full(8, loss, jnp.float32) for name in ("loss", "query_loss")}


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_the_rate_of_every_schedule_can_be_written(tmp_path, schedule):
    rate, _ = learning_rate(small_config(schedule=schedule).train, 1, "none")
    with Curves(tmp_path, 0) as curves:
        curves.add(1, metrics(1.0), learning_rate=rate(0))
        curves.flush()
    assert [line["learning_rate"] for line in read_metrics(tmp_path)] == [pytest.approx(0.02)]


# ---- runs ----


def test_a_run_writes_a_line_a_step(whole):
    lines = read_metrics(whole)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert np.isfinite([[line["loss"], line["gradient_norm"]] for line in lines]).all()
    rates = [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    np.testing.assert_allclose([line["learning_rate"] for line in lines], rates, rtol=1e-5)
    assert (whole / "learning_curve.png").stat().st_size > 0


def test_a_finished_run_is_left_alone(whole, folder):
    before = (whole / "metrics.jsonl").read_text(), last_state(whole)
    experiment.train(small_config(), sources(folder), whole)
    assert (whole / "metrics.jsonl").read_text() == before[0]
    assert_same_bits(last_state(whole), before[1])


def test_a_run_compiles_its_step_once(tmp_path, folder, caplog):
    with caplog.at_level(logging.INFO, logger="fsjax.training.step"):
        experiment.train(small_config(steps=3), sources(folder), tmp_path)
    assert sum("compiling" in record.message for record in caplog.records) == 1


def test_three_steps_and_three_more_are_six(tmp_path, folder, whole, monkeypatch):
    with interrupted_before(5, monkeypatch):
        experiment.train(small_config(), sources(folder), tmp_path)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4]
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 3
    experiment.train(small_config(), sources(folder), tmp_path)
    assert_same_run(tmp_path, whole)


def test_a_run_does_not_go_on_with_another_configuration(whole, folder):
    with pytest.raises(InputError, match=r"train\.weight_decay=0\.0005, not 0\.1"):
        experiment.train(small_config(weight_decay=0.1), sources(folder), whole)


SCRIPT = """
import sys, time
import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", sys.argv[3])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

from fsjax import experiment
from fsjax.training.curves import Curves
from tests.training.test_checkpoints import small_config, sources

add = Curves.add

def linger(self, step, *args, **more):
    add(self, step, *args, **more)
    if step == 5:
        time.sleep(600)

Curves.add = linger
experiment.train(small_config(), sources(sys.argv[2]), sys.argv[1])
"""


def test_a_killed_run_goes_on_bit_for_bit(tmp_path, folder, whole):
    script, workdir = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    cache = jax.config.jax_compilation_cache_dir
    command = [sys.executable, str(script), str(workdir), str(folder), str(Path(cache).absolute())]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not ((workdir / "checkpoints" / "3").is_dir() and len(read_metrics(workdir)) >= 4):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "the run did not reach its fourth step in a minute"
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(read_metrics(workdir)) == 4  # one behind the checkpoint
    experiment.train(small_config(), sources(folder), workdir)
    assert_same_run(workdir, whole)
