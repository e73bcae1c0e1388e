"""What makes JAX faster on a CPU, set before it starts: flags of its compiler, and how memory is kept."""

import ctypes
import os
import sys
from collections.abc import Callable, MutableMapping
from importlib import metadata, util

OLDER_CONVOLUTIONS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
"""Leaves convolutions to XLA's older kernels: the newer ones are slow where channels are few."""

SMALL_PIECES = f"--xla_multiheap_size_constraint_per_heap={2**28}"
"""A program's memory comes in pieces of some 256 MB: one of gigabytes finds no place among what was freed."""

FLAGS = f"{OLDER_CONVOLUTIONS} {SMALL_PIECES}"

KNOWN = ((0, 8, 2), (0, 11))
"""The first jaxlib that knows the flags, and the first that has not been tried: an unknown one ends JAX."""

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # glibc's numbers of mallopt's parameters
NEVER = -1  # to give memory back


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets what helps on a CPU, unless the user has set flags; called before JAX makes its first array.

    Where JAX may find an accelerator the compiler's flags are left away, as accelerators' compilers end with
    an unknown flag. Memory that has been freed is kept for what comes next, as long as the process lives,
    where the C library is glibc: the system would clear every page of it anew.

    Args:
      environment: the process's variables.
    """
    if "XLA_FLAGS" not in environment and _runs_on_cpu(environment) and _knows_flags():
        environment["XLA_FLAGS"] = FLAGS
    mallopt = _mallopt()
    if mallopt is not None:
        for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (ARENA_MAX, 1)):
            mallopt(parameter, value)


def _runs_on_cpu(environment: MutableMapping[str, str]) -> bool:
    """Says whether JAX will take the CPU: it is asked to, or has no other backend."""
    asked = environment.get("JAX_PLATFORMS", "")
    if asked:
        return asked == "cpu"
    plugins = metadata.entry_points(group="jax_plugins")
    return not plugins and not any(util.find_spec(name) for name in ("jax_plugins", "libtpu"))


def _knows_flags() -> bool:
    """Says whether jaxlib is one of those that are known to take the flags."""
    numbers = [int(number) for number in metadata.version("jaxlib").split(".")[:3] if number.isdigit()]
    first, beyond = KNOWN
    return first <= tuple(numbers) < beyond


def _mallopt() -> Callable[[int, int], int] | None:
    """Returns glibc's function that decides what becomes of freed memory; None with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library.mallopt if hasattr(library, "gnu_get_libc_version") else None
