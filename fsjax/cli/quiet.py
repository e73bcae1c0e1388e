"""What libraries and Python print of errors that the program hears of anyway, and says in a sentence.

When a disk is full, threads that write checkpoints print tracebacks by the dozen. A SIGTERM that comes while
Python deletes an object is told as an error that was ignored; loops ask for it again (`preemption.obey`).
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsjax.preemption import Preempted


@contextmanager
def silenced(handler: logging.Handler) -> Iterator[None]:
    """Leaves out what Orbax logs of errors that it raises, what follows of them, and a SIGTERM's traceback.

    Args:
      handler: of the program's log.
    """
    before = sys.unraisablehook

    def hook(met: Any) -> None:
        of_writers = met.exc_type is RuntimeError and str(met.exc_value) == "Event loop is closed"
        if not (of_writers or met.exc_type is Preempted):
            before(met)

    handler.addFilter(_is_told)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        handler.removeFilter(_is_told)
        sys.unraisablehook = before


def _is_told(record: logging.LogRecord) -> bool:
    return not (record.exc_info and "orbax" in record.pathname)
