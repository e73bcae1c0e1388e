"""The Slurm script under a stand-in srun, which starts its tasks here with the variables that Slurm sets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import read_metrics
from tests.commands.conftest import write_folder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "slurm.sh"

SRUN = f"""#!{sys.executable}
# Starts a task for each of SLURM_NTASKS; as srun does, it ends with the highest of their exit codes.
import os, signal, subprocess, sys

signal.signal(signal.SIGTERM, lambda *_: None)  # which is for the tasks
count = os.environ["SLURM_NTASKS"]
command = [argument for argument in sys.argv[1:] if argument != "--kill-on-bad-exit=0"]
step = {{
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_STEP_NUM_TASKS": count,
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_TASKS_PER_NODE": count,
}}
tasks = [
    subprocess.Popen(command, env=os.environ | step | {{"SLURM_PROCID": task, "SLURM_LOCALID": task}})
    for task in map(str, range(int(count)))
]
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = """#!/bin/sh
echo "$@" >>"$REQUEUED"
"""
PYTHON = f"""#!/bin/sh
exec {sys.executable} "$@"
"""


@pytest.fixture
def slurm(standing_in, monkeypatch, tmp_path):
    """Starts the script as a job of two tasks, with flags, in a folder of its own; returns the process."""
    standing_in(srun=SRUN, scontrol=SCONTROL)
    for name, value in {
        "SLURM_NTASKS": "2",
        "REQUEUED": str(tmp_path / "requeued"),
        "JAX_PLATFORMS": "cpu",
    }.items():
        monkeypatch.setenv(name, value)

    def start(*flags, job=1, cwd=tmp_path):
        monkeypatch.setenv("SLURM_JOB_ID", str(job))
        return subprocess.Popen(["bash", SCRIPT, *flags], cwd=cwd, start_new_session=True)

    return start


@pytest.mark.parametrize("code", [0, 1, 2, 75, 130, 137])
def test_a_job_that_saved_is_queued_again_and_no_other(code, slurm, standing_in, tmp_path):
    standing_in(python=f"#!/bin/sh\nexit $(({code} * SLURM_PROCID))\n")
    assert slurm(job=7).wait(60) == code
    requeued = tmp_path / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == ("requeue 7\n" if code == 75 else "")


def test_tasks_get_the_flags_and_an_episode_each(slurm, standing_in, tmp_path):
    standing_in(python='#!/bin/sh\necho "$@" >$SLURM_PROCID\n')
    assert slurm("--workdir=runs/of mine").wait(60) == 0
    flags = "--config=configs/prnet_coco.py --config.batch_size=2 --config.lr_scaling=linear"
    assert [(tmp_path / task).read_text() for task in "01"] == [
        f"train.py {flags} --workdir=runs/of mine\n"
    ] * 2


def test_sigterm_leaves_the_script_to_see_how_its_tasks_end(slurm, standing_in, tmp_path):
    saves = "trap 'exit 75' TERM; touch $SLURM_PROCID; while :; do sleep 0.05; done"
    standing_in(python=f"#!/bin/sh\n{saves}\n")
    job = slurm()
    while not all((tmp_path / task).exists() for task in "01"):
        assert job.poll() is None
    subprocess.run(["kill", "-TERM", "--", f"-{job.pid}"], check=True)
    assert job.wait(60) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 1\n"


def free_job():
    """The number of a job whose port, which JAX derives from it, nobody listens on."""
    for job in range(1, 4096):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", 61440 + job))
            return job
    raise OSError("no port is free")


def trained(slurm, folder, *flags):
    """Starts a training of two tasks of one device each, which find each other by Slurm's variables."""
    fields = {
        "eval.rows": "fusion0",
        "eval.pictures": 0,
        "compilation_cache": jax.config.jax_compilation_cache_dir,
    }
    few = [f"--config.{name}={value}" for name, value in fields.items()]
    return slurm(
        f"--config={folder}/mini.py", f"--workdir={folder}/run", *few, *flags, job=free_job(), cwd=ROOT
    )


@pytest.mark.slow
def test_two_tasks_train_one_run(slurm, standing_in, tmp_path):
    standing_in(python=PYTHON)
    write_folder(tmp_path)
    assert trained(slurm, tmp_path, "--config.train.steps=4").wait(300) == 0
    assert [metrics["step"] for metrics in read_metrics(tmp_path / "run")] == [1, 2]  # of two episodes each
    assert len((tmp_path / "run" / "episodes.jsonl").read_text().splitlines()) == 8


@pytest.mark.slow
def test_sigterm_saves_the_same_step_in_both_tasks_and_the_job_goes_on(slurm, standing_in, tmp_path):
    standing_in(python=PYTHON)
    write_folder(tmp_path)
    long = ("--config.train.steps=600", "--config.train.checkpoint_every=300")
    job = trained(slurm, tmp_path, *long)
    while len(read_metrics(tmp_path / "run")) < 2:
        assert job.poll() is None
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(300) == 75
    with Checkpoints(tmp_path / "run") as checkpoints:
        saved = checkpoints.latest_step
    assert 2 <= saved < 300
    assert len(read_metrics(tmp_path / "run")) == saved
    assert (tmp_path / "requeued").read_text().startswith("requeue ")
    assert trained(slurm, tmp_path, *long).wait(300) == 0
    assert [metrics["step"] for metrics in read_metrics(tmp_path / "run")] == list(range(1, 301))
