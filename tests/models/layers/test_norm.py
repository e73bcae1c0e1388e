"""BatchNorm agrees with NumPy and PyTorch; images of weight 0 and the number of devices change nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.conv import Conv
from fsjax.models.layers.norm import BatchNorm, FixedNorm

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(2.0, 3.0, (8, 3, 5, 4)), jnp.float32)
VARIABLES = {
    "params": {"scale": np.float32([1, 2, 3, 0.5]), "bias": np.float32([0, 1, -1, 2])},
    "batch_stats": {"mean": np.float32([1, 2, 0, -1]), "var": np.float32([1, 4, 9, 2])},
}


@partial(jax.jit, static_argnums=0)
def apply(norm, x, weights=None):
    return norm.apply(VARIABLES, x, batch_statistics=True, weights=weights, mutable=["batch_stats"])


def in_numpy(x):
    """Normalised features and moved running statistics, all images counted."""
    x = np.asarray(x, np.float64)
    params, running = VARIABLES["params"], VARIABLES["batch_stats"]
    flat = x.reshape(-1, 4)
    y = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * params["scale"] + params["bias"]
    moved = {
        "mean": 0.9 * running["mean"] + 0.1 * flat.mean(0),
        "var": 0.9 * running["var"] + 0.1 * flat.var(0, ddof=1),
    }
    return y, moved


def test_fixed_statistics():
    y = BatchNorm().apply(VARIABLES, X)
    running, params = VARIABLES["batch_stats"], VARIABLES["params"]
    expected = (np.asarray(X) - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    expected = expected * params["scale"] + params["bias"]
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_fixed_statistics_are_part_of_the_convolution_before():
    """Gains 1, 1, 1 and 0.5 / sqrt(2), and what each channel's mean and bias leave."""
    gain, shift = FixedNorm(epsilon=0.0).apply(VARIABLES, 4)
    np.testing.assert_allclose(gain, [1, 1, 1, 0.5 / np.sqrt(2)], rtol=1e-6)
    np.testing.assert_allclose(shift, [-1, -1, -1, 2 + 0.5 / np.sqrt(2)], rtol=1e-6)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_through_the_convolution_are_those_of_the_two_layers(kernel_size):
    convolve, rng = Conv(4, kernel_size), np.random.default_rng(3)
    kernel = np.float32(rng.normal(size=(kernel_size, kernel_size, 4, 4)))
    given = {"kernel": kernel, **VARIABLES["params"]}

    def parts(given):
        params = {"scale": given["scale"], "bias": given["bias"]}
        return {"params": {"kernel": given["kernel"]}}, {**VARIABLES, "params": params}

    def apart(given):
        of_conv, of_norm = parts(given)
        return jnp.sum(jnp.sin(BatchNorm().apply(of_norm, convolve.apply(of_conv, X))))

    def folded(given):
        of_conv, of_norm = parts(given)
        return jnp.sum(jnp.sin(convolve.apply(of_conv, X, *FixedNorm().apply(of_norm, 4))))

    expected, found = (jax.jit(jax.grad(loss))(given) for loss in (apart, folded))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), found, expected)


def test_batch_statistics():
    y, state = apply(BatchNorm(), X)
    expected, moved = in_numpy(X)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["mean"], moved["mean"], rtol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["var"], moved["var"], rtol=1e-5)


def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm2d(4)
    state = {
        "weight": VARIABLES["params"]["scale"],
        "bias": VARIABLES["params"]["bias"],
        "running_mean": VARIABLES["batch_stats"]["mean"],
        "running_var": VARIABLES["batch_stats"]["var"],
    }
    theirs.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()}, strict=False)
    expected = (
        theirs(torch.tensor(np.asarray(X).transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
    )
    y, moved = apply(BatchNorm(), X)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(moved["batch_stats"]["var"], theirs.running_var, rtol=1e-5)


def test_images_of_weight_zero_are_left_out():
    weights = jnp.array([1.0, 0, 1, 1, 0, 1, 0, 1])
    kept = np.asarray(weights) > 0
    spoilt = jnp.where(kept[:, None, None, None], X, 1e6)
    y, state = apply(BatchNorm(), spoilt, weights)
    expected, moved = in_numpy(X[kept])
    np.testing.assert_allclose(y[kept], expected, atol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["var"], moved["var"], rtol=1e-5)


def test_devices_share_statistics_even_where_one_has_no_episode():
    weights = jnp.array([1.0, 0, 1, 1, 0, 0, 1, 1])
    ramp = jnp.asarray(RNG.normal(size=X.shape), jnp.float32)

    def loss(x, ramp, weight, axis_name):
        y, state = apply(BatchNorm(axis_name=axis_name), x, weight)
        return (y * ramp * weight[:, None, None, None]).sum(), (y, state)

    def together(x, ramp, weight):
        return jax.value_and_grad(loss, has_aux=True)(x, ramp, weight, None)

    def apart(x, ramp, weight):
        step = lambda *shard: jax.value_and_grad(loss, has_aux=True)(*shard, "devices")  # noqa: E731
        return jax.pmap(step, axis_name="devices")(x, ramp, weight)

    (_, (y, state)), gradient = jax.jit(together)(X, ramp, weights)
    shards = [array.reshape(8, 1, *array.shape[1:]) for array in (X, ramp, weights)]
    (_, (y8, state8)), gradient8 = apart(*shards)
    np.testing.assert_allclose(y8.reshape(X.shape), y, atol=1e-5)
    np.testing.assert_allclose(gradient8.reshape(X.shape), gradient, atol=1e-5)
    for name in ("mean", "var"):
        for device in range(8):
            np.testing.assert_allclose(
                state8["batch_stats"][name][device], state["batch_stats"][name], rtol=1e-5
            )


def test_no_episode_at_all_is_finite_and_moves_nothing():
    def loss(x):
        y, state = apply(BatchNorm(), x, jnp.zeros(8))
        return jnp.square(y).sum(), state

    (value, state), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(X)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    jax.tree.map(np.testing.assert_array_equal, dict(state["batch_stats"]), VARIABLES["batch_stats"])


def test_statistics_stay_where_they_are_not_mutable():
    y = BatchNorm().apply(VARIABLES, X, batch_statistics=True)
    np.testing.assert_allclose(y, in_numpy(X)[0], atol=1e-5)
