"""FSSDINO agrees with loops, and what is no cell of a class changes nothing."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import Features
from fsjax.models.fssdino.clustering import Clustering, first_cells, keys_of_classes
from fsjax.models.fssdino.fssdino import FSSDINO, nearest_labels
from fsjax.models.layers.cross_entropy import ABSENT
from fsjax.models.method import Adaptable, Comparing, Networked, Trainable
from fsjax.models.prnet.gram import of_classes
from fsjax.models.prnet.prototypes import masks_by_way
from tests.models.fssdino import reference
from tests.models.tiny import linear_backbone, random_task

METHOD = FSSDINO(linear_backbone(), clustering=Clustering(clusters=2))
SHAPE, SIZES = (25, 30), np.int32([[25, 11], [24, 30], [9, 28]])


def with_clusters(clusters, seed=0):
    return METHOD.suited(Clustering(clusters=clusters, seed=seed))


def described(method, supports, masks, sizes):
    describe = jax.vmap(jax.vmap(method.describe, (None, 0, 0, 0)), (None, 0, 0, 0))
    supports, masks, sizes = jax.tree.map(jnp.asarray, (supports, masks, sizes))
    return describe({}, supports, masks_by_way(masks), sizes)


def fitted(method, supports, masks, sizes, present=None):
    present = np.ones(masks.shape[:2], bool) if present is None else present
    return method.fit({}, described(method, supports, masks, sizes), jnp.asarray(present))


@partial(jax.jit, static_argnames="method")
def segmented(method, supports, masks, sizes, queries, present=None):
    known = fitted(method, supports, masks, sizes, present)
    queries = Features(*map(jnp.asarray, queries))
    pixels = jnp.asarray(SIZES[: len(queries.map)])
    return method.segment({}, known, queries, SHAPE, pixels, method.clustering)


def of_task(method, task, present=None):
    episode = task.episode
    arrays = episode.support_masks, episode.support_sizes
    return segmented(method, task.supports, *arrays, task.queries, present)


def prototypes_of(method, task, cells):
    """Those of the loops, which begin with the cells that the method draws."""
    episode, clustering = task.episode, method.clustering
    _, shown = described(method, task.supports, episode.support_masks, episode.support_sizes)
    members = of_classes(shown, jnp.ones(shown.shape[:2], bool))
    keys = keys_of_classes(clustering.seed, len(members))
    found = []
    for of_class, member, (begin, _) in zip(cells, members, keys, strict=True):
        first = np.zeros(clustering.clusters, int)  # of no account where they are more than the cells
        if len(of_class) >= clustering.clusters:
            first = (np.cumsum(member) - 1)[np.asarray(first_cells(member, begin, clustering.clusters))]
        found.append(reference.k_means(of_class, first))
    return found


def test_it_has_a_network_and_learns_nothing():
    assert isinstance(METHOD, Networked)
    assert isinstance(METHOD, Comparing)
    assert not isinstance(METHOD, Trainable | Adaptable)
    assert METHOD.frozen
    assert hash(METHOD) == hash(replace(METHOD))
    assert METHOD.init(jax.random.key(0))["head"] == {}
    assert METHOD.suited(Clustering(clusters=7)).clustering.clusters == 7


@pytest.mark.parametrize(
    ("seed", "ways", "shots", "queries", "clusters"),
    [(1, 1, 1, 1, 2), (2, 2, 2, 3, 3), (3, 1, 3, 2, 1), (4, 2, 1, 2, 40), (5, 1, 5, 1, 5)],
)
def test_agrees_with_loops(seed, ways, shots, queries, clusters):
    task, method = random_task(seed, ways, shots, queries), with_clusters(clusters)
    cells = reference.cells_of_classes(task.support_list, task.support_masks)
    assert all(cells)
    assert (clusters == 40) == any(len(of_class) < clusters for of_class in cells)
    prototypes = prototypes_of(method, task, cells)
    ours = of_task(method, task)
    assert METHOD.outputs == ("prototypes", "fssdino")
    assert set(ours) == set(METHOD.outputs)
    for t, (query, (height, width)) in enumerate(zip(task.query_list, SIZES, strict=False)):
        expected = reference.segment(query, cells, prototypes, height, width)
        for name, wanted in zip(METHOD.outputs, expected, strict=True):
            found = ours[name][t, :height, :width]
            np.testing.assert_allclose(found, 20 * np.stack(wanted, -1), atol=2e-4)


def test_compiled_or_not_it_is_the_same():
    task = random_task(6, 1, 1, 1)
    with jax.disable_jit():
        plain = of_task(METHOD, task)
    for name, maps in of_task(METHOD, task).items():
        np.testing.assert_allclose(maps, plain[name], atol=1e-4)


def test_padding_changes_nothing():
    """Neither how wide it is nor what lies in it, and so for the cells that the clusters begin with."""
    task = random_task(7, 2, 2, 2)
    rng = np.random.default_rng(0)

    def wider(maps, by):
        lead = maps.shape[:-3]
        wide = rng.normal(size=(*lead, maps.shape[-3] + by, maps.shape[-2] + 2 * by, maps.shape[-1]))
        wide = wide.astype(np.float32)
        wide[..., : maps.shape[-3], : maps.shape[-2], :] = maps
        return wide

    masks = np.ones((2, 2, 30, 41), np.uint8)
    masks[:, :, :17, :20] = task.episode.support_masks
    padded = task._replace(
        supports=Features(wider(task.supports.map, 3), task.supports.sizes),
        queries=Features(wider(task.queries.map, 2), task.queries.sizes),
        episode=task.episode._replace(support_masks=masks),
    )
    for name, maps in of_task(METHOD, task).items():
        np.testing.assert_allclose(of_task(METHOD, padded)[name], maps, atol=1e-4)


def test_shots_together_are_one_photo_of_all_their_cells():
    rng = np.random.default_rng(8)
    features = rng.normal(size=(1, 3, 4, 5, 6)).astype(np.float32)
    masks = rng.integers(0, 2, (1, 3, 12, 15)).astype(np.uint8)
    queries = Features(rng.normal(size=(2, 4, 5, 6)).astype(np.float32), np.full((2, 2), (4, 5), np.int32))
    cells, pixels = np.int32([[[4, 5]] * 3]), np.int32([[[12, 15]] * 3])
    shots = segmented(METHOD, Features(features, cells), masks, pixels, queries)
    tall = Features(features.reshape(1, 1, 12, 5, 6), np.int32([[[12, 5]]]))
    union = segmented(METHOD, tall, masks.reshape(1, 1, 36, 15), np.int32([[[36, 15]]]), queries)
    for name in METHOD.outputs:
        np.testing.assert_allclose(shots[name], union[name], atol=1e-5)


def test_shots_that_are_absent_are_not_looked_at():
    task, present = random_task(9, 2, 3), np.array([[True, False, True], [True, True, False]])
    maps, masks = task.supports.map.copy(), task.episode.support_masks.copy()
    maps[~present], masks[~present] = 7, 1
    other = task._replace(
        supports=task.supports._replace(map=maps), episode=task.episode._replace(support_masks=masks)
    )
    ours, others = of_task(METHOD, task, present), of_task(METHOD, other, present)
    for name in METHOD.outputs:
        np.testing.assert_array_equal(ours[name], others[name])
        assert (np.asarray(of_task(METHOD, task)[name]) != np.asarray(ours[name])).any()


def test_void_cells_are_of_no_class():
    task = random_task(10, 1, 2, void=0.4)
    maps = task.supports.map.copy()
    for k, mask in enumerate(task.support_masks[0]):
        labels = reference.labels_of_cells(mask, *task.support_list[0][k].shape[:2])
        assert (labels == 255).any()
        rows, columns = np.nonzero(labels == 255)
        maps[0, k, rows, columns] = 1e3
    void = task._replace(supports=task.supports._replace(map=maps))
    ours, others = of_task(METHOD, task), of_task(METHOD, void)
    for name in METHOD.outputs:
        np.testing.assert_array_equal(ours[name], others[name])


@pytest.mark.parametrize(("label", "absent"), [(1, 0), (0, 1), (255, 0)])
def test_a_class_without_cells_is_absent(label, absent):
    task = random_task(11, 1, 1)
    masks = np.full_like(task.episode.support_masks, label)
    found = of_task(METHOD, task._replace(episode=task.episode._replace(support_masks=masks)))
    for maps in found.values():
        assert (maps[..., absent] == ABSENT).all()
        assert np.isfinite(maps).all()
        assert (maps[..., 1 - absent] > ABSENT).all() or label == 255


def test_the_seed_decides_and_nothing_else_does():
    task = random_task(12, 1, 3, channels=8)
    one, again, other = (of_task(with_clusters(4, seed), task)["fssdino"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (5, 6), (1, 1), (4, 2)])
def test_cells_have_the_label_of_one_pixel(rows, columns):
    mask = np.random.default_rng(rows).integers(0, 3, (17, 20)).astype(np.uint8)
    size, cells = np.int32([13, 19]), np.int32([rows, columns])
    found = nearest_labels(*map(jnp.asarray, (mask, size)), (6, 7), jnp.asarray(cells))
    np.testing.assert_array_equal(
        found[:rows, :columns], reference.labels_of_cells(mask[:13, :19], rows, columns)
    )
