"""Curves of a run: JSON lines, which are the truth, and TensorBoard files beside them."""

import json
import logging
import math
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from fsjax.errors import InputError, NotFiniteError
from fsjax.files import replacing, unwritable

LOG = logging.getLogger(__name__)

FINITE = "finite"
"""The metric of a step that is 1 where all that it learned is finite; it is no curve."""

_TAGS = {"selection": "selection/mean_iou"}
"""TensorBoard's names of what is no part of training; all else is train/..."""


class Curves:
    """Appends a line a step to `workdir/metrics.jsonl`; a context manager.

    Opening drops the lines of steps after `start`, which a killed run wrote behind its last checkpoint, so
    that a resumed run's file is the file of a run that was never killed.

    Args:
      workdir: the run's folder.
      start: the step from which training goes on.
      selected: what a selection has measured of that step since, a mean-IoU in percent.
      writes: whether anything is written; of several processes one writes, and the others check the losses.

    Raises:
      InputError: the disk is full, or an earlier line is damaged.
    """

    def __init__(
        self, workdir: str | Path, start: int, *, selected: float | None = None, writes: bool = True
    ):
        self._workdir = Path(workdir)
        more = {} if selected is None else {"selection": selected}
        with _to_disk(self._workdir), ExitStack() as opened:
            if writes:
                _keep_until(self._workdir, start, more)
            lines = _metrics(self._workdir) if writes else Path(os.devnull)
            self._file = opened.enter_context(lines.open("a"))
            board = _board(self._workdir, start) if writes else Path(os.devnull)
            self._board = opened.enter_context(closing(_Board(board, start)))
            if more:
                self._board.add({"step": start, **more})
            self._open = opened.pop_all()
        self._waiting: list[dict[str, Any]] = []
        self.loss = math.nan  # of the last step that was written

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with _to_disk(self._workdir):
                self._open.close()
        except InputError:
            if error is None:  # what ended the block says more than what could not be written after it
                raise

    def add(self, step: int, metrics: Mapping[str, jax.Array], **more: Any) -> None:
        """Keeps a step's metrics, stacked over devices, without waiting for them to be computed."""
        self._waiting.append({"step": step, **metrics, **more})

    def check(self) -> None:
        """Waits for the steps that were kept, before something else is made of the last one.

        Raises:
          NotFiniteError: as `flush`, which then has written those before.
        """
        if any(_not_finite({name: _number(value) for name, value in m.items()}) for m in self._waiting):
            self.flush()

    def select(self, score: float) -> None:
        """Puts what a selection measured, a mean-IoU in percent, on the line of the last step."""
        self._waiting[-1]["selection"] = score

    def flush(self) -> None:
        """Writes the steps that were kept, once they are computed.

        Raises:
          NotFiniteError: a loss, gradients or weights are not; those before are written.
          InputError: the disk is full.
        """
        for metrics in self._waiting:
            line = {name: _number(value) for name, value in metrics.items()}
            if what := _not_finite(line):
                raise NotFiniteError(int(line["step"]), what)
            line.pop(FINITE, None)
            with _to_disk(self._workdir):
                self._file.write(json.dumps(line) + "\n")
                self._board.add(line)
            self.loss = line["loss"]
        with _to_disk(self._workdir):
            self._file.flush()
            self._board.flush()
        self._waiting.clear()


class _Board:
    """A TensorBoard file whose reader forgets what earlier files of the folder hold of steps after `start`.

    It is written at once: a full disk ends the thread with a queue that usually does it, and the queue then
    blocks for ever.
    """

    def __init__(self, path: Path, start: int):
        self._file = path.open("ab")
        self._write(file_version="brain.Event:2")
        self._write(step=start + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, line: Mapping[str, int | float]) -> None:
        """Adds the scalars of a step."""
        scalars = [
            Summary.Value(tag=_TAGS.get(name, f"train/{name}"), simple_value=value)
            for name, value in line.items()
            if name != "step"
        ]
        self._write(step=int(line["step"]), summary=Summary(value=scalars))

    def flush(self) -> None:
        """Hands what was added to the disk."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        """Writes an event as a TFRecord: its length and its bytes, each followed by a checksum."""
        event = Event(wall_time=time.time(), **fields).SerializeToString()
        for part in (struct.pack("<Q", len(event)), event):
            self._file.write(part + struct.pack("<I", masked_crc32c(part)))


def _board(workdir: Path, start: int) -> Path:
    """Returns a new TensorBoard file in the run's folder for them, which is made."""
    folder = workdir / "tensorboard"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{start}"


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl.

    A last line that was cut off is left out, and so are the zeros that a power cut leaves in place of lines
    which the system had not yet written.

    Raises:
      InputError: another line is damaged; the message names it.
    """
    return list(_read(_metrics(Path(workdir))))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no ordinary file: move it away, or name another --workdir.")
    *lines, _ = path.read_bytes().split(b"\n") if path.exists() else [b""]
    step = 0
    for number, line in enumerate(lines, start=1):
        left = line.strip(b"\0")
        if left != line:
            LOG.warning("Line %d of %s holds zeros, as after a power cut: they are left out.", number, path)
        if left or not line:
            values = _parsed(left, f"Line {number} of {path}", step)
            step = values["step"]
            yield values


def _parsed(line: bytes, where: str, before: int) -> dict[str, Any]:
    """Returns the values of a line, whose step comes after the one before."""
    try:
        values: dict[str, Any] = json.loads(line)
        sound = all(isinstance(number, int | float) and math.isfinite(number) for number in values.values())
        sound = sound and "loss" in values and type(values["step"]) is int and values["step"] > before
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        sound = False
    if not sound:
        raise InputError(f"{where} is damaged: delete this line, or begin anew in another --workdir.")
    return values


def _keep_until(workdir: Path, start: int, more: Mapping[str, float]) -> None:
    """Drops the lines of later steps, unread: those steps are made anew, whatever became of their lines.

    Args:
      workdir: the run's folder.
      start: the last step that is kept.
      more: what is added to its line.
    """
    kept = []
    for line in _read(_metrics(workdir)) if start else ():
        if line["step"] <= start:
            kept.append({**line, **more} if line["step"] == start else line)
        if line["step"] >= start:
            break
    with replacing(_metrics(workdir)) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def _metrics(workdir: Path) -> Path:
    return workdir / "metrics.jsonl"


@contextmanager
def _to_disk(workdir: Path) -> Iterator[None]:
    """Turns what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise unwritable(f"The curves in {workdir}", error.strerror) from error


def _number(value: Any) -> int | float:
    """Returns a step's number; a metric stacked over devices is the same on each."""
    return value if isinstance(value, int) else float(np.asarray(value).flat[0])


def _not_finite(line: Mapping[str, int | float]) -> str:
    """Says what of a step is not finite, "" where all is."""
    step = line["step"]
    if not math.isfinite(line["loss"]):
        return f"The loss of step {step} is {line['loss']}"
    if not math.isfinite(line.get("gradient_norm", 0)):
        return f"The gradients of step {step} are not finite"
    return "" if line.get(FINITE, 1) else f"The weights after step {step} are not finite"
