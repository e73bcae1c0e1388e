"""Compiled programs are kept in a folder where that can be written to, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from fsjax import compilation
from fsjax.compilation import CompileTime, keep_compiled

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """JAX's own are put back, and programs of any size are kept."""
    monkeypatch.setattr(compilation, "SECONDS", 0.0)
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    compilation_cache.reset_cache()
    yield before
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def compiled(number):
    """Compiles a program that no other test has."""
    return float(jax.jit(lambda x: jnp.sum(x * number) + number)(np.ones(3, np.float32)))


def test_programs_are_kept_in_the_folder(tmp_path):
    keep_compiled(str(tmp_path / "made" / "here"))
    assert compiled(3.25) == 13.0
    assert any((tmp_path / "made" / "here").iterdir())


def test_the_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_compiled("~/.cache/fsjax/compiled")
    assert jax.config.jax_compilation_cache_dir == f"{tmp_path}/.cache/fsjax/compiled"


def test_where_none_are_kept_nothing_is_set(settings):
    keep_compiled("")
    assert {name: getattr(jax.config, name) for name in SETTINGS} == settings


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, settings, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level("INFO", logger="fsjax.compilation"):
        keep_compiled(str(tmp_path / "file" / "in_it"))
    (line,) = caplog.messages
    assert line.startswith("Compiled programs are not kept: ")
    assert str(tmp_path / "file") in line
    assert {name: getattr(jax.config, name) for name in SETTINGS} == settings
    assert compiled(4.5) == 18.0


def test_the_time_of_compiling_is_counted():
    with CompileTime() as compiling:
        compiled(5.75)
    assert compiling.seconds > 0
    seconds = compiling.seconds
    compiled(6.25)  # outside
    assert compiling.seconds == seconds
