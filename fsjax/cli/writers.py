"""What threads that write checkpoints say by themselves when a disk is full: tracebacks by the dozen.

The failure reaches the program, too, which says it in a sentence.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def silenced(handler: logging.Handler) -> Iterator[None]:
    """Leaves out what Orbax logs of errors that it raises, and what TensorStore's callbacks meet after them.

    Args:
      handler: of the program's log.
    """
    before = sys.unraisablehook

    def hook(met: Any) -> None:
        if not (met.exc_type is RuntimeError and str(met.exc_value) == "Event loop is closed"):
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
