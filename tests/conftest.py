"""Every test runs on eight virtual CPU devices, with shapes checked and warnings as errors."""

import gc
import os
from pathlib import Path

import hypothesis
import jax
import pytest
from xdist.scheduler import LoadScopeScheduling

CACHE = Path(os.environ.get("FSJAX_TEST_CACHE", ".pytest_cache/jax")).absolute()

MOST_AREAS = 30_000

# Most programs run once, so that a compiler which hardly optimises is the quicker one. Processes inherit it,
# and XLA_FLAGS=--xla_backend_optimization_level=3 in the environment tests what users run.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_cpu_use_fusion_emitters=false"
)
os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}".strip()

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

# The same examples in every run, unless their number is given. How quick an example is decides nothing.
EXAMPLES = os.environ.get("FSJAX_EXAMPLES")
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(".pytest_cache/hypothesis").absolute()))
hypothesis.settings.register_profile(
    "fsjax",
    max_examples=int(EXAMPLES or 12),
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=bool(EXAMPLES),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fsjax")


class FolderScheduling(LoadScopeScheduling):
    """The tests of a folder run in one process, where they share runs and compiled programs.

    Those that lie in no folder of `tests` share nothing: each file of them goes by itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        folder = file.rpartition("/")[0]
        return file if folder == "tests" else folder


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look at it again and again."""
    gc.freeze()


def pytest_xdist_make_scheduler(config, log):
    """Called in place of --dist."""
    return FolderScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def compiled_programs_stay_here():
    """The programs would keep what they compile in the user's home."""
    # Only now: what is imported before the tests are collected is not type-checked.
    from fsjax.cli import configs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configs, "keep_compiled", lambda folder: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def few_programs_at_a_time():
    """Every compiled program takes some of the areas of memory that Linux allows a process, 65,530 in all.

    What a module leaves is not looked at by the garbage collector of the next ones.
    """
    yield
    gc.freeze()
    areas = Path("/proc/self/maps")
    if areas.exists() and areas.read_bytes().count(b"\n") > MOST_AREAS:
        jax.clear_caches()


@pytest.fixture
def no_older_programs():
    """A trace holds all programs that the process has: after many tests it takes a minute to write."""
    jax.clear_caches()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of genuine photos and weights that FSJAX_DATA names; skips where there is none."""
    folder = os.environ.get("FSJAX_DATA")
    if not folder or not (Path(folder) / "data").is_dir():
        pytest.skip("genuine data: set FSJAX_DATA to its folder")
    return Path(folder).resolve()
