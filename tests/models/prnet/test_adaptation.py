"""Adaptation is a few steps of SGD on the supports, of chosen parameters, for one episode only."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from fsjax.errors import InputError
from fsjax.models.method import build
from fsjax.models.prnet.adaptation import AdaptSettings, is_adapted
from fsjax.models.prnet.prnet import PRNet
from tests.models.prnet import reference
from tests.models.tiny import Linear, TwoLayers, patch_colours, random_episode

LINEAR = PRNet(extractor=Linear(), feature="map")
TWO_LAYERS = PRNet(extractor=TwoLayers(), feature="map", last_stage="layer2")


def settings(**fields):
    return AdaptSettings(**{"steps": 4, "learning_rate": 0.05, **fields})


@jax.jit
def adapt_by_default(variables, episode):
    return TWO_LAYERS.adapt(variables, episode, settings())[0]


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
    loss = jax.jit(partial(LINEAR.adaptation_loss, leave_one_out=leave_one_out))
    expected = reference_loss(kernel, five_shots, leave_one_out)
    np.testing.assert_allclose(loss(variables, five_shots), expected, rtol=2e-5)


@pytest.mark.parametrize(("shots", "leave_one_out"), [(1, False), (1, True), (2, True)])
def test_steps_agree_with_sgd_by_hand_on_finite_differences(shots, leave_one_out):
    episode = random_episode(7, ways=2, shots=shots, side=8)
    kernel = np.random.default_rng(8).normal(size=(3, 4))
    held_out = leave_one_out and shots > 1  # with one shot there is nothing to segment it by

    def gradient(kernel):
        return reference.finite_differences(lambda k: reference_loss(k, episode, held_out), kernel)

    expected = reference.sgd(gradient, kernel, steps=4, learning_rate=0.2, momentum=0.9)
    variables = {"backbone": {"params": {"kernel": np.float32(kernel)}}, "head": {}}
    adapt = jax.jit(
        lambda variables, episode: LINEAR.adapt(
            variables,
            episode,
            settings(learning_rate=0.2, leave_one_out=leave_one_out),
            lambda v: v["backbone"]["params"],
        )
    )
    tuned, after = adapt(variables, episode)
    assert np.abs(expected[-1] - kernel).max() > 0.05
    np.testing.assert_allclose(after["kernel"], expected, atol=2e-5)
    np.testing.assert_array_equal(tuned["backbone"]["params"]["kernel"], after["kernel"][-1])


def test_no_steps_change_no_bit(two_layers, episode):
    adapt = jax.jit(lambda *given: TWO_LAYERS.adapt(*given, settings(steps=0), lambda v: v["backbone"]))
    tuned, after = adapt(two_layers, episode)
    assert_equal(tuned, two_layers)
    assert after["params"]["layer1_0"]["bn"]["scale"].shape == (0, 6)


def test_the_loss_falls_and_the_given_weights_stay(two_layers, episode):
    shown, given = jax.tree.map(jnp.asarray, episode), copied(two_layers)
    loss = partial(TWO_LAYERS.adaptation_loss, episode=shown)
    adapt = jax.jit(
        lambda *given: TWO_LAYERS.adapt(*given, settings(steps=5, learning_rate=2e-3), lambda v: (loss(v), v))
    )
    tuned, (losses, seen) = adapt(given, episode)
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
    adapt = jax.jit(lambda *given: TWO_LAYERS.adapt(*given, settings(parameters=parameters))[0])
    tuned = adapt(two_layers, episode)
    before, after = flat(two_layers), flat(tuned)
    assert before.keys() == after.keys()
    assert {name for name in before if (before[name] != after[name]).any()} == moved
    assert_equal(tuned["backbone"]["batch_stats"], two_layers["backbone"]["batch_stats"])


def test_the_choices_fit_a_real_extractor():
    model = ConfigDict(
        {"name": "prnet", "backbone": "resnet50", "backbone_options": {}, "batch_statistics": False,
         "scale": 20.0, "compute_dtype": "float32"}
    )  # fmt: skip
    method = build(model)
    names = traverse_util.flatten_dict(jax.eval_shape(method.init, jax.random.key(0))["backbone"]["params"])
    chosen = {
        parameters: {"/".join(path) for path in names if is_adapted(path, method.last_stage, parameters)}
        for parameters in ("all", "last_stage", "norm_affine")
    }
    assert chosen["all"] == {"/".join(path) for path in names}
    assert chosen["last_stage"] == {name for name in chosen["all"] if "layer4" in name}
    assert len(chosen["last_stage"]) == 3 * 9 + 3  # three bottlenecks and a shortcut
    assert chosen["norm_affine"] == {name for name in chosen["all"] if "bn" in name}
    assert len(chosen["norm_affine"]) == 2 * 53


def test_an_unknown_choice_is_named():
    with pytest.raises(InputError, match=r"'first_stage'.*norm_affine"):
        AdaptSettings(parameters="first_stage")
    with pytest.raises(InputError, match="steps is -1"):
        AdaptSettings(steps=-1)


def test_empty_masks_leave_the_weights_finite(two_layers, episode):
    background = episode._replace(support_masks=np.zeros_like(episode.support_masks))
    half = episode._replace(support_masks=np.where(episode.support_masks == 2, 0, episode.support_masks))
    void = episode._replace(support_masks=np.full_like(episode.support_masks, 255))
    for given in (background, half, void):
        tuned = adapt_by_default(two_layers, given)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tuned))
    assert_equal(tuned, two_layers)  # void teaches nothing


def test_queries_are_not_looked_at(two_layers, episode):
    other = random_episode(11, ways=2, shots=2)
    fields = ("query_images", "query_masks")
    changed = episode._replace(**{field: getattr(other, field) for field in fields})
    assert_equal(adapt_by_default(two_layers, episode), adapt_by_default(two_layers, changed))
