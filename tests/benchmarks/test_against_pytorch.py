"""The benchmark beside PyTorch: its options and tables, and that both libraries do equal work."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.against_pytorch import __main__ as program
from benchmarks.against_pytorch import in_fsjax, table
from benchmarks.against_pytorch.cases import CASES, Case, chosen
from benchmarks.against_pytorch.problem import Problem
from benchmarks.against_pytorch.turns import Result, Timed
from benchmarks.against_pytorch.values import check, distances
from fsjax.errors import InputError

BOTTLENECKS = ("model.backbone=resnet50", "model.backbone_options.stages=2", "train.size=33")
TINY = {name: case.small() for name, case in CASES.items()} | {
    "bottlenecks": replace(CASES["prnet_step_r50"], settings=BOTTLENECKS)
}
SOON = ("bottlenecks", "cycle")
LATER = (
    "forward_r50", "evaluated_episode_5shot", "adapted_episode_all", "adapted_episode_last_stage",
    "embedded_step", "dpnet_step_321", "dpnet_step_321_cached",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--cases=prnet"], "There is no case 'prnet': choose from prnet_step_r50, "),
        (["--dtype=float64"], "--dtype takes float32 and bfloat16"),
        (["--repeats=0"], "--repeats 1 or more"),
        (["--out=nowhere/found"], "There is no folder for --out=nowhere/found: make it."),
        ([], r"PyTorch is not installed: pip install '.[parity]'"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(arguments, sentence, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert program.main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_compiling_needs_a_compiler(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    assert program.variants(False) == ["eager", "eager, channels_last"]
    monkeypatch.setattr(program.shutil, "which", lambda name: "/usr/bin/c++" if name == "c++" else None)
    assert program.variants(True)[2:] == ["compile", "compile, channels_last"]
    monkeypatch.setattr(program.shutil, "which", lambda name: None)
    assert program.variants(True) == ["eager", "eager, channels_last"]
    assert capsys.readouterr().out == "torch.compile is left out: there is no C++ compiler.\n"


def test_usual_cases_and_named_ones():
    assert [case.name for case in chosen("cycle,dpnet_step_641")] == ["cycle", "dpnet_step_641"]
    assert set(CASES) - {case.name for case in chosen("")} == {"dpnet_step_641"}


def result():
    timed = {
        "fsjax": Timed(9.0, [2.0, 1.0, 9.0], {"host": 3 * 2**30}),
        "eager": Timed(1.5, [5.0, 5.0, 5.0], {"host": 2**30}, {"loss": 2e-7}),
        "compile": Timed(30.0, [1.0, 4.0, 9.0], {"host": 2**31}, {"loss": 3e-7}),
    }
    about = {"fsjax": "1", "jax": "2", "device": "cpu", "platform": "cpu", "cores": 2}
    return Result("made", "a case", "float32", 8e9, about, timed)


def test_the_table_is_of_medians_and_pytorchs_best_way():
    assert table.best(result()) == "compile"
    *_, line = table.ratios([result()], 0.1)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "made", "a case", "float32", "2", "4", "compile", "0.50", "3.00", "2.00", "8.0", "4.0", "2.0", "4.0%",
    ]  # fmt: skip
    lines = table.processes([result()])
    assert lines[2:4] == [
        "| made | float32 | fsjax | 2 | 1 | 9 | 9.0 | 3.00 | - |",
        "| made | float32 | eager | 5 | 5 | 5 | 1.5 | 1.00 | loss 2e-07 |",
    ]
    columns = [one.count("|") for one in (*lines, *table.ratios([result()], None))]
    assert len(set(columns[:5])) == len(set(columns[5:])) == 1
    (found,) = table.as_json([result()])["results"]
    assert (found["best"], found["ratio"], found["timed"]["eager"]["seconds"]) == ("compile", 0.5, [5.0] * 3)


def test_fsjax_alone_needs_no_pytorch(tmp_path, capsys):
    out = tmp_path / "found"
    flags = ["--quick", "--cases=cycle", "--pytorch=0", "--repeats=2", f"--out={out}"]
    assert program.main(flags) == 0
    printed = capsys.readouterr().out
    assert "| cycle |" in printed
    assert (tmp_path / "found.md").read_text() == printed
    (found,) = json.loads((tmp_path / "found.json").read_text())["results"]
    assert (found["best"], len(found["timed"]["fsjax"]["seconds"])) == (None, 2)
    cells, channels = 9**2, 16
    products = 2 * 256 * cells * channels  # a tile has 256 rows, of which 81 hold cells
    assert products < found["operations"] < 2 * products
    assert found["timed"]["fsjax"]["peak"]["host"] > 2**26


def test_what_is_left_out_is_seen():
    rng = np.random.default_rng(0)
    ours = {f"change/{n}": rng.normal(size=50) for n in range(99)} | {"change/last": rng.normal(size=50) / 30}
    assert distances(ours, ours) == {"change": 0.0}
    without = {**ours, "change/last": np.zeros(50)}  # which is 0.3% of the whole
    with pytest.raises(InputError, match=r"case: change of PyTorch \(eager\) is .* the work is not equal"):
        check(distances(ours, without), "float32", "case", "eager")
    near = {name: array + 1e-5 * rng.normal(size=50) for name, array in ours.items()}
    check(distances(ours, near), "float32", "case", "eager")
    with pytest.raises(InputError, match="nothing is timed"):
        check(distances({"loss": np.ones(2)}, {"loss": np.array([1, np.nan])}), "float32", "case", "eager")
    for other in ({}, {"loss": np.ones(3)}):
        with pytest.raises(InputError, match="differ in what they are of: loss"):
            distances({"loss": np.ones(2)}, other)


def test_a_case_survives_its_file(tmp_path):
    for case in CASES.values():
        case.write(tmp_path / "case.json")
        assert Case.read(tmp_path / "case.json") == case


def values_of_both(case, folder, dtype="float32", change=None, variant="eager"):
    """Returns what both libraries compute, in this process; `change` alters PyTorch's facts."""
    pytest.importorskip("torch")
    from benchmarks.against_pytorch.in_pytorch import programs

    exact = case.without_chance()
    ours = in_fsjax.make(exact, dtype, folder)
    if change:
        problem = Problem.read(folder)
        problem.facts.update(change)
        problem.write(folder)
    both = ours, programs.make(exact, variant, dtype, folder)
    for one in both:
        for _ in range(exact.calls):
            one.call()
    return tuple(one.values() for one in both)


@pytest.mark.parametrize("name", [*SOON, *(pytest.param(name, marks=pytest.mark.slow) for name in LATER)])
def test_both_libraries_compute_the_same(name, tmp_path):
    ours, theirs = values_of_both(TINY[name], tmp_path, variant="eager, channels_last")
    check(distances(ours, theirs), "float32", name, "eager")
    found = {kind.partition("/")[0] for kind, array in ours.items() if np.abs(array).max() > 0}
    assert found == {kind.partition("/")[0] for kind in ours}, "zeros agree whatever is computed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bottlenecks", "dpnet_step_321", "adapted_episode_all"])
def test_in_bfloat16_they_differ_by_little(name, tmp_path):
    check(distances(*values_of_both(TINY[name], tmp_path, "bfloat16")), "bfloat16", name, "eager")


def test_another_scale_is_other_work(tmp_path):
    found = distances(*values_of_both(TINY["prnet_step_r50"], tmp_path, change={"scale": 19.9}))
    with pytest.raises(InputError, match="loss of PyTorch"):
        check(found, "float32", "prnet_step_r50", "eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embedded_step", "cycle", "vit_small", "dpnet_step_321"])
def test_the_program_times_all_ways_of_pytorch(name, capsys):
    pytest.importorskip("torch")
    assert program.main(["--quick", f"--cases={name}", "--repeats=1"]) == 0
    assert capsys.readouterr().out.count(f"| {name} |") == 1 + 1 + len(program.variants(True))
