"""The Slurm script under a stand-in srun, which starts its tasks here with the variables that Slurm sets."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "slurm.sh"

SRUN = f"""#!{sys.executable}
# Starts a task for each of SLURM_NTASKS; as srun does, it ends with the highest of their exit codes.
import os, signal, subprocess, sys

signal.signal(signal.SIGTERM, lambda *_: None)  # which is for the tasks
tasks = [
    subprocess.Popen(
        sys.argv[1:],
        env=os.environ | {{"SLURM_PROCID": n, "SLURM_LOCALID": n, "SLURM_STEP_NODELIST": "localhost"}},
    )
    for n in map(str, range(int(os.environ["SLURM_NTASKS"])))
]
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = """#!/bin/sh
echo "$@" >>requeued
"""


@pytest.fixture
def slurm(standing_in, monkeypatch, tmp_path):
    """Starts the script as a job of two tasks, with flags, in a folder of its own; returns the process."""
    standing_in(srun=SRUN, scontrol=SCONTROL)
    monkeypatch.setenv("SLURM_NTASKS", "2")

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
