"""Attention head by head, and JAX's own, against NumPy; their gradients against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers.attention import attention, by_head
from tests.models.programs import elsewhere, newer_jax


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(2, count, 3, 4)).astype(np.float32) for count in (5, 7, 7))
    seen = np.array([[True] * 7, [True, False, True, True, False, False, False]])
    return tuple(map(jnp.asarray, (3 * query, key, value, seen)))


def test_both_ways_agree_with_numpy(given, monkeypatch):
    query, key, value, seen = (np.asarray(x, float) for x in given)
    here = jax.jit(attention)(*given)
    monkeypatch.setattr(jax.lax, "platform_dependent", elsewhere)
    there = attention(*given)
    for photo in range(2):
        valid = seen[photo] > 0
        for head in range(3):
            logits = query[photo, :, head] @ key[photo, valid, head].T / 2
            weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            for found in (here, there):
                np.testing.assert_allclose(
                    found[photo, :, head], weights @ value[photo, valid, head], atol=2e-6
                )


def test_gradients_are_those_of_jaxs_own(given, monkeypatch):
    *parts, seen = given

    def gradient(function):
        return jax.grad(lambda parts: jnp.sum(jnp.sin(function(*parts, seen))))(parts)

    ours = gradient(by_head)
    monkeypatch.setattr(jax.lax, "platform_dependent", elsewhere)
    for one, other in zip(ours, gradient(attention), strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6)
        assert np.abs(np.asarray(other)).max() > 0.1


@newer_jax
def test_the_platform_that_it_is_lowered_for_chooses(given):
    """Head by head is a loop."""
    traced = jax.jit(attention).trace(*given)
    loops = {name: traced.lower(lowering_platforms=(name,)).as_text().count("stablehlo.while")
             for name in ("cpu", "cuda", "rocm", "tpu")}  # fmt: skip
    assert loops == {"cpu": 1, "cuda": 0, "rocm": 0, "tpu": 0}


def test_half_precision_stays_and_is_close(given):
    half = [x.astype(jnp.bfloat16) for x in given[:3]]
    found = by_head(*half, given[3])
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), by_head(*given), atol=0.05)


def test_what_is_not_seen_changes_nothing(given):
    query, key, value, seen = given
    noise = jnp.where(seen[..., None, None], 0.0, 1e6)
    np.testing.assert_array_equal(by_head(query, key + noise, value + noise, seen), by_head(*given))
