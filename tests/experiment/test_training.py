"""A run that stops, however it stops, goes on as if it had not; nothing else may go on in its place."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from fsjax import experiment
from fsjax.config import Found
from fsjax.errors import InputError
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from fsjax.training.step import make_state
from tests.runs import prnet_config, toy_sources
from tests.same import assert_same_bits
from tests.training.interruption import interrupted_before

REPOSITORY = Path(__file__).parents[2]


def last_state(workdir, folder):
    config = prnet_config()
    method, plan = build.method(config.model), plan_of(config, toy_sources(folder)["train"])
    like = jax.eval_shape(lambda: make_state(method.init(jax.random.key(0)), plan.optimizer))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step == 6
        return checkpoints.restore(like)


def assert_same_run(workdir, whole, folder):
    assert (workdir / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert_same_bits(last_state(workdir, folder), last_state(whole, folder))


def test_a_run_writes_a_line_a_step(whole):
    lines = read_metrics(whole)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert np.isfinite([[line["loss"], line["gradient_norm"]] for line in lines]).all()
    rates = [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    np.testing.assert_allclose([line["learning_rate"] for line in lines], rates, rtol=1e-5)
    assert (whole / "learning_curve.png").stat().st_size > 0


def test_a_run_keeps_what_it_found_out_apart_from_its_configuration(whole, folder):
    run = Run.open(whole)
    assert run.config.to_dict() == prnet_config().to_dict()
    assert run.found == Found(
        data_version="1.0.0",
        steps=6,
        base_classes=["cat", "dog", "emu", "fox"],
        novel_classes=["ant", "bee"],
        backbone_classes=[],
        train_ids_sha256=hashlib.sha256("\n".join(toy_sources(folder)["train"].ids).encode()).hexdigest(),
    )
    assert run.step == 6


def test_a_finished_run_is_left_alone(whole, folder):
    before = (whole / "metrics.jsonl").read_text(), last_state(whole, folder)
    run = experiment.train(prnet_config(), toy_sources(folder), whole)
    assert run.step == 6
    assert (whole / "metrics.jsonl").read_text() == before[0]
    assert_same_bits(last_state(whole, folder), before[1])


def test_a_run_compiles_its_step_once(tmp_path, folder, caplog):
    with caplog.at_level(logging.INFO, logger="fsjax.training.step"):
        alone = {"train.steps": 3, "model.scale": 19.0}  # no other test's, which may have compiled it
        experiment.train(prnet_config(alone), toy_sources(folder), tmp_path)
    assert sum("compiling" in record.message for record in caplog.records) == 1


def test_three_steps_and_three_more_are_six(tmp_path, folder, whole, monkeypatch):
    with interrupted_before(5, monkeypatch):
        experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4]
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 3
    experiment.train(prnet_config(), toy_sources(folder), tmp_path)
    assert_same_run(tmp_path, whole, folder)


def test_checkpoints_that_were_kept_stay_kept(tmp_path, folder, monkeypatch):
    with interrupted_before(5, monkeypatch):
        experiment.train(
            prnet_config({"train.keep": (2,), "train.checkpoint_every": 1}), toy_sources(folder), tmp_path
        )
    config = prnet_config({"train.checkpoint_every": 1, "eval.rows": ("fusion0",)})
    run = experiment.train(config, toy_sources(folder), tmp_path)
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"2", "5", "6"}
    assert Run.open(tmp_path).config.train.keep == (2,)
    experiment.evaluate(config, toy_sources(folder), tmp_path, run=run)  # which names no steps to keep


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("train.weight_decay", 0.1, r"train\.weight_decay=0\.0005, not 0\.1"),
        ("model.backbone_options.widths", (4, 4, 12), r"widths=\(4, 4, 8\), not \(4, 4, 12\)"),
        ("fold", 1, "fold=0, not 1"),
    ],
)
def test_a_run_does_not_go_on_with_another_configuration(field, value, said, whole, folder):
    with pytest.raises(InputError, match=said):
        experiment.train(prnet_config({field: value}), toy_sources(folder), whole)


def other_version(source):
    source.version = "2.0.0"


def other_names(source):
    source.class_names = ("ant", "bee", "cat", "dog", "emu", "gnu")


def other_folds(source):
    source.folds = ((3, 2), (1, 4), (5, 6))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_version, r"data_version=1\.0\.0, not 2\.0\.0: .*before fsjax 0\.3 are no longer read"),
        (other_names, "base_classes=.*'fox'.*, not .*'gnu'"),
        (other_folds, "base_classes=.*'cat'.*, not .*'ant'"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(change, said, whole, tmp_path):
    sources = toy_sources(tmp_path)  # a class index of its own
    change(sources["train"])
    with pytest.raises(InputError, match=said):
        experiment.train(prnet_config(), sources, whole)


@pytest.mark.parametrize("values", [{"train.steps": 0}, {"train.schedule": "cosine", "train.warmup": 6}])
def test_what_cannot_be_trained_leaves_nothing(values, tmp_path, folder):
    with pytest.raises(InputError, match=r"^train\."):
        experiment.train(prnet_config(values), toy_sources(folder), tmp_path / "run")
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys, time
import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", sys.argv[3])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

from fsjax import cli, experiment, preemption
from fsjax.training.curves import Curves
from tests.runs import prnet_config, toy_sources

add = Curves.add

def linger(self, step, *args, **more):
    add(self, step, *args, **more)
    while step == 5 and not preemption.asked():
        time.sleep(0.01)

Curves.add = linger
sys.exit(cli.run(lambda argv: experiment.train(prnet_config(), toy_sources(argv[2]), argv[1])))
"""


@pytest.mark.parametrize(
    ("number", "code", "lines", "said"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, 4, "", id="kill -9"),  # one behind the checkpoint
        pytest.param(
            signal.SIGTERM,
            75,
            5,
            "SIGTERM: the training in {} stops after step 5 of 6, which is saved; the same",
            id="SIGTERM",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(number, code, lines, said, tmp_path, folder, whole):
    script, workdir = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    cache = Path(jax.config.jax_compilation_cache_dir).absolute()
    command = [sys.executable, str(script), str(workdir), str(folder), str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not ((workdir / "checkpoints" / "3").is_dir() and len(read_metrics(workdir)) >= 4):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "the run did not reach its fourth step in two minutes"
            time.sleep(0.05)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert said.format(workdir) in printed
    assert len(read_metrics(workdir)) == lines
    experiment.train(prnet_config(), toy_sources(folder), workdir)
    assert_same_run(workdir, whole, folder)
