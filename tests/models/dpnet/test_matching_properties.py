"""The cycle comparison and what is pooled by it, for any cells: cosines are exact, so that ties come up."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsjax.models.dpnet import cycle, pseudo_prototype
from tests.models.dpnet import reference

match_cells = jax.jit(cycle.match_cells, static_argnames="tile")
hits_and_cycles = jax.jit(lambda *of: (cycle.forward_matched(*of), cycle.cycle_consistent(*of)))
soft_mask = jax.jit(pseudo_prototype.soft_mask, static_argnums=1, static_argnames="aligned")
foreground_cells = jax.jit(pseudo_prototype.foreground_cells)
pseudo_prototypes = jax.jit(pseudo_prototype.pseudo_prototypes)

# Norms of 0, 1 and 2, so that a cosine is a multiple of a quarter, which float32 holds.
_SIGNS = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
DIRECTIONS = np.concatenate([np.zeros((1, 4)), np.eye(4), -np.eye(4), _SIGNS]).astype(np.float32)

shapes = st.sampled_from([(6, 5, 8), (7, 3, 3)])  # cells of the support and the query, and the tile


@st.composite
def pairs(draw):
    """Features and valid cells of a support and a query, the support's foreground, and the tile."""
    support, query, tile = draw(shapes)
    numbers = st.integers(0, len(DIRECTIONS) - 1)
    features = [DIRECTIONS[draw(arrays(np.int8, n, elements=numbers))] for n in (support, query)]
    valid = [draw(arrays(bool, n).filter(np.any)) for n in (support, query)]
    foreground = draw(arrays(bool, support)) & valid[0]
    return (*features, *valid), foreground, tile


def loops(support, query, support_valid, query_valid):
    """The first most similar cell forwards and backwards, and the backward match's cosine."""

    def best(one, others, valid):
        found, most = None, None
        for j in np.flatnonzero(valid):
            lengths = float(np.sqrt((one @ one) * (others[j] @ others[j])))
            similarity = float(one @ others[j]) / lengths if lengths else 0.0
            if most is None or similarity > most:
                found, most = int(j), similarity
        return found, most

    forward = [best(one, query, query_valid)[0] for one in support]
    return forward, *zip(*[best(one, support, support_valid) for one in query], strict=True)


@given(pairs())
def test_matches_and_cycles_are_the_loops(pair):
    arguments, foreground, tile = pair
    ours = match_cells(*arguments, tile=tile)
    forward, backward, similarity = loops(*arguments)
    np.testing.assert_array_equal(ours.forward, forward)
    np.testing.assert_array_equal(ours.backward, backward)
    np.testing.assert_array_equal(ours.similarity, similarity)
    hits = {forward[i] for i in np.flatnonzero(foreground)}
    expected = hits, {j for j in hits if foreground[backward[j]]}
    for found, wanted in zip(hits_and_cycles(ours, foreground), expected, strict=True):
        assert set(np.flatnonzero(found).tolist()) == wanted


def cosines(support, query):
    """All of them, [support, query], which are exact."""
    units = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1) for x in (support, query)]
    return units[0] @ units[1].T


@given(pairs(), st.randoms(use_true_random=False))
def test_permuting_the_supports_cells_permutes_its_matches(pair, random):
    (support, query, support_valid, query_valid), foreground, tile = pair
    order = np.array(random.sample(range(len(support)), len(support)))
    ours = match_cells(support, query, support_valid, query_valid, tile=tile)
    again = match_cells(support[order], query, support_valid[order], query_valid, tile=tile)
    np.testing.assert_array_equal(np.asarray(ours.forward)[order], again.forward)
    np.testing.assert_array_equal(ours.similarity, again.similarity)
    hits = hits_and_cycles(ours, foreground)[0], hits_and_cycles(again, foreground[order])[0]
    np.testing.assert_array_equal(*hits)
    backward = order[np.asarray(again.backward)]  # of equally similar cells it may be another
    assert support_valid[backward].all()
    np.testing.assert_array_equal(cosines(support, query)[backward, range(len(query))], ours.similarity)


@given(pairs(), arrays(np.int8, (12, 1), elements=st.integers(-10, 40)))
def test_lengths_of_powers_of_two_change_no_bit(pair, exponents):
    (support, query, *valid), _, tile = pair
    factors = np.float32(2.0) ** exponents
    longer = factors[: len(support)] * support, factors[-len(query) :] * query
    ours = match_cells(support, query, *valid, tile=tile)
    jax.tree.map(np.testing.assert_array_equal, ours, match_cells(*longer, *valid, tile=tile))


@given(pairs(), arrays(np.float32, (12, 1), elements=st.floats(2.0**-10, 2.0**40, width=32)))
def test_of_other_lengths_the_match_is_as_similar(pair, factors):
    (support, query, *valid), _, tile = pair
    longer = factors[: len(support)] * support, factors[-len(query) :] * query
    ours, again = (match_cells(*x, *valid, tile=tile) for x in ((support, query), longer))
    exact = cosines(support, query)
    rows, columns = range(len(support)), range(len(query))
    np.testing.assert_array_equal(exact[rows, again.forward], exact[rows, ours.forward])
    np.testing.assert_array_equal(exact[again.backward, columns], exact[ours.backward, columns])
    np.testing.assert_allclose(again.similarity, ours.similarity, atol=1e-6)
    assert valid[0][again.backward].all()
    assert valid[1][again.forward].all()


@given(pairs(), arrays(bool, 7))
def test_more_foreground_never_matches_less(pair, more):
    arguments, foreground, tile = pair
    ours = match_cells(*arguments, tile=tile)
    larger = foreground | (more[: len(foreground)] & arguments[2])
    less, more = (np.asarray(hits_and_cycles(ours, of)) for of in (foreground, larger))
    assert not (less & ~more).any()
    hits, cycles = more
    assert not (cycles & ~hits).any()
    assert not hits[~arguments[3]].any()


@given(st.permutations(range(1, 9)), arrays(bool, 6))
def test_a_photo_matches_itself_cell_by_cell(order, foreground):
    photo, everywhere = DIRECTIONS[order[:6]], np.ones(6, bool)  # directions that differ
    ours = match_cells(photo, photo, everywhere, everywhere, tile=2)
    np.testing.assert_array_equal(ours.forward, range(6))
    np.testing.assert_array_equal(ours.backward, range(6))
    np.testing.assert_array_equal(hits_and_cycles(ours, foreground)[1], foreground)


# ---- prototypes and pseudo-prototypes ----

GRID, PICTURE = (4, 5), (9, 11)


@pytest.mark.parametrize("aligned", [True, False])
@given(
    arrays(bool, PICTURE, elements=st.sampled_from([False, False, False, True])),
    st.tuples(*(st.integers(1, length) for length in GRID)),
    st.tuples(*(st.integers(1, length) for length in PICTURE)),
)
def test_an_object_of_any_size_keeps_a_cell_and_padding_has_none(aligned, selected, cells, pixels):
    mask = soft_mask(selected, GRID, np.int32(cells), np.int32(pixels), aligned=aligned)
    inside = selected[: pixels[0], : pixels[1]]
    expected = np.zeros(GRID)
    expected[: cells[0], : cells[1]] = reference.soft_mask(inside, *cells, aligned)
    np.testing.assert_allclose(mask, expected, atol=1e-5)
    assert np.asarray(mask).max() <= 1 + 1e-6
    found = np.asarray(foreground_cells(mask))
    assert found.any() == inside.any()
    assert not (found & (np.asarray(mask) == 0)).any()


B, N, Q, K, C = 1, 2, 2, 2, 3  # Q queries
h, w = 2, 3
whole = st.integers(-8, 8)


@given(
    arrays(np.int8, (B, Q, h, w, C), elements=whole).map(np.float32),
    arrays(np.int8, (B, Q, h, w, C), elements=whole).map(np.float32),
    arrays(bool, (B, N, Q, K, h * w)),
    arrays(np.int8, (B, N, K, C), elements=whole).map(np.float32),
)
def test_a_pseudo_prototype_is_the_mean_of_its_cells_alone(queries, others, selected, prototypes):
    ours = pseudo_prototypes(queries, selected, prototypes)
    for b, n, t, k in np.ndindex(B, N, Q, K):
        found = [queries[b, t, q // w, q % w] for q in np.flatnonzero(selected[b, n, t, k])]
        expected = sum(found) / len(found) if found else prototypes[b, n, k]
        np.testing.assert_allclose(ours[b, n, t, k], expected, rtol=1e-6)
    used = selected.any((1, 3)).reshape(B, Q, h, w, 1)
    elsewhere = pseudo_prototypes(np.where(used, queries, others), selected, prototypes)
    np.testing.assert_array_equal(ours, elsewhere)
