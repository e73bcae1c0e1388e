"""What becomes of the other processes when one of a run's ends: they stop, with a sentence, in bounded time.

A process that stops with a sentence of its own tells it to the others. One that is killed cannot: JAX
notices that its heartbeats stay away, and aborts the rest, which here is turned into a sentence and an exit
code. What waits for a dead process in a collective operation would otherwise wait for ever.
"""

import atexit
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import jax

from fsjax.distributed.client import LONG, client, process_index, several
from fsjax.exit_codes import INPUT_ERROR, PREEMPTED

LOG = logging.getLogger(__name__)

HEARTBEAT = 30
"""Seconds without a sign of life after which a process counts as lost; JAX's own default is 100."""

LOST = (
    "Another process of this run was ended or can no longer be reached, so that this one stops: start all of "
    "them again with the same command, and a training goes on from its last checkpoint."
)

_NOTE = "fsjax/stopped"
_POLL, _GRACE, _LEAVE = 2.0, 1.0, 10.0  # seconds

_joining: list[str] = []  # what is said where the processes do not come together
_leaving: list[int] = []  # the exit code, once this process is about to end
_ended = threading.Event()


@contextmanager
def joining(sentence: str) -> Iterator[None]:
    """Watches the others from the end of the block on, in which this process joins them.

    Args:
      sentence: said where JAX aborts this process because they do not come together in time.
    """
    _joining.append(sentence)
    _signal(signal.SIGABRT, _ABORTED)
    try:
        yield
    except BaseException:
        _signal(signal.SIGABRT, signal.SIG_DFL)
        raise
    finally:
        _joining.clear()
    watching = threading.Thread(target=_read_notes, name="partners", daemon=True)
    watching.start()
    # A thread that comes back from JAX when Python has ended would abort the process.
    atexit.register(_end_watch, watching)


def end() -> None:
    """Waits until all processes come to the end, and parts from them; nothing where this one runs alone.

    Without it the first to end would wait for the others only as long as JAX has patience.
    """
    if several():
        client().wait_at_barrier("fsjax/end", LONG)
        jax.distributed.shutdown()


def _end_watch(watching: threading.Thread) -> None:
    jax.distributed.shutdown()
    _ended.set()
    watching.join()
    _signal(signal.SIGABRT, signal.SIG_DFL)


def leave(sentence: str, code: int) -> None:
    """Tells the others why this process stops, and ends it; does nothing where it runs alone.

    They stop with the same code. Who has stopped on their account is not told again.

    Args:
      sentence: that was printed.
      code: of the exit, not 0.
    """
    if not several():
        return
    _leaving.append(code)
    with suppress(Exception):  # another one was first
        client().key_value_set(f"{_NOTE}/by", f"{process_index()} {code} {sentence}")
    _end(code)


def wait_for_verdict(error: BaseException) -> None:
    """Waits until it is known whether an error came from the loss of another process.

    If so, this process ends meanwhile. Returns after some time if not, and at once where the error is none of
    JAX's or this process runs alone.
    """
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    if several() and any(isinstance(one, jax.errors.JaxRuntimeError) for one in chain):
        LOG.info("Something failed: waiting %d seconds to see whether all processes live.", HEARTBEAT + 10)
        time.sleep(HEARTBEAT + 10)


def _read_notes() -> None:
    """Looks for the note of a process that stops, and stops, too."""
    while not _ended.wait(_POLL):
        try:
            notes = client().key_value_dir_get(_NOTE)
        except (jax.errors.JaxRuntimeError, AttributeError):  # the run has ended, or JAX aborts it
            continue
        if notes:
            _follow(notes[0][1])


def _follow(note: str) -> None:
    """Stops because another process has."""
    time.sleep(_GRACE)  # where all stop for the same reason, each says so by itself
    if _leaving:
        return
    who, code, sentence = note.split(" ", 2)
    _leaving.append(int(code))
    _say(f"Process {who} of this run has stopped, and this one with it: {sentence}")
    _end(int(code))


def _aborted(_: int) -> None:
    """Ends a process that JAX aborts because another is lost; any other abort goes on."""
    if _leaving:
        os._exit(_leaving[0])
    if _joining:
        _say(_joining[0])
        os._exit(INPUT_ERROR)
    if _reachable():
        return
    _say(LOST)
    os._exit(PREEMPTED)


def _reachable() -> bool:
    """Whether the processes can still talk; asked in a thread, as this one may be in the way."""
    found: list[bool] = []

    def ask() -> None:
        try:
            client().key_value_dir_get(_NOTE)
        except Exception:
            found.append(False)
        else:
            found.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(3)
    return bool(found and found[0])


def _end(code: int) -> NoReturn:
    """Ends this process when the others are about to end, too, without JAX's own waiting."""
    with suppress(Exception):
        client().wait_at_barrier("fsjax/leaving", round(_LEAVE * 1000))
        if process_index() == 0:  # with it goes what JAX aborts the others for
            time.sleep(_GRACE)
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(code)


_ABORTED = ctypes.CFUNCTYPE(None, ctypes.c_int)(_aborted)  # kept: C code calls it


def _signal(number: int, handler: Any) -> None:
    """Sets a handler that runs where the signal comes; one of Python's would run after the abort."""
    ctypes.CDLL(None).signal(number, handler if handler is _ABORTED else ctypes.c_void_p(handler))


def _say(sentence: str) -> None:
    os.write(2, f"error: {sentence}\n".encode())
