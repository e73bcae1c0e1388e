"""The cycle comparison agrees with loops over cells, and never holds the whole matrix of cosines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.dpnet import cycle
from fsjax.models.dpnet.cycle import Matches, cycle_consistent, forward_matched

match_cells = jax.jit(cycle.match_cells, static_argnames="tile")

SUPPORT, QUERY = 6 * 5, 7 * 4  # cells


def cosine(a, b):
    longest = max(np.sqrt(a @ a), 1e-6) * max(np.sqrt(b @ b), 1e-6)
    return float(a @ b) / longest


def best_matches(images, others, valid):
    """The first most similar valid cell of the others, for every cell, and all cosines; loops in float64."""
    cosines = [[cosine(a, b) for b in np.float64(others)] for a in np.float64(images)]
    best = []
    for row in cosines:
        found = None
        for j, value in enumerate(row):
            if valid[j] and (found is None or value > row[found]):
                found = j
        best.append(found)
    return best, np.array(cosines)


def consistent(forward, backward, foreground):
    """The query cells j*, and those of them whose cycle ends in the foreground (DPNet 4.2)."""
    hit, accepted = set(), set()
    for start in np.flatnonzero(foreground):
        hit.add(forward[start])
        if foreground[backward[forward[start]]]:
            accepted.add(forward[start])
    return [np.isin(np.arange(len(backward)), list(cells)) for cells in (hit, accepted)]


def draw(kind, rng, cells):
    if kind == "one-hot":
        return np.eye(5, dtype=np.float32)[rng.integers(0, 5, cells)]
    if kind == "real":
        return np.maximum(rng.normal(size=(cells, 12)) + 0.5, -0.3).astype(np.float32)
    return rng.choice(np.float32([-1, 1]), (cells, int(kind)))


@pytest.mark.parametrize("tile", [1, 3, 8, 64])
@pytest.mark.parametrize("kind", ["one-hot", "4", "16", "64"])
def test_exact_cosines_give_the_loops_matches_ties_included(kind, tile):
    rng = np.random.default_rng(tile)
    support, query = draw(kind, rng, SUPPORT), draw(kind, rng, QUERY)
    support_valid, query_valid, foreground = (rng.random(n) < 0.7 for n in (SUPPORT, QUERY, SUPPORT))
    support[~support_valid] = rng.permutation(query)[: (~support_valid).sum()]  # would match best
    query[~query_valid] = rng.permutation(support)[: (~query_valid).sum()]
    support[3] = 0  # has cosine 0 with anything
    foreground &= support_valid
    ours = match_cells(support, query, support_valid, query_valid, tile=tile)
    forward, _ = best_matches(support, query, query_valid)
    backward, cosines = best_matches(query, support, support_valid)
    np.testing.assert_array_equal(ours.forward, forward)
    np.testing.assert_array_equal(ours.backward, backward)
    np.testing.assert_array_equal(ours.similarity, cosines[np.arange(QUERY), backward])
    if kind in ("one-hot", "4"):
        assert ((cosines == cosines.max(1, keepdims=True)).sum(1) > 1).any()
    hit, accepted = consistent(forward, backward, foreground)
    np.testing.assert_array_equal(forward_matched(ours, jnp.asarray(foreground)), hit)
    np.testing.assert_array_equal(cycle_consistent(ours, jnp.asarray(foreground)), accepted)
    assert accepted.any()
    assert not hit[~query_valid].any()


@pytest.mark.parametrize("tile", [8, 64])
def test_random_features_match_as_the_loops_do_but_for_near_ties(tile):
    rng = np.random.default_rng(0)
    support, query = draw("real", rng, SUPPORT), draw("real", rng, QUERY)
    everywhere = np.ones(SUPPORT, bool), np.ones(QUERY, bool)
    ours = match_cells(support, query, *everywhere, tile=tile)
    _, cosines = best_matches(support, query, everywhere[1])
    assert (cosines[np.arange(SUPPORT), ours.forward] >= cosines.max(1) - 1e-6).all()
    assert (cosines[ours.backward, np.arange(QUERY)] >= cosines.max(0) - 1e-6).all()
    np.testing.assert_allclose(ours.similarity, cosines.max(0), atol=1e-6)


def test_a_tie_across_tiles_goes_to_the_lowest_index():
    same = jnp.ones((7, 4))
    valid = jnp.array([False, False, True, True, True, True, True])
    for tile in (1, 3, 8):
        ours = match_cells(same, same, valid, valid, tile=tile)
        assert (ours.forward == 2).all()
        assert (ours.backward == 2).all()


def test_a_norm_that_is_no_power_of_two_costs_at_most_the_last_bit():
    """Found by test_matching_properties: 41 / 41 is 1 - 2**-24 where XLA multiplies by a reciprocal."""
    ours = match_cells(jnp.array([[1.0, 0.0]]), jnp.array([[41.0, 0.0]]), *[jnp.ones(1, bool)] * 2, tile=1)
    np.testing.assert_allclose(ours.similarity, [1.0], rtol=0, atol=2.0**-24)


def test_a_cycle_that_ends_in_the_background_is_rejected():
    support = jnp.array([[1.0, 0.0], [0.6, 0.8]])
    query = jnp.array([[0.8, 0.6], [0.0, 1.0]])
    both, foreground = jnp.ones(2, bool), jnp.array([True, False])
    matches = match_cells(support, query, both, both)
    np.testing.assert_array_equal(matches.forward, [0, 0])
    np.testing.assert_array_equal(matches.backward, [1, 1])
    np.testing.assert_allclose(matches.similarity, [0.96, 0.8], atol=1e-6)
    np.testing.assert_array_equal(forward_matched(matches, foreground), [True, False])
    assert not cycle_consistent(matches, foreground).any()


def test_foreground_everywhere_accepts_and_nowhere_rejects_every_match():
    rng = np.random.default_rng(1)
    forward, backward = rng.integers(0, QUERY, SUPPORT), rng.integers(0, SUPPORT, QUERY)
    matches = Matches(jnp.asarray(forward), jnp.asarray(backward), jnp.zeros(QUERY))
    everywhere, nowhere = jnp.ones(SUPPORT, bool), jnp.zeros(SUPPORT, bool)
    accepted = cycle_consistent(matches, everywhere)
    np.testing.assert_array_equal(np.flatnonzero(accepted), np.unique(forward))
    np.testing.assert_array_equal(accepted, forward_matched(matches, everywhere))
    assert not forward_matched(matches, nowhere).any()
    assert not cycle_consistent(matches, nowhere).any()


@pytest.mark.parametrize("episodes", [1, 3])
def test_the_whole_matrix_of_cosines_is_never_held(episodes):
    """Not for several episodes of one query, either: each holds its own tile."""
    cells = 81 * 81

    def comparison(support, query, valid, foreground):
        return cycle_consistent(cycle.match_cells(support, query, valid, valid, tile=256), foreground)

    features = jax.ShapeDtypeStruct((cells, 8), jnp.float32)
    flags = jax.ShapeDtypeStruct((cells,), bool)
    supports, foregrounds = (jax.ShapeDtypeStruct((episodes, *x.shape), x.dtype) for x in (features, flags))
    of_one_query = jax.jit(jax.vmap(comparison, (0, None, None, 0)))
    memory = of_one_query.lower(supports, features, flags, foregrounds).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 40e6 * episodes < 4 * cells**2
