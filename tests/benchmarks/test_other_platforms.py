"""The programs that GPUs and TPUs would be given, lowered without one: real networks at real sizes.

Nothing is compiled for these platforms, and nothing is run.
"""

import re
from functools import cache

import pytest

from benchmarks import programs
from benchmarks.scaling import config_of
from tests.benchmarks import counted_by_hand as by_hand
from tests.models.programs import newer_jax

PRNET, DPNET, _, EVALUATED, ADAPTED, FSSDINO, VIT = programs.PROGRAMS
STEPS, EPISODES, CELLS = 5, 4, 41

pytestmark = newer_jax


@cache
def text(name, platform):
    return programs.traced(name).lower(lowering_platforms=(platform,)).as_text()


@cache
def flops(name, platform):
    return programs.costs.counted(programs.traced(name), platform)


def operands(program, operation):
    """The types of numbers that each operation of a name takes."""
    found = re.findall(rf"stablehlo\.{operation}\b.*: \((.*?)\) -> ", program)
    return [set(re.findall(r"(bf16|f\d+|i\d+)>", types)) for types in found]


def counts(convolution):
    """Returns what each program's convolutions, each of which takes so many operations, and cosines take."""
    network = by_hand.Network(convolution)
    dpnet = 2 * network.forward(321, 3, "stage") + network.head(CELLS) + by_hand.cosines(CELLS)
    return {
        PRNET: 2 * network.training(321, 4), DPNET: EPISODES * dpnet, EVALUATED: 2 * network.forward(321, 4),
        ADAPTED: network.adapted(321, STEPS),
    }  # fmt: skip


ON_CHIPS, ON_CPUS = counts(by_hand.flops), counts(by_hand.flops_on_cpus)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("name", ON_CHIPS)
def test_operations_are_those_of_the_networks_layers(name, platform):
    """All else, as norms, resizes and losses, adds up to 3% at most; the sums of tiles on CPUs to 5%."""
    expected, more = (ON_CPUS[name], 0.05) if platform == "cpu" else (ON_CHIPS[name], 0.03)
    assert 1 < flops(name, platform) / expected < 1 + more


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_all_stays_on_the_device_in_single_precision(name, platform):
    program = text(name, platform)
    assert "f64" not in program
    assert set(re.findall(r"custom_call @(\w+)", program)) <= {"cu_threefry2x32_ffi", "Sharding"}
    assert not re.search(r"stablehlo\.(infeed|outfeed|send|recv)", program)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_convolutions_are_not_the_cpus(platform):
    """There 1x1 ones and those in tiles are products, and gradients of kernels are plain convolutions."""
    every = list(by_hand.layers(321, 4))
    spatial = sum(layer[1] > 1 and not by_hand.in_tiles(*layer) for layer in every)
    assert len(operands(text(PRNET, platform), "convolution")) == 3 * len(every) - 1
    assert len(operands(text(PRNET, "cpu"), "convolution")) == 3 * spatial - 1
    usual = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
    assert text(PRNET, platform).count(usual) == len(every)
    assert text(PRNET, "cpu").count(usual) == 3 * spatial - 1


@pytest.mark.parametrize("name", [VIT, FSSDINO])
def test_attention_is_of_all_heads_at_once(name):
    loops = {platform: text(name, platform).count("stablehlo.while") for platform in ("cpu", "cuda", "tpu")}
    assert loops["cuda"] == loops["tpu"] <= loops["cpu"] - 12


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_convolutions_are_in_bfloat16_where_that_is_asked(platform):
    values = {**programs.RESNET50, "model.compute_dtype": "bfloat16"}
    program = _lowered("prnet_coco", tuple(values.items()), platform)
    convolutions = operands(program, "convolution")
    assert convolutions.count({"bf16"}) == len(convolutions) == 3 * len(list(by_hand.layers(321, 4))) - 1
    products = operands(program, "dot_general")  # resizes, prototypes and cosines
    assert products.count({"f32"}) == len(products) > 0


@cache
def _traced(name, values):
    return programs.training(config_of(name, dict(values)), 1)


def _lowered(name, values, platform):
    return _traced(name, values).lower(lowering_platforms=(platform,)).as_text()
