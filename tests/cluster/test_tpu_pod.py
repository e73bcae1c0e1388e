"""The TPU script under a stand-in gcloud, whose answers a test has written down."""

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "tpu_pod.sh"

# The first line of its answers goes with the first call, and so on: an exit code, and what is said.
GCLOUD = """#!/bin/bash
echo "$@" >>calls
read -r code said <answers
sed -i 1d answers
echo "$said"
exit "$code"
"""
DESCRIBE = "queued-resources describe fsjax --format=value(state.state) --zone=us-east5-b"
DELETE = "queued-resources delete fsjax --force --quiet --zone=us-east5-b"
CREATE = (
    "queued-resources create fsjax --node-id=fsjax --accelerator-type=v6e-16 "
    "--runtime-version=v2-alpha-tpuv6e --spot --zone=us-east5-b"
)
ABSENT = "1 ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: Resource was not found."


@pytest.fixture
def babysit(standing_in, monkeypatch, tmp_path):
    """Runs the script on answers; returns its exit code and the calls, what the hosts do as TRAIN."""
    standing_in(gcloud=GCLOUD)
    for name, value in {"SHARE": "10.0.0.2:/share", "ZONE": "us-east5-b", "WAIT": "0"}.items():
        monkeypatch.setenv(name, value)

    def run(*answers, flags=()):
        (tmp_path / "answers").write_text("".join(f"{answer}\n" for answer in answers))
        done = subprocess.run(["bash", SCRIPT, *flags], cwd=tmp_path, capture_output=True, timeout=60)
        calls = (tmp_path / "calls").read_text()
        assert (tmp_path / "answers").read_text() == ""
        text = re.sub(r"tpu-vm ssh fsjax --worker=all --command=.*? --zone=\S+", "TRAIN", calls, flags=re.S)
        return done.returncode, [line.removeprefix("compute tpus ") for line in text.splitlines()]

    return run


def test_a_slice_is_asked_for_used_and_deleted(babysit):
    code, calls = babysit(ABSENT, "0 ", "0 WAITING_FOR_RESOURCES", "0 PROVISIONING", "0 ACTIVE", "0 ", "0 ")
    assert (code, calls) == (0, [DESCRIBE, CREATE, DESCRIBE, DESCRIBE, DESCRIBE, "TRAIN", DELETE])


@pytest.mark.parametrize("gone", [75, 255])
def test_a_slice_that_was_taken_away_is_replaced(gone, babysit):
    code, calls = babysit(
        "0 ACTIVE", f"{gone} ", "0 SUSPENDING", "0 SUSPENDED", "0 ", ABSENT, "0 ", "0 ACTIVE", "0 ", "0 "
    )
    again = [DESCRIBE, DESCRIBE, DELETE, DESCRIBE, CREATE, DESCRIBE]
    assert (code, calls) == (0, [DESCRIBE, "TRAIN", *again, "TRAIN", DELETE])


def test_a_maintenance_starts_it_again_on_the_same_slice(babysit):
    code, calls = babysit("0 ACTIVE", "75 ", "0 ACTIVE", "0 ", "0 ")
    assert (code, calls) == (0, [DESCRIBE, "TRAIN", DESCRIBE, "TRAIN", DELETE])


@pytest.mark.parametrize("error", [1, 2, 130])
def test_an_error_ends_it_and_leaves_the_slice(error, babysit):
    assert babysit("0 ACTIVE", f"{error} ") == (error, [DESCRIBE, "TRAIN"])


def test_a_refused_request_ends_it(babysit):
    assert babysit(ABSENT, "1 ERROR: quota") == (1, [DESCRIBE, CREATE])


def test_no_answer_is_waited_for(babysit):
    code, calls = babysit("1 ERROR: the network is down", "0 ACTIVE", "0 ", "0 ")
    assert (code, calls) == (0, [DESCRIBE, DESCRIBE, "TRAIN", DELETE])


def test_hosts_get_the_flags_an_episode_a_chip_and_a_sound_program(babysit, tmp_path):
    babysit("0 ACTIVE", "2 ", flags=["--workdir=runs/of mine"])
    (job,) = re.findall(r"--command=(.*) --zone", (tmp_path / "calls").read_text(), flags=re.S)
    assert job.endswith(
        "train.py --config=configs/prnet_coco.py --config.batch_size=16 --config.lr_scaling=linear "
        r"--coordinator=auto --workdir=runs/of\ mine"
    )
    assert "sudo mount 10.0.0.2:/share ~/share" in job
    assert subprocess.run(["bash", "-n", "-c", job], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("name", ["SHARE", "ZONE"])
def test_what_has_no_default_is_asked_for(name, monkeypatch):
    monkeypatch.setenv({"SHARE": "ZONE", "ZONE": "SHARE"}[name], "here")
    monkeypatch.delenv(name, raising=False)
    done = subprocess.run(["bash", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"{name}: " in done.stderr
