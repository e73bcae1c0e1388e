"""Optimisers and schedules are PyTorch's, and a scaled batch keeps schedules in episodes."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax.errors import InputError
from fsjax.training.optimizer import OptimizerSettings, learning_rate, make_optimizer

RNG = np.random.default_rng(0)
START = {"kernel": RNG.normal(size=(3, 2)), "scale": RNG.normal(size=2)}
GRADIENTS = [{name: RNG.normal(size=value.shape) for name, value in START.items()} for _ in range(9)]


def settings(**fields):
    return OptimizerSettings(
        **{"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "b2": 0.99, "weight_decay": 0.05,
           "schedule": "step", "milestones": (3, 6), "decay": 0.1, "warmup": 0, **fields}
    )  # fmt: skip


def ours(chosen):
    """The parameters after every step."""
    optimizer = make_optimizer(chosen, learning_rate(chosen, 9)[0])

    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.float32, START)
    state, seen = optimizer.init(params), []
    for gradient in GRADIENTS:
        params, state = step(params, state, jax.tree.map(jnp.float32, gradient))
        seen.append(params)
    return seen


def assert_trajectories(left, right):
    for one, other in zip(left, right, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], atol=2e-6)


def multi_step_rate(update, base, milestones, decay):
    """MultiStepLR: the rate of update number `update`, counted from 0."""
    counts = Counter(milestones)
    return base * decay ** sum(counts[milestone] for milestone in counts if milestone <= update)


def sgd_in_numpy(chosen):
    params, velocity = dict(START), dict.fromkeys(START, 0)
    for update, gradient in enumerate(GRADIENTS):
        rate = multi_step_rate(update, chosen.learning_rate, chosen.milestones, chosen.decay)
        for name in params:
            decayed = gradient[name] + chosen.weight_decay * params[name]
            velocity[name] = chosen.momentum * velocity[name] + decayed
            params[name] = params[name] - rate * velocity[name]
        yield dict(params)


def adamw_in_numpy(chosen):
    params = dict(START)
    first, second = dict.fromkeys(START, 0), dict.fromkeys(START, 0)
    for update, gradient in enumerate(GRADIENTS, 1):
        rate = multi_step_rate(update - 1, chosen.learning_rate, chosen.milestones, chosen.decay)
        for name, g in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = chosen.b2 * second[name] + (1 - chosen.b2) * g**2
            mean, square = first[name] / (1 - 0.9**update), second[name] / (1 - chosen.b2**update)
            params[name] = params[name] * (1 - rate * chosen.weight_decay)
            params[name] = params[name] - rate * mean / (np.sqrt(square) + 1e-8)
        yield dict(params)


@pytest.mark.parametrize(("name", "written_out"), [("sgd", sgd_in_numpy), ("adamw", adamw_in_numpy)])
def test_agrees_with_numpy(name, written_out):
    chosen = settings(optimizer=name)
    assert_trajectories(ours(chosen), list(written_out(chosen)))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch")
    chosen = settings(optimizer=name)
    params = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in START.items()}
    if name == "sgd":
        optimizer = torch.optim.SGD(params.values(), 0.1, momentum=0.9, weight_decay=0.05)
    else:
        optimizer = torch.optim.AdamW(params.values(), 0.1, betas=(0.9, 0.99), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 6], 0.1)
    theirs = []
    for gradient in GRADIENTS:
        for key, value in params.items():
            value.grad = torch.tensor(gradient[key])
        optimizer.step()
        schedule.step()
        theirs.append({key: value.detach().numpy().copy() for key, value in params.items()})
    assert_trajectories(ours(chosen), theirs)


def test_batches_eight_times_as_large_count_episodes():
    chosen = settings(milestones=(10_000, 20_000), learning_rate=7e-3)
    schedule, steps = learning_rate(chosen, 30_000, factor=8.0)
    assert steps == 3_750
    for step in (0, 1_249, 1_250, 2_499, 2_500, 3_749):
        expected = 8 * multi_step_rate(8 * step, 7e-3, (10_000, 20_000), 0.1)
        np.testing.assert_allclose(schedule(step), expected, rtol=1e-5)
    schedule, steps = learning_rate(chosen, 30_000)
    assert steps == 30_000
    np.testing.assert_allclose(schedule(9_999), 7e-3, rtol=1e-6)
    schedule, steps = learning_rate(chosen, 30_000, factor=0.5)
    assert steps == 60_000
    np.testing.assert_allclose([schedule(0), schedule(19_999), schedule(20_000)], [3.5e-3, 3.5e-3, 3.5e-4])


def test_milestones_that_fall_together_both_count():
    schedule, steps = learning_rate(settings(milestones=(22, 23)), 40, factor=8.0)  # both are step 3
    assert steps == 5
    np.testing.assert_allclose(schedule(4), 8 * 0.1 * 0.01, rtol=1e-5)


def test_constant_and_cosine():
    schedule, _ = learning_rate(settings(schedule="constant"), 9)
    np.testing.assert_allclose([schedule(0), schedule(8)], 0.1)
    chosen = settings(schedule="cosine", warmup=10)
    schedule, steps = learning_rate(chosen, 110)
    assert steps == 110
    halfway = [schedule(step) for step in (5, 10, 60, 110)]
    np.testing.assert_allclose(halfway, [0.05, 0.1, 0.05, 0], atol=1e-7)
    schedule, steps = learning_rate(chosen, 110, factor=2.0)
    assert steps == 55
    np.testing.assert_allclose([schedule(5), schedule(30)], [0.2, 0.1], rtol=1e-6)
    schedule, _ = learning_rate(settings(schedule="cosine"), 9)
    np.testing.assert_allclose(schedule(0), 0.1)


@pytest.mark.parametrize(("warmup", "factor"), [(9, 1.0), (8, 15.0)])
def test_a_warm_up_as_long_as_the_training_is_refused(warmup, factor):
    with pytest.raises(InputError, match=r"train\.warmup takes \d of \d steps"):
        learning_rate(settings(schedule="cosine", warmup=warmup), 9, factor)
