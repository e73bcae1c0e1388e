"""Worker processes: what every one of them does first."""

import contextlib
import multiprocessing
import os
import signal
import threading
from typing import Any


def begin_work(*_: Any) -> None:
    """Makes a worker process leave Ctrl-C to its parent, and end with it however the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(Exception):
            parent.join()
        os._exit(1)
