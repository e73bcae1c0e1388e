"""What is set on CPUs before JAX starts: where, that jaxlib takes it, and that it does what it should."""

import os
import subprocess
import sys

import pytest

from fsjax import cpu


def environment(**more):
    """This process's variables without what says how JAX runs."""
    return {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS")} | more


def printed(program, **more):
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(**more), capture_output=True, text=True, check=True
    )
    return done.stdout.split()


PREPARED = "import os; from fsjax import cpu; cpu.prepare()\n"


@pytest.mark.parametrize("asked", [{}, {"JAX_PLATFORMS": "cpu"}])
def test_jaxlib_takes_the_flags(asked):
    program = f"{PREPARED}import jax\nprint(os.environ['XLA_FLAGS'], float(jax.jit(lambda x: x + 1)(1.0)))"
    assert printed(program, **asked) == [*cpu.FLAGS.split(), "2.0"]


@pytest.mark.parametrize("given", ["", "--xla_cpu_enable_fast_math=false"])
def test_the_user_s_flags_stay(given):
    assert printed(f"{PREPARED}print(repr(os.environ['XLA_FLAGS']))", XLA_FLAGS=given) == [repr(given)]


def prepared(monkeypatch, asked="", jaxlib="0.10.2", plugins=(), package=None):
    monkeypatch.setattr(cpu.metadata, "version", lambda name: {"jaxlib": jaxlib}[name])
    monkeypatch.setattr(cpu.metadata, "entry_points", lambda group: {"jax_plugins": plugins}[group])
    monkeypatch.setattr(cpu.util, "find_spec", lambda name: name if name == package else None)
    variables = {"JAX_PLATFORMS": asked} if asked else {}
    cpu.prepare(variables)
    return variables.get("XLA_FLAGS")


@pytest.mark.parametrize(
    "machine",
    [
        {"plugins": ("cuda13",)}, {"package": "libtpu"}, {"package": "jax_plugins"}, {"asked": "cuda"},
        {"asked": "tpu,cpu"}, {"jaxlib": "0.6.0"}, {"jaxlib": "0.8.1"}, {"jaxlib": "0.11.0"},
    ],
    ids=str,
)  # fmt: skip
def test_no_flags_where_a_compiler_may_not_know_them(machine, monkeypatch):
    assert prepared(monkeypatch, **machine) is None


@pytest.mark.parametrize(
    "machine", [{}, {"asked": "cpu", "plugins": ("cuda13",)}, {"jaxlib": "0.8.2"}, {"jaxlib": "0.9.1.dev20"}],
    ids=str,
)  # fmt: skip
def test_the_flags_where_the_cpu_s_compiler_knows_them(machine, monkeypatch):
    assert prepared(monkeypatch, **machine) == cpu.FLAGS


@pytest.mark.skipif(cpu._mallopt() is None, reason="another C library")
@pytest.mark.parametrize(("before", "cleared"), [("", True), (PREPARED, False)], ids=["as it is", "prepared"])
def test_freed_memory_is_taken_again_without_clearing_it(before, cleared):
    pages = printed(f"""{before}
import resource
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * n
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
n = 2**27
faults()
print(faults(), 2**27 // resource.getpagesize())
""")
    faults, whole = map(int, pages)
    assert (faults > whole // 2) if cleared else (faults < whole // 10)


@pytest.mark.skipif(cpu._mallopt() is None, reason="another C library")
def test_the_c_library_takes_what_it_is_asked_for():
    program = (
        "from fsjax import cpu\nmallopt, said = cpu._mallopt(), []\n"
        "cpu._mallopt = lambda: lambda *asked: said.append(mallopt(*asked))\ncpu.prepare()\nprint(said)"
    )
    assert printed(program) == ["[1,", "1,", "1]"]


def test_programs_are_prepared():
    program = (
        "import os, sys\nfrom fsjax import cli\n"
        "sys.exit(cli.run(lambda argv: print(os.environ['XLA_FLAGS']), ['any']))"
    )
    assert printed(program) == cpu.FLAGS.split()
