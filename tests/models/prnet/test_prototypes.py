"""Masked average pooling and cosines agree with pixels pooled one by one; emptiness is never a NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.prnet import prototypes
from tests.models.prnet import reference
from tests.models.tiny import random_task

RNG = np.random.default_rng(0)

support_prototypes = jax.jit(prototypes.support_prototypes)


def arguments(task):
    episode = task.episode
    return task.supports.map, episode.support_masks, task.supports.sizes, episode.support_sizes


def assert_prototypes(ours, expected):
    np.testing.assert_array_equal(ours.present, [vector is not None for vector in expected])
    for vector, wanted in zip(ours.vectors, expected, strict=True):
        wanted = np.zeros_like(vector) if wanted is None else wanted
        np.testing.assert_allclose(vector, wanted, rtol=1e-5, atol=1e-5)


def test_pooling_equals_averaging_upsampled_features_at_the_papers_size():
    features = RNG.normal(size=(53, 53, 8)).astype(np.float32)
    mask = RNG.random((417, 417)) < 0.3
    full = reference.upsample(features, 417, 417)
    pool = jax.jit(prototypes.masked_average_pooling)
    size, pixels = jnp.int32([53, 53]), jnp.int32([417, 417])
    for selected in (mask, ~mask):
        ours = pool(features, selected, size, pixels)
        assert ours.means.dtype == jnp.float32
        np.testing.assert_allclose(ours.means, full[selected].mean(0), atol=1e-5)
    for row, column in [(0, 0), (416, 416), (100, 301)]:  # no single pixel vanishes
        selected = np.zeros((417, 417), bool)
        selected[row, column] = True
        ours = pool(features, selected, size, pixels)
        assert ours.present
        np.testing.assert_allclose(ours.means, full[row, column], atol=1e-5)


@pytest.mark.parametrize(("ways", "shots"), [(1, 1), (2, 5), (3, 2)])
def test_support_prototypes(ways, shots):
    task = random_task(ways, ways, shots)
    ours = support_prototypes(*arguments(task))
    assert_prototypes(ours, reference.support_prototypes(task.support_list, task.support_masks))


def test_shots_without_a_class_are_left_out_of_the_average():
    task = random_task(1, 2, 5)
    masks = np.array(task.episode.support_masks)
    masks[0, 1] = np.where(masks[0, 1] == 1, 0, masks[0, 1])  # way 1 lacks a shot,
    masks[1] = np.where(masks[1] == 2, 255, masks[1])  # way 2 all of them,
    masks[1, 3] = 255  # and one shot is nothing but void
    task.support_masks[0][1][task.support_masks[0][1] == 1] = 0
    for mask in task.support_masks[1]:
        mask[mask == 2] = 255
    task.support_masks[1][3][:] = 255
    features, _, cells, pixels = arguments(task)
    ours = support_prototypes(features, masks, cells, pixels)
    expected = reference.support_prototypes(task.support_list, task.support_masks)
    assert expected[2] is None
    assert_prototypes(ours, expected)


def test_leaving_one_out_is_forgetting_a_shot():
    task = random_task(2, 2, 3)
    ours = jax.jit(prototypes.leave_one_out_prototypes)(*arguments(task))
    assert ours.vectors.shape == (3, 3, 5)
    for k in range(3):
        kept = [j for j in range(3) if j != k]
        without = [
            [[way[j] for j in kept] for way in field] for field in (task.support_list, task.support_masks)
        ]
        one = jax.tree.map(lambda field, k=k: field[k], ours)
        assert_prototypes(one, reference.support_prototypes(*without))


def test_an_empty_mask_is_zero_and_absent_with_finite_gradients():
    features = RNG.normal(size=(2, 1, 5, 6, 5)).astype(np.float32)
    masks = jnp.zeros((2, 1, 17, 20), jnp.uint8)
    cells, pixels = jnp.full((2, 1, 2), 5), jnp.full((2, 1, 2), 17)

    def similarity(features):
        pooled = prototypes.support_prototypes(features, masks, cells, pixels)
        return jnp.sum(prototypes.cosine_map(features[0, 0], pooled.vectors)), pooled

    (value, pooled), gradient = jax.jit(jax.value_and_grad(similarity, has_aux=True))(features)
    np.testing.assert_array_equal(pooled.present, [True, False, False])
    np.testing.assert_array_equal(pooled.vectors[1:], 0)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_cosine_map():
    features = RNG.normal(size=(4, 3, 5)).astype(np.float32)
    vectors = RNG.normal(size=(3, 5)).astype(np.float32)
    features[1, 2] = 0
    vectors[2] = 1e3 * features[0, 0]
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(
            np.einsum("hwc,nc->hwn", features, vectors)
            / (np.linalg.norm(features, axis=-1)[..., None] * np.linalg.norm(vectors, axis=-1))
        )
    ours = jax.jit(prototypes.cosine_map)(features, vectors)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(ours[0, 0, 2], 1, atol=1e-6)
    assert np.abs(ours).max() <= 1 + 1e-6


def test_prediction_knows_present_classes_and_padding():
    similarities = RNG.normal(size=(4, 5, 3)).astype(np.float32)
    similarities[0, 0] = [-0.9, 1, -0.95]
    ours = jax.jit(prototypes.predicted_classes)(
        similarities, jnp.array([True, False, True]), jnp.array([3, 4])
    )
    expected = np.full((4, 5), 255)
    for y, x in np.ndindex(3, 4):
        expected[y, x] = 0 if similarities[y, x, 0] >= similarities[y, x, 2] else 2
    np.testing.assert_array_equal(ours, expected)


def test_query_prototypes_average_the_queries_that_hold_a_class():
    features = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    masks = RNG.integers(0, 2, (3, 4, 5))
    masks[0, 1, 1] = 2  # class 2 is one cell of one query, class 3 nowhere
    selected = jnp.asarray(masks[..., None] == np.arange(4))
    joint, each = jax.jit(prototypes.query_prototypes)(features, selected)
    assert_prototypes(joint, reference.query_prototypes(features, masks, 4))
    for t in range(3):
        one = jax.tree.map(lambda field, t=t: field[t], each)
        assert_prototypes(one, reference.query_prototypes(features[t : t + 1], masks[t : t + 1], 4))
