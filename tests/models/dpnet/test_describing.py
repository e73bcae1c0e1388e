"""What DPNet keeps of a photo depends on that photo alone, and shots that are absent count for nothing."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.head import Switches
from fsjax.models.dpnet.losses import discriminator_loss, truth_of
from fsjax.models.dpnet.pseudo_prototype import Supports, mean_of_present
from tests.models.dpnet import reference
from tests.models.dpnet.toy import (
    METHOD,
    ONE,
    PARAMS,
    RATES,
    TWO,
    VARIABLES,
    assert_finite,
    described,
    draw,
    segment,
    segment_task,
)

SIZES = [[19, 23], [17, 20]]
describe = jax.jit(partial(METHOD.describe, VARIABLES))
segment_head = jax.jit(
    lambda *batch: METHOD.head.apply({"params": VARIABLES["head"]}, *batch, Switches(), 0.5, method="segment")
)


def assert_close(ours, theirs, atol=1e-6):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def without_shots(task, kept):
    """The same task with some of its shots only, as if there had never been others."""
    take = partial(np.take, indices=kept, axis=1)
    episode = task.episode
    return task._replace(
        supports=Features(*map(take, task.supports)),
        episode=episode._replace(
            support_masks=take(episode.support_masks), support_sizes=take(episode.support_sizes)
        ),
        support_list=[[way[k] for k in kept] for way in task.support_list],
        support_masks=[[way[k] for k in kept] for way in task.support_masks],
    )


def spoilt(descriptions, present):
    """The descriptions with all that is absent being NaN, or True."""

    def leaf(x):
        there = present.reshape(*present.shape, *(1,) * (x.ndim - 2))
        rubbish = np.nan if x.dtype == np.float32 else True
        return x if x.dtype == np.int32 else np.where(there, x, np.asarray(rubbish, x.dtype))

    return jax.tree.map(leaf, jax.tree.map(np.asarray, descriptions))


def test_a_description_is_what_the_paper_says_of_one_photo(tasks):
    for task in tasks[TWO]:
        cells, shown = described(task)
        for n, k in np.ndindex(2, 2):
            image, mask = task.support_list[n][k], task.support_masks[n][k] == n + 1
            h, w = image.shape[:2]
            soft = reference.soft_mask(mask, h, w)
            features = reference.merged(PARAMS, image)
            expected = (soft[..., None] * features).sum((0, 1)) / (soft.sum() + 5e-4)
            np.testing.assert_allclose(shown.prototype[n, k], expected, atol=1e-5)
            np.testing.assert_array_equal(cells.map[n, k, :h, :w], np.float32(reference.compared(image)))
            np.testing.assert_array_equal(cells.sizes[n, k], (h, w))
            foreground = shown.foreground[n, k].reshape(5, 6)
            assert {tuple(cell) for cell in np.argwhere(foreground)} == reference.foreground_cells(soft)


def test_void_and_other_ways_are_neither_foreground_nor_pooled(tasks):
    task = tasks[ONE][0]
    features = jax.tree.map(lambda x: x[0, 0], task.supports)
    size = task.episode.support_sizes[0, 0]
    mask = task.episode.support_masks[0, 0]
    as_background = np.where(mask == 255, 0, mask)
    assert (mask[: size[0], : size[1]] == 255).any()
    for ours, theirs in zip(
        jax.tree.leaves(describe(features, mask, size)),
        jax.tree.leaves(describe(features, as_background, size)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_several_masks_and_photos_at_once_are_described_as_one_by_one():
    task = draw(50, 1, 3, 1)
    photos, sizes = jax.tree.map(lambda x: x[0], (task.supports, task.episode.support_sizes))
    rng = np.random.default_rng(0)
    masks = rng.choice(np.uint8([0, 1, 255]), (3, 4, 17, 20))  # four of every photo
    of_photo = jax.vmap(partial(METHOD.describe, VARIABLES), (None, 0, None), out_axes=(None, 0))
    cells, shown = jax.jit(jax.vmap(of_photo))(photos, masks, sizes)
    assert cells.map.shape == (3, 5, 6, 6)
    for i, j in np.ndindex(3, 4):
        photo = jax.tree.map(lambda x: x[i], photos)  # noqa: B023
        of_cells, of_mask = describe(photo, masks[i, j], sizes[i])
        np.testing.assert_array_equal(cells.map[i], of_cells.map)
        np.testing.assert_allclose(shown.prototype[i, j], of_mask.prototype, atol=1e-6)
        np.testing.assert_array_equal(shown.foreground[i, j], of_mask.foreground)


def test_a_description_does_not_depend_on_other_photos(tasks):
    first, second = tasks[TWO]
    supports = Features(
        *(np.concatenate([a[:1], b[1:]]) for a, b in zip(first.supports, second.supports, strict=True))
    )
    mixed = first._replace(supports=supports)
    for ours, theirs in zip(
        jax.tree.leaves(described(mixed)), jax.tree.leaves(described(first)), strict=True
    ):
        np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize("kept", [[0, 2, 3], pytest.param([4], marks=pytest.mark.slow)])
def test_absent_shots_count_for_nothing(kept):
    task = draw(51, 2, 5, 2)
    present = np.zeros((2, 5), bool)
    present[:, kept] = True
    ours = segment(spoilt(described(task), present), present, task.queries, np.int32(SIZES))
    fewer = without_shots(task, kept)
    assert_finite(ours)
    assert_close(ours, segment_task(fewer, SIZES), atol=1e-5)
    everything = segment_task(task, SIZES)
    assert any(np.abs(ours[name] - everything[name]).max() > 1e-3 for name in ours)
    expected = reference.log_probabilities(PARAMS, fewer, "master", SIZES, rates=RATES, beta=0.2)
    for image, theirs in zip(ours["master"], expected, strict=True):
        np.testing.assert_allclose(image[: theirs.shape[0], : theirs.shape[1]], theirs, atol=1e-4)


@pytest.mark.slow
def test_ways_may_have_different_numbers_of_shots():
    task = draw(52, 2, 3, 2)
    present = np.array([[True, False, True], [False, True, False]])
    ours = segment(spoilt(described(task), present), present, task.queries, np.int32(SIZES))
    for n, kept in enumerate(([0, 2], [1])):
        alone = segment_task(without_shots(task, kept), SIZES)
        for name, maps in ours.items():
            np.testing.assert_allclose(maps[..., n + 1], alone[name][..., n + 1], atol=1e-5)


def test_a_way_without_shots_is_never_predicted():
    task = draw(53, 2, 2, 2)
    present = np.array([[True, True], [False, False]])
    ours = segment(spoilt(described(task), present), present, task.queries, np.int32(SIZES))
    both = segment_task(task, SIZES)
    for name, maps in ours.items():
        assert_finite(maps)
        assert maps[..., 2].max() < -1e3
        np.testing.assert_allclose(maps[..., 1], both[name][..., 1], atol=1e-5)
        np.testing.assert_allclose(np.exp(maps).sum(-1), 1, atol=1e-6)  # as if there were one way
    nothing = segment(described(task), np.zeros((2, 2), bool), task.queries, np.int32(SIZES))
    for maps in nothing.values():
        assert_finite(maps)
        np.testing.assert_array_equal(maps[..., 0], 0)


@pytest.mark.slow
def test_the_discriminators_loss_skips_absent_shots():
    task = draw(54, 2, 3, 2)
    kept = [0, 2]
    present = np.zeros((2, 3), bool)
    present[:, kept] = True

    def loss(task, descriptions, present):
        batch = descriptions, present, task.queries, task.episode
        (cells, shown), present, queries, episode = jax.tree.map(lambda x: jnp.asarray(x)[None], batch)
        found = segment_head(Supports(cells, shown, present), queries)
        truth = truth_of(episode.query_masks, queries.sizes, episode.query_mask_sizes, 2)
        return discriminator_loss(found, truth, present, Switches(), aligned=True)

    ours = loss(task, spoilt(described(task), present), present)
    fewer = without_shots(task, kept)
    np.testing.assert_allclose(ours, loss(fewer, described(fewer), np.ones((2, 2), bool)), rtol=1e-5)
    np.testing.assert_allclose(ours, reference.losses(PARAMS, fewer, rates=RATES)["dis_loss"], rtol=1e-4)


@pytest.mark.parametrize("shots", [1, 2, 3, 5, 7, 10])
def test_where_all_are_present_the_mean_is_the_ordinary_one_to_the_last_bit(shots):
    values = jnp.asarray(np.random.default_rng(shots).normal(size=(2, shots, 500)), jnp.float32)
    ours = jax.jit(lambda values: mean_of_present(values, jnp.ones((2, shots, 1), bool), 1))(values)
    np.testing.assert_array_equal(ours, jax.jit(lambda values: jnp.mean(values, 1))(values))
    given = jax.jit(partial(mean_of_present, axis=1))(values, jnp.ones((2, shots, 1), bool))
    np.testing.assert_array_equal(given, ours)


def test_a_relu_is_applied_where_the_backbone_awaits_one(tasks):
    task = tasks[ONE][0]
    rectified = task._replace(supports=task.supports._replace(map=np.maximum(task.supports.map, 0)))
    without = replace(METHOD, head=METHOD.head.clone(rectify=False))
    due, done, neither = (
        described(some, method=method)[1].prototype
        for some, method in ((task, METHOD), (rectified, without), (task, without))
    )
    np.testing.assert_allclose(due, done, atol=1e-6)
    assert np.abs(due - neither).max() > 1e-2


def test_a_photo_that_shows_nothing_of_a_class_is_absent():
    task = draw(51, 1, 3, 1)
    masks = task.episode.support_masks.copy()
    masks[0, 1] = 0
    describe_all = jax.jit(jax.vmap(jax.vmap(partial(METHOD.describe, VARIABLES))))
    descriptions = describe_all(task.supports, masks, task.episode.support_sizes)
    fitted = METHOD.fit(VARIABLES, descriptions, jnp.ones((1, 3), bool))
    np.testing.assert_array_equal(fitted.present, [[True, False, True]])
