"""In bfloat16 the operands of convolutions are, and nothing else is."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.devices import DEVICES
from fsjax.models import build
from fsjax.training.step import make_state, split, train_step
from tests.models.programs import elsewhere, operations
from tests.models.tiny import random_episode
from tests.runs import dpnet_config, prnet_config

BFLOAT16 = {"model.compute_dtype": "bfloat16"}
VGG = {"model.backbone": "vgg16", "model.backbone_options": {"width": 2}}
RESNET = {"model.backbone": "resnet50", "model.backbone_options": {"stages": 1}, "model.remat": "stages"}
METHODS = {
    "prnet over vgg16": prnet_config({**VGG, **BFLOAT16}),
    "prnet over resnet50": prnet_config({**RESNET, **BFLOAT16}),
    "dpnet over small": dpnet_config(BFLOAT16),
}


def floats(tree):
    """The dtypes of all numbers that are not whole."""
    kinds = {x.dtype.name for x in jax.tree.leaves(tree)}
    return {kind for kind in kinds if "float" in kind}


@pytest.fixture(params=METHODS)
def method(request):
    return build.method(METHODS[request.param].model)


@pytest.fixture
def variables(method):
    return jax.eval_shape(method.init, jax.random.key(0))


def test_training(method, variables):
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, 0.9))
    learned, frozen = split(method, variables)
    state = jax.eval_shape(lambda learned: make_state(learned, optimizer), learned)
    batch = jax.tree.map(lambda x: np.asarray(x)[None, None], random_episode(0, ways=1))
    lead = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), (state, frozen))
    step = jax.vmap(train_step(method, optimizer, 0), axis_name=DEVICES)
    with mock.patch("jax.lax.platform_dependent", elsewhere):
        program, after = jax.make_jaxpr(step, return_shape=True)(*lead, batch)
    assert floats((lead, after)) == {"float32"}  # parameters, statistics, optimiser, losses, gradients' norm
    convolutions = list(operations(program, "conv_general_dilated"))
    wide = convolutions.count({"float32"})
    assert convolutions.count({"bfloat16"}) == len(convolutions) - wide > 5
    # Only the logits of DPNet's two branches are in float32: they, and two gradients of each.
    assert wide == (6 if method.frozen else 0)
    products = list(operations(program, "dot_general"))  # prototypes, cosines, resizes
    assert products.count({"float32"}) == len(products) > 0


def test_segmenting(method, variables):
    config = next(c for c in METHODS.values() if c.model.name == ("dpnet" if method.frozen else "prnet"))
    images, sizes = jnp.zeros((1, 33, 33, 3), jnp.uint8), jnp.full((1, 2), 33)

    def segment(variables):
        features = method.embed(variables, images, sizes)
        one = jax.tree.map(lambda x: x[0], features)
        described = method.describe(variables, one, jnp.ones((33, 33), jnp.uint8), sizes[0])
        shots = jax.tree.map(lambda x: x[None, None], described)
        fitted = method.fit(variables, shots, jnp.ones((1, 1), bool))
        settings = build.segment_settings(config)
        return features, fitted, method.segment(variables, fitted, features, (33, 33), sizes, settings)

    assert floats(jax.eval_shape(segment, variables)) == {"float32"}
