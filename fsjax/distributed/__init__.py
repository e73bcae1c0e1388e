"""One run as several processes: starting them, what they say to one another, and what becomes of them.

A work directory is then on a disk that all machines share. Process 0 alone writes curves, tables and
pictures.
"""

from fsjax.distributed.client import process_count, process_index, several
from fsjax.distributed.exchange import agree, barrier, check_shared, from_main, gather, is_main
from fsjax.distributed.partners import end, leave, wait_for_verdict
from fsjax.distributed.starting import FLAGS, start

__all__ = [
    "FLAGS",
    "agree",
    "barrier",
    "check_shared",
    "end",
    "from_main",
    "gather",
    "is_main",
    "leave",
    "process_count",
    "process_index",
    "several",
    "start",
    "wait_for_verdict",
]
