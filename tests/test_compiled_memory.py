"""The benchmark of the memory that compiled programs take, on small ones."""

import pytest

from benchmarks import compiled_memory


@pytest.mark.slow
def test_it_prints_a_line_for_each_program_and_setting(capsys):
    compiled_memory.main(["--backbone=small", "--shots=2", "--prnet_size=33", "--dpnet_size=33", "--batch=1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("compiled for cpu by jax ")
    assert [line[:32].split() for line in lines[2:]] == [
        *(["PRNet", "adapts", dtype, remat] for dtype in ("float32", "bfloat16") for remat in REMAT),
        ["DPNet", "trains", "float32", "none"],
        ["DPNet", "trains", "bfloat16", "none"],
    ]


REMAT = ("none", "blocks", "stages")
