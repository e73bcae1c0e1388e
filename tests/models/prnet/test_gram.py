"""Gram maps agree with matrices of channels by channels, and PRNet without them is what it was."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.prnet import gram
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.gram import Score, gram_energy, gram_maps, of_classes, support_cells
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.prnet.prototypes import masks_by_way
from tests.models.fssdino import reference as fssdino
from tests.models.prnet import reference
from tests.models.tiny import linear_backbone, random_task

METHOD = PRNet(linear_backbone())
GRAM = FusionSettings(gram=True)
SHAPE, SIZES = (25, 30), np.int32([[25, 11], [24, 30], [9, 28]])


def random_cells(seed, N=2, K=2, h=3, w=4, c=6):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, K, h, w, c)).astype(np.float32)
    weights = rng.random((N + 1, N * K * h * w)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.4] = 0
    return features, weights, rng.normal(size=(2, h, w, c)).astype(np.float32)


def supports_of(features, weights):
    return support_cells(jnp.asarray(features), jnp.asarray(weights))


@pytest.mark.parametrize("tile", [5, 7, 48, 10_000])
def test_energies_are_those_of_the_matrix(monkeypatch, tile):
    monkeypatch.setattr(gram, "TILE", tile)
    features, weights, queries = random_cells(0)
    energy = gram_energy(jnp.asarray(queries), supports_of(features, weights))
    flat = features.reshape(-1, 6).astype(np.float64)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    for n, of_class in enumerate(weights):
        matrix = np.einsum("i,ic,id->cd", of_class / of_class.sum(), unit, unit)
        expected = np.einsum("thwc,cd,thwd->thw", queries, matrix, queries)
        np.testing.assert_allclose(energy[..., n], expected, rtol=1e-5, atol=1e-6)


def test_maps_reach_from_0_to_1_over_the_valid_cells():
    features, weights, queries = random_cells(1)
    weights[1] = 0  # a class without cells
    cells = np.int32([[3, 4], [2, 3]])
    queries[1, 2:], queries[1, :, 3:] = 50, 60
    maps = gram_maps(jnp.asarray(queries), jnp.asarray(cells), supports_of(features, weights))
    maps = np.asarray(maps)
    for one, (h, w) in zip(maps, cells, strict=True):
        valid = one[:h, :w]
        np.testing.assert_allclose(valid.min((0, 1)), 0, atol=1e-6)
        np.testing.assert_allclose(valid.max((0, 1)), [1, 0, 1], atol=1e-5)
        assert not one[h:].any()
        assert not one[:, w:].any()


def test_cells_are_of_background_and_of_their_own_way():
    shown = np.arange(2 * 3 * 2 * 2 * 2).reshape(2, 3, 2, 2, 2).astype(np.float32) + 1
    present = np.array([[True, True, False], [True, False, True]])
    found = np.asarray(of_classes(jnp.asarray(shown), jnp.asarray(present))).reshape(3, 2, 3, 2, 2)
    for n, k in np.ndindex(2, 3):
        there = float(present[n, k])
        np.testing.assert_array_equal(found[0, n, k], there * shown[n, k, 1])
        np.testing.assert_array_equal(found[1 + n, n, k], there * shown[n, k, 0])
        assert not found[2 - n, n, k].any()


def test_a_score_is_the_largest_times_the_mean_of_what_is_known():
    maps = np.random.default_rng(2).normal(size=(4, 3, 5, 2)).astype(np.float32)
    known = np.array([[1, 0], [1, 1], [0, 0], [1, 1]], bool)
    score = Score.begin((3, 5, 2))
    np.testing.assert_array_equal(score.value, 0)
    for one, has in zip(maps, known, strict=True):
        score = score.add(jnp.asarray(one), jnp.asarray(has))
    for n in range(2):
        own = maps[known[:, n], ..., n]
        np.testing.assert_allclose(score.value[..., n], own.max(0) * own.mean(0), rtol=1e-5)


def described(method, task):
    describe = jax.vmap(jax.vmap(method.describe, (None, 0, 0, 0)), (None, 0, 0, 0))
    masks = masks_by_way(jnp.asarray(task.episode.support_masks))
    return jax.jit(describe)({}, task.supports, masks, task.episode.support_sizes)


def segmented(method, task, settings=GRAM):
    @jax.jit
    def run(descriptions, present, queries, sizes):
        known = method.fit({}, descriptions, present)
        return method.segment({}, known, queries, SHAPE, sizes, settings)

    present = np.ones(task.episode.support_masks.shape[:2], bool)
    return run(described(method, task), present, task.queries, SIZES[: len(task.query_list)])


def weights_of(features, mask, label):
    """How much of each cell, enlarged to the mask, lies under a label."""
    h, w, _ = features.shape
    found = np.empty((h, w))
    for place in np.ndindex(h, w):
        one = np.zeros((h, w, 1))
        one[place] = 1
        found[place] = reference.upsample(one, *mask.shape)[..., 0][mask == label].sum()
    return found.ravel()


@pytest.mark.parametrize(("ways", "shots", "queries"), [(1, 1, 1), (2, 2, 3)])
def test_agrees_with_loops(ways, shots, queries):
    task = random_task(21, ways, shots, queries)
    method = METHOD.suited(GRAM)
    ours = segmented(method, task)
    p_s = reference.support_prototypes(task.support_list, task.support_masks)
    stages = reference.fuse(task.query_list, p_s)
    grams = []
    for n in range(ways + 1):
        pairs = [
            (features, weights_of(features, mask, n))
            for way in (range(ways) if n == 0 else [n - 1])
            for features, mask in zip(task.support_list[way], task.support_masks[way], strict=True)
        ]
        cells = np.concatenate([features.reshape(-1, features.shape[-1]) for features, _ in pairs])
        weights = np.concatenate([weights for _, weights in pairs])
        grams.append(
            [fssdino.gram_map(query, cells.astype(np.float64), weights) for query in task.query_list]
        )
    for maps, wanted in zip(ours.values(), stages, strict=True):
        for t, (similarities, (height, width)) in enumerate(zip(wanted, SIZES, strict=False)):
            for n in range(ways + 1):
                expected = 20 * fssdino.score([similarities[..., n], grams[n][t]], height, width)
                np.testing.assert_allclose(maps[t, :height, :width, n], expected, atol=2e-4)


def test_without_it_everything_is_bit_for_bit_the_same():
    task = random_task(22, 2, 2, 2)
    plain, able = METHOD, replace(METHOD, gram=True)
    assert jax.tree.leaves(described(plain, task)[0]) == []
    for name, maps in segmented(plain, task, FusionSettings()).items():
        np.testing.assert_array_equal(maps, segmented(able, task, FusionSettings())[name])
        assert (np.asarray(maps) != np.asarray(segmented(able, task)[name])).any()


def test_a_method_suits_its_settings_and_keeps_what_others_need():
    assert METHOD.suited(FusionSettings()) is METHOD
    able = METHOD.suited(GRAM)
    assert able == replace(METHOD, gram=True)
    assert able.suited(FusionSettings()) is able
