"""ResNets behind the interface: every promise against what the network does."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone, Group
from fsjax.models.backbones.resnet import ResNet, resnet50, small
from fsjax.models.backbones.resnet_backbone import ResNetBackbone

NARROW = {"stage_sizes": (1, 1, 1, 2), "widths": (4, 4, 6, 8)}


NETWORKS = [
    *(ResNet(**NARROW, stages=stages) for stages in (1, 2, 3, 4, None)),
    *(small(widths) for widths in ((4,), (4, 8), (4, 8, 6))),
]
BACKBONES = [ResNetBackbone(network) for network in NETWORKS]


@cache
def variables_shape(backbone):
    return jax.eval_shape(backbone.init, jax.random.key(0))


def features_shape(backbone, height, width, sizes=((1, 1),)):
    images = jnp.zeros((len(sizes), height, width, 3), jnp.uint8)
    return jax.eval_shape(backbone.embed, variables_shape(backbone), images, jnp.asarray(sizes))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_cells_and_channels_are_those_of_its_features(backbone):
    assert isinstance(backbone, Backbone)
    for height, width in zip(range(1, 90, 11), (97, 8, 9, 16, 17, 321, 65, 30, 31), strict=True):
        features = features_shape(backbone, height, width)
        assert features[DEEP].map.shape[1:3] == (backbone.cells(height), backbone.cells(width))
        for role in (SHALLOW, DEEP):
            assert features[role].map.shape[3] == backbone.channels[role]


def test_cells_of_every_size_count_the_valid_ones():
    """The strides' own arithmetic, an image of each size in one array."""
    backbone = ResNetBackbone(small((4, 4, 4)))
    sides = np.arange(1, 66)
    sizes = np.stack([sides, sides[::-1]], axis=1)
    shapes = variables_shape(backbone)
    variables = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    embedded = jax.jit(backbone.embed)(variables, jnp.zeros((65, 65, 65, 3), jnp.uint8), jnp.asarray(sizes))
    np.testing.assert_array_equal(embedded[DEEP].sizes, backbone.cells(sizes))
    np.testing.assert_array_equal(jax.jit(backbone.cells)(sides), [backbone.cells(int(n)) for n in sides])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_side_ends_on_a_cell_and_is_the_nearest(backbone):
    """Cells lie `stride` pixels apart from the first pixel on: the last pixel is to be a cell's, too."""
    stride = 32 // (backbone.cells(33) - 1)
    for pixels in (1, 5, 12, 13, 33, 100, 320, 321, 417.3):
        side = backbone.side(pixels)
        assert (side - 1) % stride == 0
        assert side > 1
        assert abs(side - pixels) <= stride / 2 or side == stride + 1
        assert (backbone.cells(side) - 1) * stride == side - 1


def test_sides_of_arrays_are_those_of_numbers():
    backbone = ResNetBackbone(resnet50())
    pixels = np.arange(1, 200) * 0.7
    expected = [backbone.side(float(x)) for x in pixels]
    np.testing.assert_array_equal(backbone.side(pixels), expected)
    np.testing.assert_array_equal(jax.jit(backbone.side)(np.arange(1, 200)), backbone.side(np.arange(1, 200)))
    assert [backbone.side(x) for x in (321, 417, 225, 320, 3)] == [321, 417, 225, 321, 9]


def test_roles_are_the_last_two_stages(random_variables):
    rng = np.random.default_rng(0)
    images, sizes = jnp.asarray(rng.integers(0, 256, (1, 33, 41, 3), np.uint8)), jnp.array([[33, 41]])
    for stages, shallow in [(1, "stem"), (2, "stage1"), (3, "stage2"), (None, "stage3")]:
        network = ResNet(**NARROW, stages=stages)
        variables = random_variables(network)
        maps = jax.jit(network.apply)(variables, images, sizes)
        features = jax.jit(ResNetBackbone(network).embed)(variables, images, sizes)
        assert set(features) == {SHALLOW, DEEP}
        np.testing.assert_allclose(features[SHALLOW].map, maps[shallow].map, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            features[DEEP].map, maps[f"stage{stages or 4}_pre"].map, rtol=1e-5, atol=1e-5
        )
        assert np.min(features[SHALLOW].map) >= 0 > np.min(features[DEEP].map)


@pytest.mark.parametrize(("network", "last"), [(resnet50(stages=3), 3), (resnet50(), 4), (small(), 3)])
def test_every_parameter_has_its_group(network, last):
    backbone = ResNetBackbone(network)
    assert backbone.stages == last
    groups = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables_shape(backbone)["params"]):
        names = tuple(part.key for part in path)
        groups.setdefault(backbone.group(names), []).append(names)
        norm = any(re.fullmatch(r"bn\d|downsample_bn", name) for name in names)
        assert backbone.group(names).norm == norm == (leaf.ndim == 1)
        if names[0] in ("conv1", "bn1"):
            assert backbone.group(names).stage == 0
        else:
            assert names[0].startswith(f"layer{backbone.group(names).stage}_")
    assert set(groups) == {Group(stage, norm) for stage in range(last + 1) for norm in (False, True)}
    assert groups[Group(0, False)] == [("conv1", "kernel")]


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, 256, (3, 17, 17, 3), np.uint8)), jnp.full((3, 2), 17)


def test_without_batch_statistics_training_embeds_as_ever(random_variables):
    backbone = ResNetBackbone(small((4, 6)))
    variables = random_variables(backbone.network)
    images, sizes = batch()
    features, after = jax.jit(backbone.embed_training)(variables, images, sizes, jnp.ones(3))
    jax.tree.map(np.testing.assert_array_equal, after, variables)
    jax.tree.map(np.testing.assert_array_equal, features, jax.jit(backbone.embed)(variables, images, sizes))


def test_batch_statistics_move_and_skip_spare_images(random_variables):
    """What an image of weight 0 shows is seen in no statistic, and so in no other image's features."""
    backbone = ResNetBackbone(small((4, 6)), batch_statistics=True)
    variables = random_variables(backbone.network)
    images, sizes = batch()
    train, weights = jax.jit(backbone.embed_training), jnp.array([1.0, 1, 0])
    features, after = train(variables, images, sizes, weights)
    again, same = train(variables, images.at[2].set(7), sizes, weights)
    jax.tree.map(np.testing.assert_array_equal, after, same)
    np.testing.assert_array_equal(features[DEEP].map[:2], again[DEEP].map[:2])
    jax.tree.map(np.testing.assert_array_equal, after["params"], variables["params"])
    for before, moved in zip(
        *map(jax.tree.leaves, (variables["batch_stats"], after["batch_stats"])), strict=True
    ):
        assert np.abs(moved - before).max() > 0
    assert (
        np.abs(features[DEEP].map - jax.jit(backbone.embed)(variables, images, sizes)[DEEP].map).max() > 0.1
    )
