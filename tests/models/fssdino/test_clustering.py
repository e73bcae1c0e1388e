"""The k-means of FSSDINO: at the end assignments are nearest by cosine, and centres are means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.fssdino import clustering
from fsjax.models.fssdino.clustering import Clustering, keys_of_classes

GROUPS = np.float32([[9, 0, 0], [0, 5, 0], [0, 0, 2]])


def cluster(cells, members, settings):
    return clustering.cluster(jnp.asarray(cells), jnp.asarray(members), settings)


def refined(cells, member, *others):
    return clustering.refined(jnp.asarray(cells), jnp.asarray(member), *others)


def first_cells(member, *others):
    return clustering.first_cells(jnp.asarray(member), *others)


def cells_in_groups(seed, count=40):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, count)
    cells = GROUPS[group] * rng.uniform(0.5, 2, (count, 1)) + 0.05 * rng.normal(size=(count, 3))
    return cells.astype(np.float32), group


def cosines(cells, centres):
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in map(np.float64, (cells, centres))]
    return unit[0] @ unit[1].T


@pytest.mark.parametrize("seed", range(5))
def test_assignments_are_nearest_and_centres_are_means(seed):
    rng = np.random.default_rng(seed)
    cells, members = rng.normal(size=(60, 4)).astype(np.float32), rng.random((3, 60)) < 0.5
    found = cluster(cells, members, Clustering(clusters=4, seed=seed))
    assert found.known.all()
    for centres, member in zip(np.asarray(found.vectors), members, strict=True):
        own = cells[member]
        nearest = cosines(own, centres).argmax(1)
        assert set(nearest) == set(range(4))
        means = [own[nearest == k].mean(0) for k in range(4)]
        np.testing.assert_allclose(centres, means, atol=1e-5)


def test_far_groups_are_told_apart_whatever_the_lengths_of_their_cells():
    cells, group = cells_in_groups(0)
    first = jnp.asarray(cells[[np.flatnonzero(group == k)[0] for k in range(3)]])
    centres = refined(cells, np.ones(len(cells), bool), first, jax.random.key(0), 50)
    for k in range(3):
        np.testing.assert_allclose(centres[k], cells[group == k].mean(0), rtol=1e-4, atol=1e-4)


def test_those_that_are_finished_stay_while_others_go_on():
    cells, _ = cells_in_groups(1)
    members = np.random.default_rng(1).random((4, len(cells))) < 0.6
    together = cluster(cells, members, Clustering(clusters=3))
    for number, member in enumerate(members):
        alone = np.zeros_like(members)
        alone[number] = member
        found = cluster(cells, alone, Clustering(clusters=3))
        np.testing.assert_allclose(found.vectors[number], together.vectors[number], atol=1e-5)


def test_iterations_end_it():
    cells, _ = cells_in_groups(2)
    first = jnp.asarray(cells[:3])
    member = np.ones(len(cells), bool)
    np.testing.assert_array_equal(refined(cells, member, first, jax.random.key(0), 0), first)
    once = refined(cells, member, first, jax.random.key(0), 1)
    nearest = cosines(cells, first).argmax(1)
    np.testing.assert_allclose(once, [cells[nearest == k].mean(0) for k in range(3)], atol=1e-5)


def test_an_empty_cluster_begins_anew_with_a_cell_of_the_class():
    cells, _ = cells_in_groups(3)
    member = np.arange(len(cells)) % 2 == 0
    first = jnp.asarray(np.stack([cells[0], cells[0], cells[2]]))  # of two equal centres the first has all
    drawn = {
        tuple(np.asarray(refined(cells, member, first, jax.random.key(seed), 1))[1].tolist())
        for seed in range(12)
    }
    own = {tuple(cell.tolist()) for cell in cells[member]}
    assert drawn <= own
    assert len(drawn) > 3
    assert np.isfinite(refined(cells, member, first, jax.random.key(0), 50)).all()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_cells_than_clusters_are_the_prototypes(count):
    cells, _ = cells_in_groups(4)
    member = np.zeros((1, len(cells)), bool)
    own = [5, 17, 30][:count]
    member[0, own] = True
    found = cluster(cells, member, Clustering(clusters=4))
    assert found.known.tolist() == [[True] * count + [False] * (4 - count)]
    vectors = np.asarray(found.vectors[0])
    assert not vectors[count:].any()
    np.testing.assert_array_equal(sorted(vectors[:count].tolist()), sorted(cells[own].tolist()))
    few = cluster(cells[own], np.ones((1, count), bool), Clustering(clusters=4)) if count else found
    assert few.known.tolist() == found.known.tolist()


def test_first_cells_are_different_ones_of_the_class_wherever_it_lies():
    member = np.random.default_rng(5).random(50) < 0.3
    seen = set()
    for number in range(20):
        key = jax.random.key(number)
        first = np.asarray(first_cells(member, key, 4))
        assert len(set(first.tolist())) == 4
        assert member[first].all()
        spread = np.zeros(120, bool)
        spread[2 * np.arange(50) + 7] = member
        np.testing.assert_array_equal(first_cells(spread, key, 4), 2 * first + 7)
        seen |= set(first.tolist())
    assert len(seen) > 10


def test_classes_have_keys_of_their_own():
    keys = jax.random.key_data(keys_of_classes(3, 4)).reshape(8, -1)
    assert len({tuple(key.tolist()) for key in keys}) == 8
    np.testing.assert_array_equal(jax.random.key_data(keys_of_classes(3, 2)).reshape(4, -1), keys[:4])
