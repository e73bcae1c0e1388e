"""The benchmark of vision transformers: its count of operations against XLA's, and the program itself."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import vit as program
from fsjax.models.backbones.architecture import Architecture
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone


def test_operations_are_those_that_xla_counts():
    shape = Architecture(128, 3, 4, 512, patch=14, grid=8)
    backbone = ViTBackbone(ViT(shape, 3, 1, True, 1))
    photo, size = jnp.zeros((1, 112, 112, 3), jnp.uint8), jnp.full((1, 2), 112)
    lowered = jax.jit(backbone.embed).lower(jax.eval_shape(backbone.init, jax.random.key(0)), photo, size)
    counted = lowered.compile().cost_analysis()["flops"]
    assert program.flops(shape, 65) == pytest.approx(counted, rel=0.1)
    assert program.flops(shape, 65) < counted  # which counts sums and exponentials, too


@pytest.mark.slow
def test_the_program_leaves_a_row_of_each_network(capsys):
    assert program.main(["--sizes=small", "--batches=1", "--repeats=1", "--adapt=0"]) == 0
    *_, row = capsys.readouterr().out.strip().splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["small", "1"]
    assert float(cells[2]) > 0
    assert 0.999 < float(cells[-1]) <= 1
