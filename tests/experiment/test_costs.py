"""What XLA counts of compiled functions, against formulas by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.devices import DEVICES
from fsjax.experiment.costs import costs
from fsjax.experiment.sentences import cost_of
from fsjax.experiment.shapes import of, stacked, variables_of
from fsjax.models import build
from tests.config.changed import changed

SIDE, ROUNDS, ROWS = 64, 5, 3


def test_a_matrix_product_and_its_memory():
    found = costs(jax.jit(jnp.matmul), of(np.float32, 30, 40), of(np.float32, 40, 50))
    assert found.flops == 2 * 30 * 40 * 50
    assert found.arguments == 4 * (30 * 40 + 40 * 50)
    assert found.outputs == 4 * 30 * 50
    assert found.memory == found.arguments + found.outputs + found.temporaries


def test_every_round_of_a_loop_counts_also_of_one_in_a_loop():
    def function(weights, rows):
        def step(rows, _):
            rows = jax.lax.map(lambda row: jnp.tanh(row @ weights), rows)
            return rows + jax.lax.psum(rows.sum(), DEVICES), None

        return jax.lax.scan(step, rows, length=ROUNDS)[0]

    mapped = jax.pmap(function, axis_name=DEVICES, donate_argnums=1)
    found = costs(mapped, of(np.float32, 8, SIDE, SIDE), of(np.float32, 8, ROWS, SIDE))
    products = ROUNDS * ROWS * 2 * SIDE * SIDE
    assert products < found.flops < 1.03 * products
    assert found.arguments == 4 * (SIDE * SIDE + ROWS * SIDE)  # a device's own
    assert found.outputs == 0  # they lie where what was donated lay


def test_a_static_argument_is_no_array():
    mapped = jax.pmap(lambda x, power: x @ x * power, static_broadcasted_argnums=1)
    found = costs(mapped, of(np.float32, 2, SIDE, SIDE), 3, static=(1,))
    assert 2 * SIDE**3 <= found.flops <= 2 * SIDE**3 + 2 * SIDE**2


def test_the_first_stage_of_a_resnet_50_at_224():
    """Of the 4.1 thousand million multiplications with addition that are known of a ResNet-50 at 224."""
    config = changed({"model.backbone": "resnet50", "model.backbone_options.stages": 1})
    method = build.method(config.model)
    found = costs(
        jax.jit(method.embed), variables_of(method), *stacked((of(np.uint8, 224, 224, 3), of(np.int32, 2)), 1)
    )
    stem = 7 * 7 * 3 * 64 * 112**2
    first, other = 64 * 64 + 9 * 64 * 64 + 64 * 256 + 64 * 256, 256 * 64 + 9 * 64 * 64 + 64 * 256
    products = 2 * (stem + (first + 2 * other) * 56**2)
    assert found.flops == pytest.approx(products, rel=0.04)  # at the border some are with padding


def test_costs_in_words():
    found = costs(jax.jit(jnp.matmul), of(np.float32, 30, 40), of(np.float32, 40, 50))
    said = cost_of("a product", found, "two matrices", "nothing")
    assert said.startswith("Compiled for cpu, a product takes 120.00 kFLOP and ")
    assert "12.8 kB for two matrices" in said
    assert said.endswith("6.0 kB for results.")
