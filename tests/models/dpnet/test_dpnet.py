"""DPNet over its frozen backbone: features, cached features, parameters."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.models import backbones
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features
from fsjax.models.dpnet.dpnet import DPNet
from fsjax.models.dpnet.head import Head
from fsjax.models.method import Explainable, Trainable
from tests.models.dpnet.toy import METHOD, Colours


@pytest.fixture(scope="module")
def photos():
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 40, 3), np.uint8)
    return jnp.asarray(images), jnp.array([[33, 40], [17, 25]])


@pytest.fixture(scope="module")
def variables():
    return {"backbone": METHOD.backbone.init(jax.random.key(1))}


def test_it_is_a_method_that_can_be_trained_and_explained():
    assert isinstance(METHOD, Trainable)
    assert isinstance(METHOD, Explainable)
    assert hash(METHOD) == hash(replace(METHOD))
    assert METHOD.frozen


def test_features_are_the_shallow_and_the_deep_ones(photos, variables):
    features = METHOD.embed(variables, *photos)
    roles = METHOD.backbone.embed(variables["backbone"], *photos)
    np.testing.assert_array_equal(features.map[..., :3], roles[SHALLOW].map)
    np.testing.assert_array_equal(METHOD.deep(features).map, roles[DEEP].map)
    np.testing.assert_array_equal(features.sizes, [[5, 5], [3, 4]])
    np.testing.assert_array_equal(METHOD.deep(features).sizes, features.sizes)


def test_nothing_of_the_backbone_is_learned(photos, variables):
    features, updated = METHOD.embed_training(variables, *photos, jnp.ones(2))
    assert updated is variables
    np.testing.assert_array_equal(features.map, METHOD.embed(variables, *photos).map)


def test_cached_features_are_those_of_the_photos(photos, variables):
    _, sizes = photos
    features = METHOD.embed(variables, *photos)
    cached, _ = METHOD.embed_training({}, features.map.astype(jnp.float16), sizes, jnp.ones(2))
    np.testing.assert_allclose(cached.map, features.map, atol=2e-3)
    np.testing.assert_array_equal(cached.sizes, features.sizes)
    rubbish, _ = METHOD.embed_training({}, jnp.full((2, 5, 5, 9), 7, jnp.float16), sizes, jnp.ones(2))
    assert (rubbish.map[1, :3, :4] == 7).all()
    assert rubbish.map[1].sum() == 7 * 3 * 4 * 9


@dataclass(frozen=True)
class TwoGrids(Colours):
    """Shallow features on a finer grid than deep ones."""

    def embed(self, variables, images, sizes):
        roles = super().embed(variables, images, sizes)
        fine = roles[SHALLOW].map.repeat(2, 1).repeat(2, 2)
        return {**roles, SHALLOW: Features(fine, 2 * roles[SHALLOW].sizes)}


def test_features_on_two_grids_are_refused_before_anything_is_drawn():
    with pytest.raises(InputError, match="both on one grid"):
        replace(METHOD, backbone=TwoGrids()).init_head(jax.random.key(0))


def dpnet(name, options, **fields):
    backbone = backbones.make(name, options, "float32")
    head = Head(
        width=256, dis_hidden=512, pim_hidden=128, alpha_init=0.0, rates=(6, 12, 18),
        shallow=backbone.channels[SHALLOW], rectify=backbone.awaits_relu, aligned=backbone.aligned, **fields,
    )  # fmt: skip
    return DPNet(backbone, head)


@pytest.mark.parametrize(("auxiliary", "total"), [(True, 19_297_990), (False, 17_067_716)])
def test_parameter_totals_are_the_papers(auxiliary, total):
    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    method = dpnet("resnet50", {"stages": 3}, auxiliary=auxiliary)
    variables = jax.eval_shape(method.init, jax.random.key(0))
    assert count(variables["backbone"]["params"]) == 8_543_296
    assert count(variables["backbone"]["params"]) + count(variables["head"]) == total
    assert method.outputs == (("aux", "master") if auxiliary else ("master",))
    assert method.plain == method.outputs[0]
