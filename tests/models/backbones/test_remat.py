"""What is computed again for gradients changes neither them nor the names of parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones import make
from fsjax.models.backbones.resnet import ResNet
from fsjax.models.backbones.vgg import VGG
from tests.models.programs import operations

BOTTLENECKS = partial(ResNet, stage_sizes=(2,), widths=(3,))
PLAIN = partial(ResNet, stage_sizes=(1, 1), widths=(3, 4), bottleneck=False)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 17, 17, 3), np.uint8))
SIZES = jnp.array([[17, 17], [13, 9]])


def gradient(network, variables, **more):
    """The function from parameters to a loss's gradient and, beside it, the statistics that moved on."""

    def loss(params):
        now = {**variables, "params": params}
        features, moved = network.apply(now, IMAGES, SIZES, **more, mutable=["batch_stats"])
        return sum(jnp.sum(jnp.sin(f.map)) for f in features.values()), moved

    return jax.grad(loss, has_aux=True)


@pytest.mark.parametrize(
    ("make_network", "remat"), [(BOTTLENECKS, "blocks"), (partial(VGG, width=1), "blocks")]
)
def test_gradients_stay_the_same(make_network, remat, random_variables):
    networks = make_network(), make_network(remat=remat)
    variables = random_variables(networks[0])
    params = variables["params"]
    programs = [gradient(network, variables) for network in networks]
    expected, found = (jax.jit(program)(params) for program in programs)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), found, expected)
    once, again = (
        len(list(operations(jax.make_jaxpr(program)(params), "conv_general_dilated"))) for program in programs
    )
    assert again > once


def test_batch_statistics_move_on_as_before(random_variables):
    networks = PLAIN(stages=1), PLAIN(stages=1, remat="stages")
    variables = random_variables(networks[0])
    more = {"batch_statistics": True, "weights": jnp.array([1.0, 1.0])}
    expected, found = (jax.jit(gradient(n, variables, **more))(variables["params"]) for n in networks)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), found, expected)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "small"])
def test_the_field_reaches_every_backbone(name):
    backbone = make(name, {}, "float32", "blocks")
    assert backbone.network.remat == "blocks"
    assert str(backbone) == str(make(name, {}, "float32"))  # stored features are still theirs
    assert backbone != make(name, {}, "float32")  # programs are not
