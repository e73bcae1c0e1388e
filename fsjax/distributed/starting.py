"""Starting as one of several processes."""

import errno
import inspect
import logging
import os
import socket
from typing import Any

import jax

from fsjax import preemption
from fsjax.distributed import partners
from fsjax.distributed.client import process_count, process_index
from fsjax.distributed.detection import Job, job
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)

PATIENCE = 300
"""Seconds for which the processes wait for one another at the start."""

FLAGS = {
    "coordinator": "Of several processes: HOST:PORT of the first, or auto where JAX finds out, as on a TPU "
    "pod; Slurm, Open MPI, GKE's TPUs and Kubernetes need no flag.",
    "num_processes": "How many processes run this command; 1 runs it alone, whatever started it.",
    "process_id": "Which of them this is, counted from 0.",
}
"""The flags of programs that run as several processes."""


def start(coordinator: str = "", num_processes: str = "", process_id: str = "") -> None:
    """Joins the other processes of a run; does nothing where this process runs alone.

    To be called before anything touches a device. From then on `partners` watches the others.

    Args:
      coordinator: the flag of that name; "" where it is not given.
      num_processes: likewise.
      process_id: likewise.

    Raises:
      InputError: for flags that do not fit, a port in use, or processes that do not come together in time.
    """
    if jax.distributed.is_initialized():
        return
    found = job(os.environ, coordinator, num_processes, process_id)
    if found is None:
        return
    if found.coordinator:
        LOG.info(
            "Process %s of %s waits for the others at %s.",
            found.process_id, found.processes, found.coordinator,
        )  # fmt: skip
    if found.process_id == 0 and found.coordinator:
        _check_port(found.coordinator)
    try:
        with partners.joining(_why_not(found, "not all came in time")), preemption.still_heard():
            jax.distributed.initialize(**_arguments(found))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(_why_not(found, reason)) from error
    LOG.info("This is process %d of %d.", process_index(), process_count())
    if process_index():  # the first says for all what they do
        logging.getLogger("fsjax").setLevel(logging.WARNING)


def _arguments(found: Job) -> dict[str, Any]:
    """Returns what `jax.distributed.initialize` is given; older JAX has no time for heartbeats."""
    known = inspect.signature(jax.distributed.initialize).parameters
    beats = {"heartbeat_timeout_seconds": partners.HEARTBEAT} if "heartbeat_timeout_seconds" in known else {}
    return {
        "coordinator_address": found.coordinator,
        "num_processes": found.processes,
        "process_id": found.process_id,
        "local_device_ids": None if found.local_devices is None else list(found.local_devices),
        "initialization_timeout": PATIENCE,
        **beats,
    }


def _check_port(coordinator: str) -> None:
    """Makes sure that nobody listens on the coordinator's port: JAX would share it, and mix up two runs."""
    port = int(coordinator.rpartition(":")[2])
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a run that has just ended leaves traces
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise InputError(
                f"Port {port} of --coordinator={coordinator} cannot be used ({error.strerror}): name another."
            ) from error


def _why_not(found: Job, reason: str) -> str:
    if found.coordinator is None:
        return (
            f"JAX cannot join the processes of this run ({reason}): give --coordinator=HOST:PORT, "
            "--num_processes and --process_id, or --num_processes=1 to run alone."
        )
    return (
        f"Process {found.process_id} could not join the {found.processes} processes of this run at "
        f"{found.coordinator} ({reason}): start all of them within {PATIENCE} seconds, each with its own "
        "--process_id, and see that they reach that address."
    )
