"""Curves read back with plain tools, and written to a disk that is full."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from fsjax.errors import InputError
from fsjax.training.curves import Curves, read_metrics

REPOSITORY = Path(__file__).parents[2]
RATE = jnp.float32(0.5)


def metrics(loss):
    return {name: jnp.full(8, loss, jnp.float32) for name in ("loss", "query_loss")}


def write(workdir, start, losses):
    with Curves(workdir, start) as curves:
        for step, loss in enumerate(losses, start + 1):
            curves.add(step, metrics(loss), learning_rate=RATE)
        curves.flush()
    return curves


def test_lines_behind_the_checkpoint_are_dropped(tmp_path):
    assert write(tmp_path, 0, [step / 3 for step in range(1, 6)]).loss == np.float32(5 / 3)
    path = tmp_path / "metrics.jsonl"
    before = path.read_text().splitlines()
    path.write_text("\n".join(before) + '\n{"step": 6, "lo')  # cut off by a kill
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    write(tmp_path, 3, [9.0])
    after = path.read_text().splitlines()
    assert after[:3] == before[:3]
    assert [json.loads(line)["step"] for line in after] == [1, 2, 3, 4]
    assert json.loads(after[3]) == {"step": 4, "loss": 9.0, "query_loss": 9.0, "learning_rate": 0.5}


def test_a_resumed_file_is_the_file_of_a_run_that_went_through(tmp_path):
    losses = np.random.default_rng(0).uniform(0, 1e-3, 7).tolist()
    write(tmp_path / "whole", 0, losses)
    write(tmp_path / "resumed", 0, losses[:5])
    write(tmp_path / "resumed", 3, losses[3:])
    whole, resumed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "resumed"))
    assert whole == resumed
    loss = float(np.float32(losses[0]))
    line = f'{{"step": 1, "loss": {loss!r}, "query_loss": {loss!r}, "learning_rate": 0.5}}\n'
    assert whole.decode().startswith(line)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with Curves(tmp_path, 0) as curves:
        curves.add(1, metrics(1.0))
        curves.add(2, metrics(np.nan))
        with pytest.raises(FloatingPointError, match="step 2 is nan"):
            curves.flush()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_a_selection_stands_on_the_line_of_its_step(tmp_path):
    with Curves(tmp_path, 0) as curves:
        for step in (1, 2, 3):
            curves.add(step, metrics(step), learning_rate=RATE)
            if step == 2:
                curves.check()
                curves.select(41.25)
        curves.flush()
    assert [line.get("selection") for line in read_metrics(tmp_path)] == [None, 41.25, None]
    events = read_events(tmp_path / "tensorboard")
    assert scalars(events, "selection/mean_iou") == {2: 41.25}
    assert scalars(events, "train/selection") == {}


def test_a_check_ends_at_a_loss_that_is_not_finite(tmp_path):
    with Curves(tmp_path, 0) as curves:
        for step, loss in ((1, 1.0), (2, np.inf), (3, 1.0)):
            curves.add(step, metrics(loss))
        with pytest.raises(FloatingPointError, match="step 2 is inf"):
            curves.check()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"step": 2, "los',
        b"",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"loss": 1.0}',
        b'{"step": 2}',
        b'{"step": "2", "loss": 1.0}',
        b'{"step": 2, "loss": 1.0, "learning_rate": null}',
        b'{"step": 2, "loss": 1.0, "selection": "41"}',
        b'{"step": 2, "loss": NaN}',
        b'{"step": 1, "loss": 1.0}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_named(tmp_path, damaged):
    write(tmp_path, 0, [3.0, 2.0, 1.0])
    path = tmp_path / "metrics.jsonl"
    first, _, third, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, damaged, third, b""]))
    with pytest.raises(InputError, match=r"Line 2 of .*metrics\.jsonl is damaged"):
        read_metrics(tmp_path)
    kept = path.read_bytes()
    with pytest.raises(InputError, match="Line 2 of"):
        Curves(tmp_path, 3)
    assert path.read_bytes() == kept


def test_zeros_of_a_power_cut_are_left_out(tmp_path, caplog):
    write(tmp_path, 0, [4.0, 3.0, 2.0, 1.0])
    path = tmp_path / "metrics.jsonl"
    first, _, third, fourth, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, b"\0" * 40 + third, fourth]) + bytes(4096))
    write(tmp_path, 3, [0.5])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 3, 4]
    assert re.search(r"Line 2 of .*metrics\.jsonl holds zeros", caplog.text)


def test_what_follows_the_checkpoint_may_be_damaged(tmp_path):
    write(tmp_path, 0, [3.0, 2.0, 1.0])
    path = tmp_path / "metrics.jsonl"
    first, second, third, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, second, bytes(9) + b"\xff", third, b""]))
    write(tmp_path, 2, [0.5])
    assert [line["loss"] for line in read_metrics(tmp_path)] == [3.0, 2.0, 0.5]
    path.write_bytes(b"\xff\n")
    write(tmp_path, 0, [0.5])
    assert [line["loss"] for line in read_metrics(tmp_path)] == [0.5]


def test_a_pipe_in_place_of_the_curves_is_refused(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError, match=r"metrics\.jsonl is no ordinary file"):
        Curves(tmp_path, 3)


def test_no_run_has_no_lines(tmp_path):
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").touch()
    assert read_metrics(tmp_path) == []


# ---- TensorBoard ----


def checksum(content):
    """The masked CRC-32C of a TFRecord, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(folder):
    """Every event of a folder's files, in the order in which TensorBoard reads them."""
    events = []
    for path in sorted(Path(folder).iterdir()):
        assert "tfevents" in path.name
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            assert struct.unpack("<I", content[8:12]) == (checksum(content[:8]),)
            event, content = content[12 : 12 + length], content[12 + length :]
            assert struct.unpack("<I", content[:4]) == (checksum(event),)
            events.append(Event.FromString(event))
            content = content[4:]
    return events


def scalars(events, tag):
    """What TensorBoard shows: a session's start makes it forget its step and what comes after it."""
    shown = {}
    for event in events:
        if event.session_log.status == SessionLog.START:
            shown = {step: value for step, value in shown.items() if step < event.step}
        for value in event.summary.value:
            if value.tag == tag:
                shown[event.step] = value.simple_value
    return shown


def test_tensorboard_shows_a_resumed_run_once(tmp_path):
    write(tmp_path, 0, [5.0, 4.0, 3.0, 2.0, 1.0])
    write(tmp_path, 3, [7.0])
    events = read_events(tmp_path / "tensorboard")
    assert events[0].file_version == "brain.Event:2"
    for name in ("loss", "query_loss"):
        assert scalars(events, f"train/{name}") == {1: 5.0, 2: 4.0, 3: 3.0, 4: 7.0}
    assert scalars(events, "train/learning_rate") == dict.fromkeys(range(1, 5), 0.5)
    assert {value.tag for event in events for value in event.summary.value} == {
        "train/loss", "train/query_loss", "train/learning_rate"
    }  # fmt: skip


def test_what_is_flushed_can_be_read_at_once(tmp_path):
    with Curves(tmp_path, 0) as curves:
        curves.add(1, metrics(1.0))
        curves.flush()
        assert scalars(read_events(tmp_path / "tensorboard"), "train/loss") == {1: 1.0}
        assert [line["step"] for line in read_metrics(tmp_path)] == [1]


# ---- a full disk ----

FULL = """
import resource, sys
from pathlib import Path

import jax

jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp

from fsjax.errors import InputError
from fsjax.training.curves import Curves

workdir, full = Path(sys.argv[1]), sys.argv[2]
values = {name: jnp.ones(1) for name in ("loss", "query_loss", "support_loss")}


def write():
    with Curves(workdir, 0) as curves:
        if full == "board":  # the disk is full for TensorBoard's file alone
            curves._board._file.close()
            curves._board._file = open("/dev/full", "wb")
            curves._open.callback(curves._board._file.close)
        for step in range(1, 10_000):
            curves.add(step, values, learning_rate=0.5)
            if step % 20 == 0:
                curves.flush()


if full == "size":  # what the process writes may not grow beyond this
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write()
except InputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize(
    ("full", "reason"), [("size", "File too large"), ("board", "No space left on device")]
)
def test_a_full_disk_ends_in_a_sentence(tmp_path, full, reason):
    workdir = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(workdir), full],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(
        f"The curves in {workdir} cannot be written ({reason}): make room on the disk"
    )
    steps = [line["step"] for line in read_metrics(workdir)]
    assert steps == list(range(1, len(steps) + 1))
    assert steps  # what was written before stays, and the run goes on from it
    write(workdir, steps[-1], [0.5])
    assert read_metrics(workdir)[-1]["step"] == steps[-1] + 1
