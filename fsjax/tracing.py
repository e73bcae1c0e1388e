"""Traces of a few warm steps by JAX's profiler: what the time of a step goes into.

Within `tracing`, the loops over steps, which ask `steps`, write those that are wanted to a folder: what
TensorBoard's profiler and Perfetto read, and `python -m fsjax.profile`. Of several processes the first one
alone is traced, with its own devices; it waits for the others as they do for it.
"""

import inspect
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import jax

from fsjax import distributed, preemption
from fsjax.errors import InputError
from fsjax.files import make_writable

LOG = logging.getLogger(__name__)

TRAINING, EVALUATION, PREDICTION = "training", "evaluation", "prediction"
"""Kinds of loops: over steps, over batches of photos or episodes, over photos."""

WANTED = {TRAINING: range(11, 16), EVALUATION: range(3, 6), PREDICTION: range(3, 6)}
"""Which steps after a start are traced: those before compile programs and fill what works ahead."""

_UNIT = {TRAINING: "step", EVALUATION: "batch", PREDICTION: "photo"}
_END = object()

Item = TypeVar("Item")


@dataclass
class _Trace:
    """A trace that is wanted, or being made.

    Attributes:
      folder: where it goes.
      kind: of the loop that is traced.
      writing: where it is written until it is whole; None before it has begun and after it has ended.
      steps: those that have been traced.
    """

    folder: Path
    kind: str
    writing: Path | None = None
    steps: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.writing = Path(tempfile.mkdtemp(prefix=".trace", dir=self.folder))
        jax.profiler.start_trace(str(self.writing), create_perfetto_trace=True, **_without_python())

    def end(self) -> None:
        """Writes the steps that have been traced, if any have."""
        if self.writing is None:
            return
        place, self.writing = self.writing, None
        try:
            with preemption.deferred():
                jax.profiler.stop_trace()
                if self.steps:
                    _move(place, self.folder)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"The trace cannot be written to {self.folder} ({error}): make room, or name another folder."
            ) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if self.steps:
            what = f"{_UNIT[self.kind]} {', '.join(map(str, self.steps))}"
            LOG.info("A trace of %s is in %s: python -m fsjax.profile prints it.", what, self.folder)


_WANTED: list[_Trace] = []


@contextmanager
def tracing(folder: str | Path, kind: str) -> Iterator[None]:
    """Traces some steps of the first loop of a kind in the block that has so many.

    What ends the block earlier, as SIGTERM does, leaves the trace of what there was.

    Args:
      folder: for the trace, beside earlier ones; "" traces nothing.
      kind: a key of `WANTED`.

    Raises:
      InputError: the folder cannot be written to, or the block has ended and no loop had so many steps.
    """
    if not folder or not distributed.is_main():
        yield
        return
    make_writable(folder)
    trace = _Trace(Path(folder), kind)
    _WANTED.append(trace)
    try:
        yield
    except BaseException:
        with suppress(InputError):  # what ended the block says more
            trace.end()
        raise
    finally:
        _WANTED.remove(trace)
    trace.end()
    if not trace.steps:
        raise InputError(
            f"Nothing was traced: --profile begins at {_UNIT[kind]} {WANTED[kind][0]}, and this {kind} was "
            "over before: give it more to do. All else is written."
        )


def check(kind: str, left: int) -> None:
    """Makes sure that a loop has all steps that are to be traced, if any are, before it begins.

    Raises:
      InputError: it has not.
    """
    last = WANTED[kind][-1]
    if left < last and any(trace.kind == kind for trace in _WANTED):
        raise InputError(
            f"--profile traces {_UNIT[kind]}s {WANTED[kind][0]} to {last} of what is left, and {left} are "
            "left: begin anew in another folder, with more of them, or leave --profile out."
        )


def steps(kind: str, items: Iterable[Item], computed: Callable[[], Any] = tuple) -> Iterator[Item]:
    """Yields the items of a loop over steps, and traces those of them that are wanted.

    A traced step lasts from when its item is asked for until all that it computes is there.

    Args:
      kind: of the loop.
      items: what it goes over.
      computed: returns a tree of what the loop has computed so far.
    """
    trace = next((trace for trace in _WANTED if trace.kind == kind and not trace.steps), None)
    if trace is None:
        yield from items
        return
    iterator = iter(items)
    for number in count(1):
        wanted = number in WANTED[kind]
        if wanted and trace.writing is None:
            jax.block_until_ready(computed())
            trace.begin()
        with jax.profiler.StepTraceAnnotation(kind, step_num=number) if wanted else nullcontext():
            with jax.profiler.TraceAnnotation("loading"):
                item: Any = next(iterator, _END)
            if item is not _END:
                yield item
            if wanted:
                jax.block_until_ready(computed())
        if item is _END:
            break
        if wanted:
            trace.steps.append(number)
        if number == WANTED[kind][-1]:
            trace.end()
    trace.end()


def _without_python() -> dict[str, Any]:
    """Returns options that leave out Python's calls, of which a step has very many; older JAX has none."""
    if "profiler_options" not in inspect.signature(jax.profiler.start_trace).parameters:
        return {}
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    return {"profiler_options": options}


def _move(place: Path, folder: Path) -> None:
    """Moves a trace, whose folder is named by the second, beside earlier ones."""
    into = folder / "plugins" / "profile"
    into.mkdir(parents=True, exist_ok=True)
    for made in (place / "plugins" / "profile").iterdir():
        names = (made.name + "_" * more for more in count())
        made.rename(next(into / name for name in names if not (into / name).exists()))
