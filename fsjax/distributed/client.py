"""JAX's own line between the processes of a run, for small texts and for waiting; it needs no device."""

from typing import Any

import jax
from jax._src import distributed  # JAX has no public name for its client; Orbax takes it from here, too

LONG = 24 * 3600 * 1000
"""Milliseconds that a process waits for others that live: who dies is noticed otherwise, see `partners`."""


def several() -> bool:
    """Whether this process is one of several of a run."""
    return bool(jax.distributed.is_initialized() and distributed.global_state.num_processes > 1)


def process_index() -> int:
    """Returns the number of this process, 0 where it runs alone. No device is touched."""
    return distributed.global_state.process_id if several() else 0


def process_count() -> int:
    """Returns how many processes a run has. No device is touched."""
    return distributed.global_state.num_processes if several() else 1


def client() -> Any:
    """Returns JAX's client of its coordination service."""
    return distributed.global_state.client
