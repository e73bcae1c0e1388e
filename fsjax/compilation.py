"""Compiled programs, kept for the next start."""

import logging
from pathlib import Path

import jax

from fsjax.errors import InputError
from fsjax.files import make_writable

LOG = logging.getLogger(__name__)

SECONDS = 0.5
"""What compiles faster is compiled anew."""


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
