"""Described, fitted and segmented: PRNet agrees with NumPy, and what is not there changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import Features
from fsjax.models.method import Adaptable, Explainable, Trainable
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from tests.models.prnet import reference
from tests.models.tiny import linear_backbone, random_task

METHOD = PRNet(linear_backbone())
OTHER_SIZES = np.int32([[25, 11], [24, 30], [9, 28]])


def mask_of_way(mask, way):
    """1 the way, 0 background, 255 what is neither."""
    shown = np.full_like(mask, 255)
    shown[mask == way] = 1
    shown[mask == 0] = 0
    return shown


def masks_of_ways(masks):
    return np.stack([mask_of_way(of_way, n) for n, of_way in enumerate(masks, 1)])


def described(supports, masks, sizes):
    """The description of each of [N, K] supports under its own way."""
    over_shots = jax.vmap(METHOD.describe, (None, 0, 0, 0))
    return jax.jit(jax.vmap(over_shots, (None, 0, 0, 0)))({}, supports, masks_of_ways(masks), sizes)


@jax.jit
def logits(descriptions, present, queries, sizes):
    fitted = METHOD.fit({}, descriptions, present)
    return METHOD.segment({}, fitted, queries, (25, 30), sizes, FusionSettings())


def segmented(task, present, descriptions=None):
    """Every output on labels of sizes that are neither the photos' nor one another's."""
    episode = task.episode
    if descriptions is None:
        descriptions = described(task.supports, episode.support_masks, episode.support_sizes)
    return logits(descriptions, np.asarray(present, bool), task.queries, OTHER_SIZES)


def only_shots(task, shots):
    """The task without its other shots."""
    episode = task.episode._replace(
        **{name: getattr(task.episode, name)[:, shots] for name in ("support_images", "support_masks")},
        support_sizes=task.episode.support_sizes[:, shots],
    )
    return task._replace(supports=Features(*(x[:, shots] for x in task.supports)), episode=episode)


def assert_close(left, right, **tolerance):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def test_it_is_a_method_that_can_be_trained_and_adapted():
    assert isinstance(METHOD, Trainable)
    assert isinstance(METHOD, Adaptable)
    assert isinstance(METHOD, Explainable)
    assert not METHOD.frozen
    assert hash(METHOD) == hash(PRNet(linear_backbone()))
    assert METHOD.init(jax.random.key(0))["head"] == {}


def test_segmentation_on_labels_of_another_size():
    task = random_task(31, 2, 2, 3)
    ours = segmented(task, np.ones((2, 2)))
    p_s = reference.support_prototypes(task.support_list, task.support_masks)
    stages = reference.fuse(task.query_list, p_s)
    assert tuple(ours) == METHOD.outputs == ("fusion0", "fusion1", "fusion2")
    for maps, wanted in zip(ours.values(), stages, strict=True):
        for image, similarities, (height, width) in zip(maps, wanted, OTHER_SIZES, strict=True):
            expected = reference.upsample(20 * similarities, height, width)
            np.testing.assert_allclose(image[:height, :width], expected, atol=1e-4)


def test_a_description_is_of_one_photo_and_one_mask_alone():
    """Whatever stands beside it or in the padding, a photo is described bit for bit the same."""
    task, other = random_task(40, 2, 2), random_task(41, 2, 2)
    rows, columns = task.episode.support_sizes[1, 0]
    mask = other.episode.support_masks.copy()
    mask[1, 0, :rows, :columns] = task.episode.support_masks[1, 0, :rows, :columns]
    maps, cells = (x.copy() for x in other.supports)
    high, wide = cells[1, 0] = task.supports.sizes[1, 0]
    maps[1, 0, :high, :wide] = task.supports.map[1, 0, :high, :wide]
    sizes = other.episode.support_sizes.copy()
    sizes[1, 0] = rows, columns
    alone = described(task.supports, task.episode.support_masks, task.episode.support_sizes)
    among = described(Features(maps, cells), mask, sizes)
    for one, two in zip(jax.tree.leaves(alone), jax.tree.leaves(among), strict=True):
        np.testing.assert_array_equal(one[1, 0], two[1, 0])
        assert (np.asarray(one) != np.asarray(two)).any() or one.dtype == bool


def test_a_description_is_the_terms_of_eq_1_and_holds_no_cells():
    task = random_task(42, 2, 2)
    cells, (way, background) = described(
        task.supports, task.episode.support_masks, task.episode.support_sizes
    )
    assert jax.tree.leaves(cells) == []
    for n, k in np.ndindex(2, 2):
        features, mask = task.support_list[n][k], task.support_masks[n][k]
        for pooled, selected in ((way, mask == n + 1), (background, mask == 0)):
            expected = reference.pool(features, selected)
            assert bool(pooled.present[n, k]) == (expected is not None)
            np.testing.assert_allclose(pooled.means[n, k], expected, atol=1e-5)


def test_five_shots_of_which_two_are_absent_are_three_shots():
    task, kept = random_task(43, 2, 5, 3), [0, 2, 3]
    present = np.zeros((2, 5), bool)
    present[:, kept] = True
    three = segmented(only_shots(task, kept), np.ones((2, 3)))
    assert_close(segmented(task, present), three, atol=1e-5)
    episode = task.episode
    spoiled = described(task.supports, episode.support_masks, episode.support_sizes)
    spoiled = jax.tree.map(
        lambda x: np.where(present.reshape(2, 5, *[1] * (x.ndim - 2)), x, x.dtype.type(1)), spoiled
    )
    assert_close(segmented(task, present, spoiled), three, atol=1e-5)
    everything = segmented(task, np.ones((2, 5)))
    assert np.abs(everything["fusion0"] - three["fusion0"]).max() > 1e-2


def test_ways_may_have_different_numbers_of_shots():
    """Way 1 by one shot, way 2 by three; background is averaged over the photos that are there."""
    task = random_task(44, 2, 3, 3)
    ours = segmented(task, [[False, True, False], [True, True, True]])
    pool, features, masks = reference.pool, task.support_list, task.support_masks
    there = [(0, 1), (1, 0), (1, 1), (1, 2)]
    p_s = [
        reference.average([pool(features[n][k], masks[n][k] == 0) for n, k in there]),
        pool(features[0][1], masks[0][1] == 1),
        reference.average([pool(features[1][k], masks[1][k] == 2) for k in range(3)]),
    ]
    for maps, wanted in zip(ours.values(), reference.fuse(task.query_list, p_s), strict=True):
        for image, similarities, (height, width) in zip(maps, wanted, OTHER_SIZES, strict=True):
            expected = reference.upsample(20 * similarities, height, width)
            np.testing.assert_allclose(image[:height, :width], expected, atol=1e-4)


@pytest.mark.parametrize("way", [1, 2])
def test_a_way_without_any_shot_is_never_predicted(way):
    """Its photos do not count as background either: the answer is that of the other way alone."""
    task = random_task(45, 2, 2, 3)
    present = np.ones((2, 2), bool)
    present[way - 1] = False
    ours = segmented(task, present)
    alone = jax.tree.map(
        lambda x: np.asarray(x)[2 - way :][:1],
        described(task.supports, task.episode.support_masks, task.episode.support_sizes),
    )
    expected = segmented(task, np.ones((1, 2)), alone)
    for name, values in ours.items():
        assert np.isfinite(values).all()
        assert (np.argmax(values, -1) != way).all()
        np.testing.assert_allclose(values[..., [0, 3 - way]], expected[name], atol=1e-5)


def test_nothing_present_is_finite():
    ours = segmented(random_task(46, 2, 2, 3), np.zeros((2, 2)))
    assert all(np.isfinite(values).all() for values in ours.values())


def test_gradients_are_finite_whatever_is_present():
    task = random_task(47, 2, 2, 3)
    episode, masks = task.episode, masks_of_ways(task.episode.support_masks)

    @jax.jit
    def gradient(maps, present):
        def total(maps):
            over_shots = jax.vmap(METHOD.describe, (None, 0, 0, 0))
            supports = Features(maps, jnp.asarray(task.supports.sizes))
            descriptions = jax.vmap(over_shots, (None, 0, 0, 0))({}, supports, masks, episode.support_sizes)
            found = logits(descriptions, present, task.queries, OTHER_SIZES)
            return sum(jnp.sum(values) for values in found.values())

        return jax.grad(total)(maps)

    for present in (np.zeros((2, 2), bool), np.array([[True, False], [False, False]])):
        found = np.asarray(gradient(task.supports.map, present))
        assert np.isfinite(found).all()
        assert not found[~present].any()
