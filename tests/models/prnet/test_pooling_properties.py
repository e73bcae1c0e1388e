"""Masked average pooling obeys its laws for any features, mask and sizes."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsjax.models.prnet import prototypes
from tests.models.prnet import reference

GRID, PICTURE, CHANNELS = (4, 5), (9, 11), 2  # with padding
NONE = 255

pool = jax.jit(prototypes.masked_average_pooling)
support_prototypes = jax.jit(prototypes.support_prototypes)
leave_one_out_prototypes = jax.jit(prototypes.leave_one_out_prototypes)
cosine_map = jax.jit(prototypes.cosine_map)
predicted_classes = jax.jit(prototypes.predicted_classes)


def whole(shape, most=8):
    """Small whole numbers, which float32 holds exactly; most of them differ."""
    return arrays(np.int8, shape, elements=st.integers(-most, most), fill=st.nothing()).map(np.float32)


def sizes(*most):
    return st.tuples(*(st.integers(1, length) for length in most))


features = whole((*GRID, CHANNELS))
masks = arrays(bool, PICTURE)


@given(features, masks, sizes(*GRID), sizes(*PICTURE))
def test_pooling_is_the_mean_of_upsampled_pixels_whatever_lies_in_the_padding(features, mask, cells, pixels):
    ours = pool(features, mask, np.int32(cells), np.int32(pixels))
    expected = reference.pool(features[: cells[0], : cells[1]], mask[: pixels[0], : pixels[1]])
    assert ours.present == (expected is not None)
    np.testing.assert_allclose(ours.means, np.zeros(CHANNELS) if expected is None else expected, atol=1e-4)


@given(features, features, whole((2,)), masks)
def test_pooling_is_linear_in_the_features(one, other, factors, mask):
    size = np.int32(GRID), np.int32(PICTURE)
    mixed = pool(factors[0] * one + factors[1] * other, mask, *size)
    apart = [pool(image, mask, *size).means for image in (one, other)]
    np.testing.assert_allclose(mixed.means, factors[0] * apart[0] + factors[1] * apart[1], atol=1e-3)


@given(features, masks, masks, sizes(*GRID), sizes(*PICTURE))
def test_two_parts_of_an_object_are_averaged_by_their_pixels(features, mask, half, cells, pixels):
    size = np.int32(cells), np.int32(pixels)
    parts = [mask & half, mask & ~half]
    areas = [int(part[: pixels[0], : pixels[1]].sum()) for part in parts]
    means = [np.float64(pool(features, part, *size).means) for part in parts]
    together = pool(features, mask, *size)
    expected = (areas[0] * means[0] + areas[1] * means[1]) / max(sum(areas), 1)
    np.testing.assert_allclose(together.means, expected, atol=1e-4)
    valid = features[: cells[0], : cells[1]]
    if together.present:  # an average lies between the least and the largest value
        assert (np.asarray(together.means) >= valid.min((0, 1)) - 1e-4).all()
        assert (np.asarray(together.means) <= valid.max((0, 1)) + 1e-4).all()


@given(features, masks, st.sampled_from([0, 1]))
def test_a_mirrored_photo_has_the_same_mean(features, mask, axis):
    size = np.int32(GRID), np.int32(PICTURE)
    ours, mirrored = pool(features, mask, *size), pool(np.flip(features, axis), np.flip(mask, axis), *size)
    assert ours.present == mirrored.present
    np.testing.assert_allclose(ours.means, mirrored.means, atol=1e-4)


# ---- several ways and shots ----

N, K = 2, 2
many = (
    whole((N, K, 3, 3, CHANNELS)),
    st.builds(
        lambda labels, lacking: np.where(labels == lacking, np.uint8(NONE), labels),  # a photo lacks a class
        arrays(np.uint8, (N, K, 5, 6), elements=st.sampled_from([0, 1, 2, NONE])),
        arrays(np.uint8, (N, K, 1, 1), elements=st.sampled_from([0, 1, 2, NONE])),
    ),
    arrays(np.int32, (N, K, 2), elements=st.integers(1, 3)),
    arrays(np.int32, (N, K, 2), elements=st.integers(1, 5)),
)


def cut(values, ends):
    """Lists by way and shot of the valid rectangles."""
    return [[values[n, k, : ends[n, k, 0], : ends[n, k, 1]] for k in range(K)] for n in range(N)]


def assert_alike(one, other):
    np.testing.assert_array_equal(one.present, other.present)
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-4)


@given(*many)
def test_support_prototypes_are_the_loops(features, masks, cells, pixels):
    ours = support_prototypes(features, masks, cells, pixels)
    expected = reference.support_prototypes(cut(features, cells), cut(masks, pixels))
    np.testing.assert_array_equal(ours.present, [vector is not None for vector in expected])
    vectors = [np.zeros(CHANNELS) if vector is None else vector for vector in expected]
    np.testing.assert_allclose(ours.vectors, vectors, atol=1e-4)


@given(*many)
def test_ways_and_shots_have_no_order(features, masks, cells, pixels):
    ours = support_prototypes(features, masks, cells, pixels)
    by_shot = [field[:, ::-1] for field in (features, masks, cells, pixels)]
    assert_alike(ours, support_prototypes(*by_shot))
    other_way = np.arange(256, dtype=np.uint8)
    other_way[[1, 2]] = [2, 1]
    by_way = [field[::-1] for field in (features, other_way[masks], cells, pixels)]
    swapped = support_prototypes(*by_way)
    assert_alike(ours, jax.tree.map(lambda field: np.asarray(field)[[0, 2, 1]], swapped))


@given(*many, st.integers(0, K - 1))
def test_a_shot_of_nothing_but_void_is_as_good_as_left_out(features, masks, cells, pixels, shot):
    masks[:, shot] = NONE
    without = leave_one_out_prototypes(features, masks, cells, pixels)
    ours = support_prototypes(features, masks, cells, pixels)
    assert_alike(ours, jax.tree.map(lambda field: np.asarray(field)[shot], without))


@jax.jit
@jax.grad
def gradient(features, masks, cells, pixels):
    pooled = prototypes.support_prototypes(features, masks, cells, pixels)
    return jnp.sum(jnp.square(prototypes.cosine_map(features[0, 0], pooled.vectors) - 0.3))


@given(*many, st.sampled_from([1e-30, 1e-7, 1e-6, 1.0, 1e6]))
def test_no_mask_and_no_feature_makes_a_gradient_infinite(features, masks, cells, pixels, scale):
    found = gradient(np.float32(scale) * features, masks, cells, pixels)
    assert np.isfinite(np.asarray(found)).all()


# ---- cosines ----


@given(whole((3, 4, 3)), whole((3, 3)), arrays(np.int8, (3, 4, 1), elements=st.integers(-8, 8)))
def test_cosines_are_bounded_and_know_no_length(features, vectors, exponents):
    ours = cosine_map(features, vectors)
    assert np.abs(np.asarray(ours)).max() <= 1 + 1e-6
    longer = np.float32(2.0) ** exponents
    np.testing.assert_array_equal(cosine_map(longer * features, vectors), ours)
    np.testing.assert_array_equal(cosine_map(-features, vectors), -np.asarray(ours))
    lengths = np.sqrt(np.square(features).sum(-1)[..., None] * np.square(vectors).sum(-1))
    dots = (features[..., None, :] * vectors).sum(-1)
    np.testing.assert_allclose(ours, np.where(lengths > 0, dots / np.maximum(lengths, 1), 0), atol=1e-6)


@given(whole((3, 4, 3), 2), arrays(bool, 3).filter(np.any), sizes(3, 4))
def test_the_first_of_the_most_similar_present_classes_is_predicted(similarities, present, cells):
    ours = predicted_classes(similarities, present, np.int32(cells))
    expected = np.full((3, 4), NONE)
    for y, x in np.ndindex(*cells):
        expected[y, x] = max(np.flatnonzero(present), key=lambda n, y=y, x=x: (similarities[y, x, n], -n))
    np.testing.assert_array_equal(ours, expected)
