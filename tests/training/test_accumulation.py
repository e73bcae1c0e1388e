"""A device's batch computed in parts gives what it gives at once."""

import jax
import numpy as np
import optax
import pytest

from fsjax.experiment.settings import plan_of
from fsjax.training.step import make_train_step
from tests.runs import prnet_config
from tests.toy import ToySource
from tests.training.test_step import (
    EPISODES,
    METHODS,
    OPTIMIZER,
    assert_close,
    assert_equal,
    batch,
    rubbish,
    take,
    unstacked,
)


@pytest.fixture(scope="module")
def variables():
    drawn = METHODS[True].init(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: np.float32(x + 0.2 * rng.random(x.shape)), drawn)


def test_parts_give_what_the_whole_batch_does(variables):
    """On two devices, one of which has a part that is idle altogether."""
    weights = [1, 0, 1, 1, 1, 1, 0, 0]
    filled = [episode if weight else rubbish() for episode, weight in zip(EPISODES, weights, strict=True)]
    given = batch(filled, 2, weights)
    whole, parts = (take(make_train_step(METHODS[False], OPTIMIZER, 0, n), variables, given) for n in (1, 2))
    assert_close(parts, whole)
    assert_equal(unstacked(parts, 1), unstacked(parts, 0))


def test_batch_statistics_are_those_of_each_part(variables):
    """Two parts move the running statistics as two steps do that learn nothing."""
    still = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.0, 0.9))
    halves = batch(EPISODES[:2], 1), batch(EPISODES[2:4], 1)
    steps, _ = unstacked(take(make_train_step(METHODS[True], still, 0), variables, *halves))
    parts, _ = unstacked(take(make_train_step(METHODS[True], still, 0, 2), variables, batch(EPISODES[:4], 1)))
    assert_close(parts.variables, steps.variables)
    before, after = (v["backbone"]["batch_stats"]["layer1_0"]["bn"] for v in (variables, parts.variables))
    assert (after["mean"] != before["mean"]).all()


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "parts", "slots"),
    [
        (2, 4, 1, 1),  # on eight devices one episode at most
        (16, 1, 1, 2),
        (16, 2, 2, 2),
        (40, 2, 2, 6),  # five episodes are computed three at a time
        (40, 4, 3, 6),  # two at a time
        (24, 99, 3, 3),
    ],
)
def test_a_devices_episodes_are_divided_evenly(batch_size, accumulate, parts, slots, tmp_path):
    values = {"batch_size": batch_size, "train.accumulate": accumulate, "train.steps": 1}
    source = ToySource(tmp_path)
    plan = plan_of(prnet_config(values), source)
    assert plan.parts == parts
    (episodes,) = plan.episodes(source, 0, threads=1, workers=0)
    assert episodes.weight.shape == (8, slots)
    assert episodes.weight.sum() == batch_size
