"""Every test runs on eight virtual CPU devices, with shapes checked and warnings as errors."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ.get("FSJAX_TEST_CACHE", ".pytest_cache/jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of genuine photos and weights that FSJAX_DATA names; skips where there is none."""
    folder = os.environ.get("FSJAX_DATA")
    if not folder or not (Path(folder) / "data").is_dir():
        pytest.skip("genuine data: set FSJAX_DATA to its folder")
    return Path(folder).resolve()
