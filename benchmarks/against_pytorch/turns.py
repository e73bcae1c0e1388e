"""Two libraries' processes, told to run one after the other."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from benchmarks.against_pytorch.cases import Case
from benchmarks.against_pytorch.values import check, distances, precision
from benchmarks.against_pytorch.worker import OURS
from fsjax.errors import InputError

ROOT = Path(__file__).parents[2]


@dataclass
class Timed:
    """What one process took.

    Attributes:
      first: seconds of the first call, compiling included.
      seconds: of each turn.
      peak: bytes of memory, of the host and, where there is one, the device.
      distances: of its values from fsjax's, by kind.
    """

    first: float
    seconds: list[float] = field(default_factory=list)
    peak: dict[str, float] = field(default_factory=dict)
    distances: dict[str, float] = field(default_factory=dict)


@dataclass
class Result:
    """What a case took in all processes.

    Attributes:
      case: its name.
      what: it in words.
      dtype: what convolutions compute in.
      operations: floating-point operations of a call, as XLA counts fsjax's before it optimises.
      about: versions and devices.
      timed: by variant, fsjax's first.
    """

    case: str
    what: str
    dtype: str
    operations: float
    about: dict[str, Any]
    timed: dict[str, Timed]


class Worker:
    """A process that runs a case's program when it is asked to."""

    def __init__(self, folder: Path, variant: str, dtype: str):
        self._variant, self._log = variant, folder / f"{variant}.log"
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }  # fmt: skip
        command = [sys.executable, "-m", f"{__package__}.worker", str(folder), variant, dtype]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        self._asked, self._replies = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def ask(self, request: str) -> dict[str, Any]:
        """Returns the reply to a request.

        Raises:
          InputError: the process has ended.
        """
        try:
            print(request, file=self._asked, flush=True)
            reply = self._replies.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            last = self._log.read_text().strip().splitlines()[-1:]
            raise InputError(f"The process of {self._variant} has ended: {' '.join(last) or 'killed'}")
        return dict(json.loads(reply))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it by closing what it reads from, or if it is busy still by a signal."""
        self._asked.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()


def timed(case: Case, dtype: str, variants: Sequence[str], repeats: int) -> Result:
    """Returns what a case takes in fsjax and in variants of PyTorch, each in a process of its own.

    Only one of them is at work at any time. The first turn is not counted, and every other turn goes through
    them backwards.

    Args:
      case: what is run.
      dtype: what convolutions compute in.
      variants: of PyTorch; none times fsjax alone.
      repeats: turns that count.

    Raises:
      InputError: values differ, or a process has ended.
    """
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        case.write(folder / "case.json")
        workers: dict[str, Worker] = {}
        found: dict[str, Timed] = {}
        about: dict[str, Any] = {}
        for variant in (OURS, *variants):
            workers[variant] = stack.enter_context(Worker(folder, variant, dtype))
            reply = workers[variant].ask("prepare")
            about |= reply["about"]
            found[variant] = Timed(reply["first"])
            if variant != OURS:
                found[variant].distances = _compared(folder, variant)
                check(found[variant].distances, precision(dtype, about["platform"]), case.name, variant)
        for turn in range(repeats + 1):
            for variant, worker in list(workers.items())[:: -1 if turn % 2 else 1]:
                seconds = worker.ask("run")["seconds"]
                if turn:
                    found[variant].seconds.append(seconds)
        last = {variant: worker.ask("finish") for variant, worker in workers.items()}
    for variant, reply in last.items():
        found[variant].peak = reply["peak"]
    return Result(case.name, case.what, dtype, last[OURS]["operations"], about, found)


def _compared(folder: Path, variant: str) -> dict[str, float]:
    """Returns how far the values that a process of PyTorch has left are from those of fsjax's."""
    with np.load(folder / f"{OURS}.npz") as ours, np.load(folder / f"{variant}.npz") as theirs:
        return distances(dict(ours), dict(theirs))
