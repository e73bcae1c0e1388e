"""One library's process: it makes a case's program, and runs it once whenever it is told to.

    python -m benchmarks.against_pytorch.worker FOLDER VARIANT DTYPE

It is started by `turns`. A request is a line on standard input, "prepare", "run" or "finish"; a reply a line
of JSON on what was standard output. Whatever else is printed goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.against_pytorch.cases import Case

OURS = "fsjax"


def library(variant: str, dtype: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Returns what makes a program of a case and a folder, what tells of the library, and its peak memory."""
    if variant == OURS:
        sys.modules["torch"] = None  # type: ignore[assignment]
        import fsjax.training.curves  # noqa: F401  # its tensorboardX takes PyTorch where it is installed

        del sys.modules["torch"]
        from benchmarks.against_pytorch import in_fsjax
        from fsjax import cpu

        cpu.prepare()  # as fsjax's programs do
        return lambda case, folder: in_fsjax.make(case, dtype, folder), in_fsjax.about, in_fsjax.peak
    from benchmarks.against_pytorch.in_pytorch import programs

    return lambda case, folder: programs.make(case, variant, dtype, folder), programs.about, programs.peak


TURN = 1.0
"""Seconds that a turn lasts at least: the first of several short calls finds cold caches."""


def seconds(call: Callable[[], None], least: float = 0.0) -> float:
    """Returns how long a call takes: the mean of as many as last so many seconds, and of one at least."""
    began, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - began < least:
        call()
        calls += 1
    return (time.perf_counter() - began) / calls


def prepare(make: Callable[..., Any], case: Case, folder: Path, variant: str) -> tuple[Any, dict[str, Any]]:
    """Leaves the values to compare in a folder, and returns the program and what its first call took.

    What is compared is the program itself, or it without dropout where that has any.
    """
    exact = case.without_chance()
    program = make(exact, folder / "compared")
    first = seconds(program.call)
    for _ in range(exact.calls - 1):
        program.call()
    np.savez(folder / f"{variant}.npz", **program.values())
    if exact != case:
        del program
        program = make(case, folder / "timed")
        first = seconds(program.call)
    return program, {"first": first}


def main(folder: Path, variant: str, dtype: str) -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    make, about, peak = library(variant, dtype)
    case, program = Case.read(folder / "case.json"), None
    for line in sys.stdin:
        reply: Any
        if line.strip() == "prepare":
            told = about()  # which settles the threads, too
            program, reply = prepare(make, case, folder, variant)
            reply["about"] = told
        elif line.strip() == "run":
            reply = {"seconds": seconds(program.call, TURN)}
        else:
            reply = {"peak": peak()}  # before operations are counted
            reply |= {"operations": program.operations()} if variant == OURS else {}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
