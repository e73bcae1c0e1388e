"""Compiled programs: kept for the next start, and the time that they take."""

import logging
from pathlib import Path
from typing import Any

import jax
from jax import monitoring

from fsjax.errors import InputError
from fsjax.files import make_writable

LOG = logging.getLogger(__name__)

SECONDS = 0.5
"""What compiles faster is compiled anew."""

COUNTED = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")
"""What JAX reports of a program that has been traced; the second is short for one that was kept."""


def keep_compiled(folder: str) -> None:
    """Lets JAX keep compiled programs in a folder, and take them from there.

    Args:
      folder: it is made; "" keeps none. Where it cannot be written to, none are kept, and a log line says so.
    """
    if not folder:
        return
    place = Path(folder).expanduser().absolute()
    try:
        make_writable(place)
    except InputError as error:
        LOG.info("Compiled programs are not kept: %s", error)
        return
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)


_COUNTING: list["CompileTime"] = []


class CompileTime:
    """The seconds that JAX spends on compiling within a `with` block, tracing not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "CompileTime":
        _COUNTING.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _COUNTING.remove(self)


def _add(event: str, duration_secs: int | float, **_: Any) -> None:  # some report a number of files
    if event in COUNTED:
        for compiling in tuple(_COUNTING):
            compiling.seconds += duration_secs


monitoring.register_event_duration_secs_listener(_add)  # once: older JAX takes none back
