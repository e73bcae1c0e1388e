"""A backbone in two parts, at whatever stage, is the whole one; neither part reads the other's parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from fsjax.models.backbones.architecture import Architecture
from fsjax.models.backbones.filters import RawRGB
from fsjax.models.backbones.hand_made import HandMade
from fsjax.models.backbones.resnet import ResNet
from fsjax.models.backbones.resnet_backbone import ResNetBackbone
from fsjax.models.backbones.vgg import VGG
from fsjax.models.backbones.vgg_backbone import VGGBackbone
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone

PLAIN = partial(ResNet, stage_sizes=(1, 1, 1), widths=(4, 4, 4), strides=(1, 2, 1), bottleneck=False)
BOTTLENECKS = partial(ResNet, stage_sizes=(1, 2), widths=(3, 4))
LEARNED = Architecture(12, 5, 2, 20, patch=4, grid=3)
ROTATED = Architecture(16, 3, 2, 20, patch=4, grid=0, registers=4, key_bias=False, epsilon=1e-5)
BACKBONES = {
    "resnet": ResNetBackbone(BOTTLENECKS()),
    "resnet to a stage": ResNetBackbone(PLAIN(stages=2, remat="stages")),
    "vgg": VGGBackbone(VGG(width=2, remat="blocks"), ""),
    "dinov2": ViTBackbone(ViT(LEARNED, 5, 2, True, 2, remat="stages"), debias=2),
    "dinov2, shallow above deep": ViTBackbone(ViT(LEARNED, 1, 3, True, 1)),
    "dinov3": ViTBackbone(ViT(ROTATED, 3, 1, False, 1)),
}
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 21, 25, 3), np.uint8))
SIZES = jnp.array([[21, 25], [13, 9]])


def drawn(backbone):
    """Variables of which no normalisation is the identity."""
    rng = np.random.default_rng(1)
    variables = backbone.init(jax.random.key(0))
    moved = jax.tree.map(lambda x: x + jnp.float32(rng.normal(0, 0.05, x.shape)), variables["params"])
    return {**variables, "params": moved}


def unknown(backbone, variables, hidden):
    """The variables with NaN for the parameters of hidden stages."""
    flat = flatten_dict(variables["params"])
    params = {p: np.full_like(x, np.nan) if hidden(backbone.group(p).stage) else x for p, x in flat.items()}
    return {**variables, "params": unflatten_dict(params)}


def params_of_last(backbone, params):
    return {p: x for p, x in flatten_dict(params).items() if backbone.group(p).stage == backbone.stages}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_two_parts_are_the_whole_at_every_stage(name):
    backbone = BACKBONES[name]
    variables = drawn(backbone)
    whole = backbone.embed(variables, IMAGES, SIZES)  # not one program, whose sums would be others
    assert all(np.ptp(features.map) > 0.1 for features in whole.values())
    for stage in range(backbone.stages + 1):
        lower = unknown(backbone, variables, lambda own, stage=stage: own >= stage)
        upper = unknown(backbone, variables, lambda own, stage=stage: own < stage)
        parts = backbone.above(upper, backbone.below(lower, IMAGES, SIZES, stage), stage)
        jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.mark.parametrize("name", ["resnet to a stage", "vgg", "dinov2"])
def test_gradients_of_the_last_stage_are_those_through_the_whole(name):
    backbone = BACKBONES[name]
    variables, last = drawn(backbone), backbone.stages
    below = backbone.below(variables, IMAGES, SIZES, last)

    def gradient(embed):
        def loss(params):
            return sum(jnp.sum(jnp.sin(f.map)) for f in embed({**variables, "params": params}).values())

        return params_of_last(backbone, jax.jit(jax.grad(loss))(variables["params"]))

    found = gradient(lambda variables: backbone.above(variables, below, last))
    expected = gradient(lambda variables: backbone.embed(variables, IMAGES, SIZES))
    assert max(np.abs(leaf).max() for leaf in expected.values()) > 0.1
    for path, values in expected.items():
        np.testing.assert_allclose(
            found[path], values, atol=2e-5 * max(np.abs(values).max(), 1), err_msg=path
        )


def test_a_lower_precision_is_that_of_the_whole_to_the_bit():
    """Widths are equal, so that what a stage begins with is also added to what it computes."""
    backbone = ResNetBackbone(PLAIN(dtype=jnp.bfloat16))
    variables = drawn(backbone)
    parts = backbone.above(variables, backbone.below(variables, IMAGES, SIZES, 3), 3)
    whole = backbone.embed(variables, IMAGES, SIZES)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


def test_of_hand_made_features_all_is_below():
    backbone = HandMade(RawRGB())
    below = backbone.below({"params": {}}, IMAGES, SIZES, 0)
    whole = backbone.embed({"params": {}}, IMAGES, SIZES)
    jax.tree.map(np.testing.assert_array_equal, below, whole)
    assert backbone.above({"params": {}}, below, 0) is below
