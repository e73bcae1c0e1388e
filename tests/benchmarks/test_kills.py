"""What is killed again and again ends as if it had not been; and what does not is found out."""

import json
import os
import signal
import sys

import jax
import pytest

from benchmarks import kills
from benchmarks.same_results import differing
from benchmarks.surviving import survive, survive_full_disk
from tests.commands.conftest import trained, write_folder  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")

COUNTS = """
import os, signal, sys, time
from pathlib import Path

done = Path(sys.argv[1]) / "done.jsonl"
done.parent.mkdir(exist_ok=True)
begun = len(done.read_text().splitlines()) if done.exists() and {continues} else 0
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
with done.open("a" if {appends} else "w") as lines:
    for step in range(begun, 20):
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
        print(step, file=lines, flush=True)
"""
"""Writes a line a step into a file, and may go on after the last one, or append to what was there."""

ONCE = """
import sys, time
from pathlib import Path

Path(sys.argv[1]).mkdir()
until = time.process_time() + 0.2
while time.process_time() < until:
    pass
"""
"""Fails when it is started again."""

FILLS = """
import sys, time
from pathlib import Path

for step in range(200):
    place = Path(sys.argv[1]) / "checkpoints" / str(step)
    place.mkdir(parents=True)
    (place / "x").write_bytes(bytes(10_000))
    time.sleep(0.05 if "full" in sys.argv[1] else 0)
"""
"""Ends in a traceback where its disk is full."""


def counting(tmp_path, **how):
    (tmp_path / "count.py").write_text(COUNTS.format(**how))
    return (str(tmp_path / "count.py"), "{out}")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_what_continues_survives(by, tmp_path):
    found = survive(counting(tmp_path, continues=True, appends=True), tmp_path, differing, 3, seed=0, by=by)
    assert (found.wrong, len(found.moments)) == ([], 3)
    assert found.starts >= 4


def test_what_begins_anew_survives(tmp_path):
    command = counting(tmp_path, continues=False, appends=False)
    found = survive(command, tmp_path, differing, 2, seed=0, continues=False)
    assert (found.wrong, len(found.moments)) == ([], 2)


def test_steps_that_are_done_twice_are_found(tmp_path):
    command = counting(tmp_path, continues=False, appends=True)
    assert survive(command, tmp_path, differing, 2, seed=0).wrong == ["done.jsonl differs"]


def test_a_command_that_fails_after_a_kill_is_found(tmp_path):
    (tmp_path / "once.py").write_text(ONCE)
    found = survive((str(tmp_path / "once.py"), "{out}"), tmp_path, differing, 9, seed=0, continues=False)
    assert "exit code 1" in found.wrong[0]
    assert "FileExistsError" in found.wrong[0]


@pytest.mark.slow
def test_a_full_disk_must_be_told(tmp_path):
    if os.geteuid():
        pytest.skip("a small disk: root alone mounts one")
    (tmp_path / "fill.py").write_text(FILLS)
    try:
        found = survive_full_disk((str(tmp_path / "fill.py"), "{out}"), tmp_path, differing, 1, seed=0)
    except PermissionError as error:
        pytest.skip(error.strerror)
    assert "No space left on device" in found.wrong[0]


def test_what_differs_is_named_and_seconds_are_not(tmp_path):
    for name, seconds in (("one", 1.0), ("other", 2.0)):
        (tmp_path / name / "tensorboard").mkdir(parents=True)
        (tmp_path / name / "tensorboard" / name).touch()
        (tmp_path / name / "results.json").write_text(json.dumps({"rows": [{"seconds": seconds, "n": 1}]}))
        (tmp_path / name / "results.md").write_text(f"| row | seconds |\n|---|---|\n| a | {seconds} |\n")
    one, other = tmp_path / "one", tmp_path / "other"
    assert differing(one, other) == []
    (one / "photo.png").write_bytes(b"1")
    (other / ".results.json.1").touch()
    (other / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)
    (other / "results.json").write_text(json.dumps({"rows": [{"seconds": 1.0, "n": 2}]}))
    assert differing(one, other) == [
        "photo.png is missing",
        ".results.json.1 is left over",
        "checkpoints/4.orbax-checkpoint-tmp is left over",
        "results.json differs",
    ]


def short(folder, out, *flags):
    """What shortens a training or an evaluation of the miniature in a folder."""
    cache = f"--config.compilation_cache={jax.config.jax_compilation_cache_dir}"
    return (out, cache, "--config.eval.rows=fusion0", "--config.eval.pictures=0", *flags)


@pytest.mark.slow
def test_a_training_survives(tmp_path):
    write_folder(tmp_path)
    command = ("train.py", f"--config={tmp_path}/mini.py", *short(tmp_path, "--workdir={out}"))
    found = survive(command, tmp_path, differing, 1, seed=0, continues=False)
    assert (found.wrong, len(found.moments)) == ([], 1)


@pytest.mark.slow
def test_an_evaluation_survives(trained, tmp_path):  # noqa: F811
    command = ("eval.py", f"--workdir={trained}/run", *short(tmp_path, "--out={out}", "--config.eval.seed=3"))
    found = survive(command, tmp_path, differing, 2, seed=0, continues=False)
    assert (found.wrong, len(found.moments)) == ([], 2)


@pytest.mark.slow
def test_all_that_the_program_tries_survives(capsys):
    assert kills.main(["--kills=2"]) == 0
    assert capsys.readouterr().out.count("what is left is the same") >= 6
