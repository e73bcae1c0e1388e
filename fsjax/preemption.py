"""SIGTERM, with which machines are taken away: heard at once, obeyed where nothing is lost.

While `heard` is entered, SIGTERM raises `Preempted` wherever the main thread is, and within `deferred` at the
end of the block. Loops over steps ask `reached`, which answers the same in all processes of a run.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import jax
from jax.experimental import multihost_utils

SAME = 2.0
"""Seconds within which a further SIGTERM is the same request: schedulers tell a job and its processes."""


class Preempted(BaseException):
    """The process was asked to end, and the same command goes on with what it has kept.

    It is no Exception, as KeyboardInterrupt is none, so that nothing takes it for an error to be mended.
    """


@dataclass
class _Request:
    """What was asked of this process.

    Attributes:
      at: when it was asked to end, in seconds of the monotonic clock; None if it was not.
      depth: of nested blocks that are to end first.
    """

    at: float | None = None
    depth: int = 0


_REQUEST = _Request()


@contextmanager
def heard() -> Iterator[None]:
    """Makes SIGTERM raise `Preempted` in the block; the handler of before is back afterwards.

    Nothing changes outside the main thread, or where the program that calls has a handler of its own. That of
    `jax.distributed`, through which all processes of a run hear of it, is called as well.
    """
    before = signal.getsignal(signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or before not in (signal.SIG_DFL, None):
        yield
        return
    address = _handler_address() if before is None else None
    also = ctypes.CFUNCTYPE(None, ctypes.c_int)(address) if address else None
    _REQUEST.at, _REQUEST.depth = None, 0
    signal.signal(signal.SIGTERM, lambda number, frame: _hear(number, frame, also))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        if address:
            ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, ctypes.c_void_p(address))


@contextmanager
def deferred() -> Iterator[None]:
    """Lets the block end before SIGTERM raises `Preempted`; a second one, seconds later, does so at once."""
    _REQUEST.depth += 1
    try:
        yield
    finally:
        _REQUEST.depth -= 1
    obey()


@contextmanager
def at_once() -> Iterator[None]:
    """Lets SIGTERM raise `Preempted` in the block, also if it came before, and blocks around it defer it."""
    depth, _REQUEST.depth = _REQUEST.depth, 0
    try:
        obey()
        yield
    finally:
        _REQUEST.depth = depth


def asked() -> bool:
    """Says whether this process was asked to end."""
    return _REQUEST.at is not None


def obey() -> None:
    """Ends what is done, outside of `deferred` blocks, if this process was asked to.

    Raises:
      Preempted: it was.
    """
    if asked() and not _REQUEST.depth:
        raise Preempted


def reached(step: int) -> bool:
    """Says whether a run is to stop after a step, because one of its processes was asked to end.

    Args:
      step: each process asks after every one, in order.

    Returns:
      The same after the same step in every process.
    """
    if jax.process_count() == 1:
        return asked()
    return bool(multihost_utils.reached_preemption_sync_point(step))


def _hear(number: int, frame: FrameType | None, also: Callable[[int], None] | None) -> None:
    if also:
        also(number)
    now = time.monotonic()
    again = _REQUEST.at is not None and now - _REQUEST.at > SAME
    _REQUEST.at = _REQUEST.at if _REQUEST.at is not None else now
    if again or not _REQUEST.depth:
        raise Preempted


def _handler_address() -> int | None:
    """Returns where the handler is that was not set from Python."""
    ctypes.pythonapi.PyOS_getsig.restype = ctypes.c_void_p
    address: int | None = ctypes.pythonapi.PyOS_getsig(signal.SIGTERM)
    return address
