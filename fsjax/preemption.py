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
      also: a handler that was not set from Python, which is called as well.
    """

    at: float | None = None
    depth: int = 0
    also: Callable[[int], None] | None = None


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
    address = _handler_address()
    _listen(address)
    try:
        yield
    finally:
        _REQUEST.at, _REQUEST.depth = None, 0
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        if address:
            ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, ctypes.c_void_p(address))


@contextmanager
def still_heard() -> Iterator[None]:
    """Hears SIGTERM after the block as before it, although a library sets a handler of its own in it.

    That handler is called as well. Python knows nothing of it, and would never be called again.
    """
    before = _handler_address()
    yield
    now = _handler_address()
    if now != before and signal.getsignal(signal.SIGTERM) is _hear:
        _listen(now)


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


def ignore() -> None:
    """Ignores SIGTERM until `heard` ends: the process is ending, and a further one is not to change how."""
    if signal.getsignal(signal.SIGTERM) is _hear:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


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


def _listen(address: int | None) -> None:
    """Sets the handler, and which one is called as well."""
    _REQUEST.also = ctypes.CFUNCTYPE(None, ctypes.c_int)(address) if address else None
    signal.signal(signal.SIGTERM, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    if _REQUEST.also:
        _REQUEST.also(number)
    now, before = time.monotonic(), _REQUEST.at
    if before is None:
        _REQUEST.at = now
        obey()
    elif now - before > SAME:
        raise Preempted


def _handler_address() -> int | None:
    """Returns where the handler is; None where there is none."""
    ctypes.pythonapi.PyOS_getsig.restype = ctypes.c_void_p
    address: int | None = ctypes.pythonapi.PyOS_getsig(signal.SIGTERM)
    return address
