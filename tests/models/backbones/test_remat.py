"""What is computed again for gradients changes neither them nor the names of parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones import make
from fsjax.models.backbones.resnet import ResNet
from fsjax.models.backbones.vgg import VGG
from fsjax.models.layers.remat import REMAT
from tests.models.programs import operations

NETWORKS = {
    "bottlenecks": partial(ResNet, stage_sizes=(2, 1), widths=(3, 4), strides=(1, 2), dilations=(1, 1)),
    "two 3x3": partial(ResNet, stage_sizes=(1, 2), widths=(3, 4), strides=(1, 2), dilations=(1, 2),
                       bottleneck=False),
    "vgg": partial(VGG, width=1),
}  # fmt: skip
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 17, 17, 3), np.uint8))
SIZES = jnp.array([[17, 17], [13, 9]])


def gradient(network, variables, **more):
    """The function from parameters to a loss's gradient and, beside it, the statistics that moved on."""

    def loss(params):
        now = {**variables, "params": params}
        features, moved = network.apply(now, IMAGES, SIZES, **more, mutable=["batch_stats"])
        return sum(jnp.sum(jnp.sin(f.map)) for f in features.values()), moved

    return jax.grad(loss, has_aux=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_stay_the_same(name, random_variables):
    plain, *again = (NETWORKS[name](remat=remat) for remat in REMAT)
    variables = random_variables(plain)
    expected = jax.jit(gradient(plain, variables))(variables["params"])
    kinds = ("conv_general_dilated", "dot_general")
    count = len(list(operations(gradient(plain, variables), kinds, variables["params"])))
    for network in again[: 1 if name == "vgg" else 2]:
        found = jax.jit(gradient(network, variables))(variables["params"])
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), found, expected)
        assert len(list(operations(gradient(network, variables), kinds, variables["params"]))) > count


def test_batch_statistics_move_on_as_before(random_variables):
    plain, stages, _ = (NETWORKS["two 3x3"](remat=remat) for remat in REMAT)
    variables = random_variables(plain)
    more = {"batch_statistics": True, "weights": jnp.array([1.0, 1.0])}
    expected, found = (jax.jit(gradient(n, variables, **more))(variables["params"]) for n in (plain, stages))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), found, expected)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "small"])
def test_the_field_reaches_every_backbone(name):
    backbone = make(name, {}, "float32", "blocks")
    assert backbone.network.remat == "blocks"
    assert str(backbone) == str(make(name, {}, "float32"))  # stored features are still theirs
    assert backbone != make(name, {}, "float32")  # programs are not
