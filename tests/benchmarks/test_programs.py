"""The main programs stay within their limits, and what grows is named."""

import json

import jax
import pytest

from benchmarks import programs
from benchmarks.programs import PROGRAMS, TOLERANCE, all_made, cost, grown, more_made
from tests.models.programs import newer_jax

WRITTEN = json.loads(programs.LIMITS.read_text())
SAME_JAX = jax.__version__ == WRITTEN["jax"]


@newer_jax
@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_and_bytes_stay_within_limits(name):
    assert grown({name: cost(name)}, WRITTEN["costs"]) == []


@pytest.mark.skipif(not SAME_JAX, reason="another JAX makes other small programs of its own")
def test_a_training_and_an_evaluation_make_no_more_programs():
    assert more_made(all_made(), WRITTEN["programs"]) == []


def test_limits_are_of_all_programs():
    assert WRITTEN["costs"].keys() == PROGRAMS.keys()
    assert WRITTEN["programs"].keys() == programs.tiny().keys()
    assert min(units["flops"] for units in WRITTEN["costs"].values()) > 1e9


def test_what_grew_is_named():
    limits = {"a step": {"flops": 100.0, "bytes": 10.0}}
    assert grown({"a step": {"flops": 100 * TOLERANCE["flops"], "bytes": 5.0}}, limits) == []
    (said,) = grown({"a step": {"flops": 200.0, "bytes": 10.0}}, limits)
    assert said.startswith("a step takes 200 flops, and 100 when limits were written, +100%: ")
    assert said.endswith("python -m benchmarks.programs --write.")


def test_which_programs_are_more_is_named():
    limits = {"PRNet": {"step": 1, "squeeze": 3}}
    assert more_made({"PRNet": {"step": 1, "squeeze": 2, "copy": 1}}, limits) == []
    (said,) = more_made({"PRNet": {"step": 3, "squeeze": 2, "copy": 1}}, limits)
    assert said.startswith(
        "PRNet compiles 6 programs, 4 when limits were written (2 of step, 1 of copy): mend it"
    )


@newer_jax  # older ones give no names
def test_every_shape_is_a_program():
    doubled = jax.jit(lambda x: x * 2)
    with programs.making() as made:
        for side in (3, 4, 3):
            doubled(jax.numpy.ones(side))
    assert sum(number for name, number in made.items() if "lambda" in name) == 2


def test_limits_are_written_and_compared(tmp_path, monkeypatch, capsys):
    """The command, with one program of which a change doubles the operations."""
    sides = [8]
    monkeypatch.setattr(programs, "LIMITS", tmp_path / "limits.json")
    monkeypatch.setattr(programs, "PROGRAMS", {"a product": None})
    monkeypatch.setattr(
        programs, "traced", lambda _: jax.jit(lambda x: x @ x.T).trace(jax.numpy.ones(sides * 2))
    )
    monkeypatch.setattr(programs, "all_made", lambda: {"PRNet": {"step": 1}})
    assert programs.main(["--write"]) == 0
    assert json.loads((tmp_path / "limits.json").read_text())["costs"]["a product"]["flops"] == 2 * 8**3
    assert programs.main([]) == 0
    capsys.readouterr()
    sides[:] = [12]
    assert programs.main([]) == 1
    assert "a product takes 3456 flops, and 1024 when limits were written" in capsys.readouterr().err
