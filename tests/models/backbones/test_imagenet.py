"""ImageNet weights in the hub's real names and shapes, and which backbones have them."""

import re

import jax
import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models.backbones import make

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
PARAMETERS = {"resnet50": 25_557_032, "resnet101": 44_549_160}
"""As torchvision's documentation counts them."""
ENTRIES = {"resnet50": 320, "resnet101": 626}
"""Of the networks' state dicts."""


def shapes(blocks):
    """The name and shape of every entry of a ResNet's state dict, in timm as in torchvision."""

    def conv(name, outputs, inputs, side):
        yield f"{name}.weight", (outputs, inputs, side, side)

    def norm(name, channels):
        for entry in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{entry}", (channels,)
        yield f"{name}.num_batches_tracked", ()

    yield from conv("conv1", 64, 3, 7)
    yield from norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks, start=1):
        width = 32 * 2**stage
        for block in range(count):
            name = f"layer{stage}.{block}"
            yield from conv(f"{name}.conv1", width, inputs, 1)
            yield from conv(f"{name}.conv2", width, width, 3)
            yield from conv(f"{name}.conv3", 4 * width, width, 1)
            for i, channels in enumerate((width, width, 4 * width), start=1):
                yield from norm(f"{name}.bn{i}", channels)
            if block == 0:
                yield from conv(f"{name}.downsample.0", 4 * width, inputs, 1)
                yield from norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    yield from [("fc.weight", (1000, 2048)), ("fc.bias", (1000,))]


def learned(name):
    return name.endswith((".weight", ".bias"))


@pytest.fixture(scope="module", params=["resnet50", pytest.param("resnet101", marks=pytest.mark.slow)])
def file(request, tmp_path_factory):
    """A network's name, and a file of all its weights: every value is 1 over its entry's place."""
    weights = {}
    for place, (name, shape) in enumerate(shapes(BLOCKS[request.param]), start=1):
        kind = np.int64 if name.endswith("tracked") else np.float16
        weights[name] = np.full(shape, 1 / place, kind)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    safetensors.numpy.save_file(weights, path, {"format": "pt"})
    yield request.param, path
    path.unlink()


def test_the_names_and_shapes_are_those_of_the_real_files():
    for network, blocks in BLOCKS.items():
        entries = dict(shapes(blocks))
        assert len(entries) == ENTRIES[network]
        count = sum(int(np.prod(shape)) for name, shape in entries.items() if learned(name))
        assert count == PARAMETERS[network]


@pytest.mark.parametrize("stages", [3, 4])
def test_every_weight_of_the_stages_is_loaded(stages, file):
    network, path = file
    backbone = make(network, {"stages": stages}, "float32")
    found = backbone.load(path)
    left_out = ("fc.", "num_batches_tracked", *(f"layer{stage}." for stage in range(stages + 1, 5)))
    expected = sorted(
        np.float32(np.float16(1 / place))
        for place, (name, _) in enumerate(shapes(BLOCKS[network]), start=1)
        if not any(part in name for part in left_out)
    )
    leaves = jax.tree.leaves(found)
    assert sorted(leaf.flat[0] for leaf in leaves) == expected
    assert all((leaf == leaf.flat[0]).all() for leaf in leaves)
    assert jax.tree.map(np.shape, found) == jax.tree.map(
        np.shape, jax.eval_shape(backbone.init, jax.random.key(0))
    )


def test_another_depth_is_told(file):
    network, path = file
    (other,) = BLOCKS.keys() - {network}
    with pytest.raises(InputError, match=f"give --config.model.backbone={network} for them") as refusal:
        make(other, {}, "float32").load(path)
    said = "layer3.* is missing" if other == "resnet101" else "layer3.* has no place"
    assert re.search(said, str(refusal.value.__cause__))


@pytest.mark.parametrize("network", BLOCKS)
def test_the_torchvision_convention_has_a_repository(network):
    assert make(network, {"stages": 3}, "float32").imagenet() == f"timm/{network}.tv_in1k"
    with pytest.raises(InputError, match=r"torchvision convention, and .*convention is caffe: set it"):
        make(network, {"convention": "caffe"}, "float32").imagenet()


def test_the_small_network_has_none():
    with pytest.raises(
        InputError, match=r"no such weights for this backbone: choose .*resnet50, resnet101 or vgg16"
    ):
        make("small", {}, "float32").imagenet()
