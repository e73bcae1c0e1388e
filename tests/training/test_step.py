"""The training step gives the same whatever the number of devices and spare slots."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.devices import DEVICES, replicate
from fsjax.models.prnet.prnet import PRNet
from fsjax.training.step import all_finite, embed_episodes, make_state, make_train_step, trainable
from tests.models.tiny import random_episode, two_layer_backbone

OPTIMIZER = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, 0.9))
EPISODES = [random_episode(seed, ways=2, shots=2, queries=2) for seed in range(8)]


METHODS = {
    statistics: PRNet(two_layer_backbone(DEVICES, batch_statistics=statistics))
    for statistics in (False, True)
}


@pytest.fixture(scope="module")
def variables():
    """With running statistics and scales that are not their first values."""
    drawn = METHODS[True].init(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.float32(x + 0.2 * rng.random(x.shape)), drawn)


@pytest.fixture(scope="module")
def steps():
    return {statistics: make_train_step(METHODS[statistics], OPTIMIZER, 0) for statistics in METHODS}


def batch(episodes, devices, weights=None):
    """Episodes in slots, [devices, len(episodes) / devices, ...]."""
    stacked = jax.tree.map(lambda *fields: np.stack(fields), *episodes)
    if weights is not None:
        stacked = stacked._replace(weight=np.float32(weights))
    return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), stacked)


def take(step, variables, *batches):
    """The state and the metrics after a step a batch, still stacked, as NumPy."""
    state = replicate(make_state(variables, OPTIMIZER), len(batches[0].weight))
    for given in batches:
        state, metrics = step(state, {}, given)
    return jax.tree.map(np.array, (state, metrics))


def unstacked(tree, device=0):
    return jax.tree.map(lambda x: x[device], tree)


def assert_close(left, right, **tolerance):
    tolerance = {"rtol": 1e-5, "atol": 1e-5, **tolerance}
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), left, right)


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def rubbish(weight=0.0):
    """What a spare slot may hold: nothing of it counts."""
    noise = np.random.default_rng(9)
    episode = random_episode(99, ways=2, shots=2, queries=2, weight=weight)
    return episode._replace(
        support_images=noise.integers(0, 256, episode.support_images.shape, dtype=np.uint8),
        query_masks=np.full_like(episode.query_masks, 255),
        support_masks=np.zeros_like(episode.support_masks),
    )


def test_eight_devices_equal_one(steps, variables):
    step = steps[True]
    one = take(step, variables, batch(EPISODES, 1), batch(EPISODES[::-1], 1))
    eight = take(step, variables, batch(EPISODES, 8), batch(EPISODES[::-1], 8))
    for device in range(8):
        assert_close(unstacked(eight, device), unstacked(one))
        assert_equal(unstacked(eight, device), unstacked(eight))
    state, metrics = unstacked(one)
    assert state.step == 2
    assert set(metrics) == {"loss", "query_loss", "support_loss", "gradient_norm", "finite"}
    before, after = (v["backbone"]["batch_stats"] for v in (variables, state.variables))
    assert (after["layer1_0"]["bn"]["mean"] != before["layer1_0"]["bn"]["mean"]).all()


WEIGHTS = [0, 1, 0, 0, 1, 1, 0, 0]


def three_in_eight_slots(filling):
    places = iter(EPISODES[:3])
    return batch([next(places) if weight else filling for weight in WEIGHTS], 8, WEIGHTS)


def test_spare_slots_change_nothing(steps, variables):
    step = steps[True]
    alone = take(step, variables, batch(EPISODES[:3], 1))
    spread = take(step, variables, three_in_eight_slots(rubbish()))
    assert_close(unstacked(spread), unstacked(alone))
    zeros = jax.tree.map(np.zeros_like, EPISODES[0])
    zeros = zeros._replace(**{f: getattr(EPISODES[0], f) for f in zeros._fields if f.endswith("sizes")})
    assert_equal(take(step, variables, three_in_eight_slots(zeros)), spread)


def test_one_step_is_plain_gradient_descent_on_the_mean_loss(steps, variables):
    method, params = METHODS[False], trainable(variables)

    @jax.jit
    @jax.value_and_grad
    def differentiated(params, episode):
        given = {"backbone": {**variables["backbone"], "params": params["backbone"]}, "head": params["head"]}
        one = jax.tree.map(lambda x: x[None], episode)
        *features, _ = embed_episodes(method, given, one)
        return method.loss(given, *features, one, jax.random.key(0)[None])[0][0]

    each = [differentiated(params, jax.tree.map(jnp.asarray, episode)) for episode in EPISODES[:3]]
    loss, gradient = jax.tree.map(lambda *values: sum(values) / 3, *each)
    expected = jax.tree.map(lambda p, g: p - 0.1 * (g + 5e-4 * p), params, gradient)
    state, metrics = unstacked(take(steps[False], variables, three_in_eight_slots(rubbish())))
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], metrics["query_loss"] + metrics["support_loss"], rtol=1e-5)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-4)
    assert_close(trainable(state.variables), expected)
    assert_equal(state.variables["backbone"]["batch_stats"], variables["backbone"]["batch_stats"])


def test_the_same_batches_give_the_same_bits(steps, variables):
    first, second = (take(steps[True], variables, *[batch(EPISODES, 8)] * 2) for _ in range(2))
    assert_equal(first, second)


@pytest.mark.parametrize(("value", "finite"), [(1.0, 1), (np.nan, 0), (np.inf, 0), (-np.inf, 0)])
def test_one_number_that_is_not_finite_is_enough(value, finite):
    tree = {"head": {}, "backbone": {"w": jnp.zeros((2, 3)).at[1, 2].set(value), "n": jnp.int32(3)}}
    assert all_finite(tree) == finite
    assert all_finite({"head": {}}) == 1
