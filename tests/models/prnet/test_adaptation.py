"""Adaptation is a few steps of SGD on the supports, of chosen parameters, for one episode only."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import traverse_util

from fsjax import compiled
from fsjax.errors import InputError
from fsjax.models import backbones
from fsjax.models.prnet.adaptation import AdaptSettings, check_adapted, is_adapted
from fsjax.models.prnet.prnet import PRNet
from tests.models import tiny
from tests.models.prnet import reference
from tests.models.tiny import (
    linear_backbone,
    patch_colours,
    random_episode,
    support_loss,
    supports_of,
    two_layer_backbone,
)

LINEAR = PRNet(linear_backbone())
TWO_LAYERS = PRNet(two_layer_backbone())


def settings(**fields):
    return AdaptSettings(**{"steps": 4, "learning_rate": 0.05, **fields})


def adapted(method, variables, episode, probe=None, **fields):
    """The tuned variables and what the probe found after each step."""
    adapt = jax.jit(partial(tiny.adapted, method, settings=settings(**fields), probe=probe))
    return adapt(variables, supports_of(episode))


def adapt_by_default(variables, supports):
    return compiled.adapt(TWO_LAYERS, settings())(variables, *supports)


def copied(tree):
    return jax.tree.map(np.array, tree)


def flat(variables):
    return traverse_util.flatten_dict(variables["backbone"]["params"], sep="/")


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.fixture(scope="module")
def five_shots():
    """A two-way five-shot episode whose photos have sizes of their own, the padding being rubbish."""
    episode = random_episode(3, ways=2, shots=5)
    sizes = np.random.default_rng(4).choice([8, 12, 16], (2, 5, 2)).astype(np.int32)
    return episode._replace(support_sizes=sizes)


@pytest.fixture(scope="module")
def two_layers():
    return copied(TWO_LAYERS.init(jax.random.key(1)))


@pytest.fixture(scope="module")
def episode():
    return random_episode(5, ways=2, shots=2)


def reference_loss(kernel, episode, leave_one_out):
    """Eq. 6 of the linear extractor, in NumPy."""

    def cut(array, n, k):
        height, width = episode.support_sizes[n, k]
        return array[n, k, :height, :width]

    ways, shots = episode.support_masks.shape[:2]
    features = [
        [
            patch_colours(cut(episode.support_images, n, k)[None].astype(np.float64))[0] @ kernel
            for k in range(shots)
        ]
        for n in range(ways)
    ]
    masks = [[cut(episode.support_masks, n, k) for k in range(shots)] for n in range(ways)]
    return reference.adaptation_loss(features, masks, 20.0, leave_one_out)


@pytest.mark.parametrize("leave_one_out", [False, True])
def test_the_loss_agrees_with_numpy(five_shots, leave_one_out):
    kernel = np.random.default_rng(6).normal(size=(3, 4))
    variables = {"backbone": {"params": {"kernel": np.float32(kernel)}}, "head": {}}
    loss = jax.jit(partial(support_loss, LINEAR, leave_one_out=leave_one_out))
    expected = reference_loss(kernel, five_shots, leave_one_out)
    np.testing.assert_allclose(loss(variables, supports_of(five_shots)), expected, rtol=2e-5)


@pytest.mark.parametrize(("shots", "leave_one_out"), [(1, False), (1, True), (2, True)])
def test_steps_agree_with_sgd_by_hand_on_finite_differences(shots, leave_one_out):
    episode = random_episode(7, ways=2, shots=shots, side=8)
    kernel = np.random.default_rng(8).normal(size=(3, 4))
    held_out = leave_one_out and shots > 1  # with one shot there is nothing to segment it by

    def gradient(kernel):
        return reference.finite_differences(lambda k: reference_loss(k, episode, held_out), kernel)

    expected = reference.sgd(gradient, kernel, steps=4, learning_rate=0.2, momentum=0.9)
    variables = {"backbone": {"params": {"kernel": np.float32(kernel)}}, "head": {}}
    fields = {"learning_rate": 0.2, "leave_one_out": leave_one_out}
    tuned, after = adapted(LINEAR, variables, episode, lambda v: v["backbone"]["params"], **fields)
    assert np.abs(expected[-1] - kernel).max() > 0.05
    np.testing.assert_allclose(after["kernel"], expected, atol=2e-5)
    np.testing.assert_array_equal(tuned["backbone"]["params"]["kernel"], after["kernel"][-1])


def test_no_steps_change_no_bit(two_layers, episode):
    tuned, after = adapted(TWO_LAYERS, two_layers, episode, lambda v: v["backbone"], steps=0)
    assert_equal(tuned, two_layers)
    assert after["params"]["layer1_0"]["bn"]["scale"].shape == (0, 6)


def test_the_loss_falls_and_the_given_weights_stay(two_layers, episode):
    given = copied(two_layers)
    loss = partial(support_loss, TWO_LAYERS, supports=supports_of(episode))

    fields = {"steps": 5, "learning_rate": 2e-3}
    tuned, (losses, seen) = adapted(TWO_LAYERS, given, episode, lambda v: (loss(v), v), **fields)
    assert losses.shape == (5,)
    assert (np.diff([jax.jit(loss)(given), *losses]) < 0).all()
    assert_equal(given, two_layers)
    assert_equal(jax.tree.map(lambda x: x[-1], seen), tuned)


@pytest.mark.parametrize(
    ("parameters", "moved"),
    [
        ("all", {"layer1_0/conv/kernel", "layer1_0/bn/scale", "layer1_0/bn/bias",
                 "layer2_0/conv/kernel", "layer2_0/bn/scale", "layer2_0/bn/bias"}),
        ("last_stage", {"layer2_0/conv/kernel", "layer2_0/bn/scale", "layer2_0/bn/bias"}),
        ("norm_affine", {"layer1_0/bn/scale", "layer1_0/bn/bias", "layer2_0/bn/scale", "layer2_0/bn/bias"}),
    ],
)  # fmt: skip
def test_only_the_chosen_parameters_move(two_layers, episode, parameters, moved):
    tuned, _ = adapted(TWO_LAYERS, two_layers, episode, parameters=parameters)
    before, after = flat(two_layers), flat(tuned)
    assert before.keys() == after.keys()
    assert {name for name in before if (before[name] != after[name]).any()} == moved
    assert_equal(tuned["backbone"]["batch_stats"], two_layers["backbone"]["batch_stats"])


def test_the_choices_fit_a_real_extractor():
    backbone = backbones.make("resnet50", {}, "float32")
    names = traverse_util.flatten_dict(jax.eval_shape(backbone.init, jax.random.key(0))["params"])
    chosen = {
        parameters: {"/".join(path) for path in names if is_adapted(backbone, path, parameters)}
        for parameters in ("all", "last_stage", "norm_affine")
    }
    assert chosen["all"] == {"/".join(path) for path in names}
    assert chosen["last_stage"] == {name for name in chosen["all"] if "layer4" in name}
    assert len(chosen["last_stage"]) == 3 * 9 + 3  # three bottlenecks and a shortcut
    assert chosen["norm_affine"] == {name for name in chosen["all"] if "bn" in name}
    assert len(chosen["norm_affine"]) == 2 * 53


def test_a_network_without_normalisation_has_none_to_adapt():
    vgg = backbones.make("vgg16", {}, "float32")
    for parameters in ("all", "last_stage"):
        check_adapted(vgg, parameters)
    check_adapted(backbones.make("small", {}, "float32"), "norm_affine")
    with pytest.raises(InputError, match=r"norm_affine, and this backbone has no normalisation: set it to"):
        check_adapted(vgg, "norm_affine")
    names = traverse_util.flatten_dict(jax.eval_shape(vgg.init, jax.random.key(0))["params"])
    last = {name[0] for name in names if is_adapted(vgg, name, "last_stage")}
    assert last == {"conv5_1", "conv5_2", "conv5_3"}


def test_empty_masks_leave_the_weights_finite(two_layers, episode):
    background = episode._replace(support_masks=np.zeros_like(episode.support_masks))
    half = episode._replace(support_masks=np.where(episode.support_masks == 2, 0, episode.support_masks))
    void = episode._replace(support_masks=np.full_like(episode.support_masks, 255))
    for given in (background, half, void):
        tuned = adapt_by_default(two_layers, supports_of(given))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tuned))
    assert_equal(tuned, two_layers)  # void teaches nothing
