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


def begin_loading(*_: Any) -> None:
    """Does as `begin_work`, and leaves SIGTERM to the parent, too.

    Schedulers send it to all processes of a job, and a training needs its loaders for one more step. Pools of
    `concurrent.futures` end their workers by it, so that those begin with `begin_work`.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_work()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(Exception):
            parent.join()
        os._exit(1)
