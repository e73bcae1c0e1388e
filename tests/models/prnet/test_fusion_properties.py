"""Fusion obeys its laws for any features and prototypes: whole numbers, so that ties come up."""

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsjax.models.prnet import fusion
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prototypes import Prototypes
from tests.models.prnet import reference

T, GRID, CLASSES, CHANNELS = 2, (3, 4), 3, 3
IGNORED = 255

ALONE = FusionSettings()
TOGETHER = FusionSettings(0.7, 0.4, 0.2, second_mask="m2", threshold_over="predicted", joint=True)

fusion_stages = jax.jit(fusion.fusion_stages, static_argnames="settings")
hard_selection = jax.jit(fusion.hard_selection, static_argnums=2)
either = pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])

whole = st.integers(-4, 4)
features = arrays(np.int8, (T, *GRID, CHANNELS), elements=whole).map(np.float32)
vectors = arrays(np.int8, (CLASSES, CHANNELS), elements=whole).map(np.float32)
sizes = st.tuples(*(st.integers(1, length) for length in GRID))
cells = st.tuples(sizes, sizes).map(np.int32)
present = arrays(bool, CLASSES).map(lambda flags: np.array([True, *flags[1:]]))


def inside(cells):
    """Which cells are valid, [T, h, w]."""
    rows, columns = (np.arange(length) for length in GRID)
    return (rows[None, :, None] < cells[:, :1, None]) & (columns[None, None, :] < cells[:, 1:, None])


def support_of(vectors, present=None):
    """A class that is not present has a zero prototype, as pooling leaves it."""
    present = np.ones(CLASSES, bool) if present is None else present
    return Prototypes(vectors * present[:, None], present)


@pytest.mark.parametrize("over", ["map", "predicted"])
@given(
    arrays(np.int32, (*GRID, CLASSES), elements=st.integers(-16, 16)),
    arrays(np.int32, GRID, elements=st.sampled_from([0, 1, 2, IGNORED])),
)
def test_selected_is_what_exceeds_its_threshold_in_whole_numbers(over, sixteenths, predicted):
    """Both sides of s > (max + sum / count) / 2 are taken 2 count times."""
    ours = np.asarray(hard_selection(np.float32(sixteenths) / 16, predicted, over))
    for y, x, n in np.ndindex(*sixteenths.shape):
        counted = predicted != IGNORED if over == "map" else predicted == n
        values = sixteenths[counted, n].tolist()
        expected = predicted[y, x] == n and (
            2 * len(values) * int(sixteenths[y, x, n]) > len(values) * max(values) + sum(values)
        )
        assert ours[y, x, n] == expected


def robust(stages, cells, present):
    """Whether no choice of the two stages is so close that the last bits of a cosine decide it."""
    for maps in (stages.m_q1, stages.m_q2, stages.m_q3):
        for similarities, size in zip(np.float64(maps), cells, strict=True):
            valid = similarities[: size[0], : size[1]][..., present]
            ordered = np.sort(valid, -1)
            largest, mean = valid.max((0, 1)), valid.mean((0, 1))
            of_map = valid - (largest + mean) / 2
            if (np.diff(ordered) < 1e-4).any() or (np.abs(of_map) < 1e-4).any():
                return False
    return True


@given(st.integers(0, 2**32), present, cells, st.floats(1e-3, 1e3), st.permutations(range(CLASSES)))
def test_neither_the_scale_of_features_nor_the_order_of_classes_matters(seed, present, cells, factor, order):
    rng, order = np.random.default_rng(seed), np.array(order)
    features = rng.normal(size=(T, *GRID, CHANNELS)).astype(np.float32)
    support = support_of(rng.normal(size=(CLASSES, CHANNELS)).astype(np.float32), present)
    ours = fusion_stages(features, cells, support, ALONE)
    assume(robust(ours, cells, present))
    other = Prototypes(np.float32(factor) * support.vectors[order], present[order])
    again = fusion_stages(np.float32(factor) * features, cells, other, ALONE)
    for one, two in zip(ours, again, strict=True):
        np.testing.assert_allclose(np.float32(one)[..., order], np.float32(two), atol=1e-4)


@either
@given(features, cells, vectors, st.integers(-10, 20))
def test_a_power_of_two_changes_no_bit_ties_included(settings, features, cells, vectors, exponent):
    factor = np.float32(2.0**exponent)
    ours = fusion_stages(features, cells, support_of(vectors), settings)
    again = fusion_stages(factor * features, cells, support_of(factor * vectors), settings)
    # What is fused later may cancel to a rounding error, which is below the smallest norm or is not.
    np.testing.assert_array_equal(ours.selected_1, again.selected_1)
    np.testing.assert_array_equal(ours.m_q1, again.m_q1)


@either
@given(features, cells, vectors, present)
def test_only_a_predicted_class_is_selected_and_only_a_selected_one_refined(
    settings, features, cells, vectors, present
):
    stages = fusion_stages(features, cells, support_of(vectors, present), settings)
    second = stages.m_q3 if settings.second_mask == "m3" else stages.m_q2
    for similarities, selected, before, after in (
        (stages.m_q1, stages.selected_1, stages.m_q1, stages.m_q2),
        (second, stages.selected_2, stages.m_q2, stages.final),
    ):
        selected = np.asarray(selected)
        best = np.argmax(np.where(present, np.asarray(similarities), -2), -1)
        predicted = (best[..., None] == np.arange(CLASSES)) & inside(cells)[..., None]
        assert not (selected & ~predicted).any()
        kept = ~selected.any((1, 2))  # [T, classes]
        kept = np.broadcast_to(kept.all(0), kept.shape) if settings.joint else kept
        for t, n in np.argwhere(kept):
            np.testing.assert_array_equal(np.asarray(before)[t, ..., n], np.asarray(after)[t, ..., n])
    assert not np.asarray(stages.final)[..., ~present].any()


@either
@given(features, features, cells, vectors)
def test_padding_counts_for_nothing(settings, features, rubbish, cells, vectors):
    valid = inside(cells)[..., None]
    other = np.where(valid, features, 100 * rubbish)
    ours, again = (fusion_stages(x, cells, support_of(vectors), settings) for x in (features, other))
    for one, two in zip(ours, again, strict=True):
        np.testing.assert_array_equal(*(np.where(valid, np.asarray(maps), 0) for maps in (one, two)))


@either
@given(arrays(np.int8, (T, *GRID), elements=st.integers(0, CLASSES - 1)), cells, vectors)
def test_perfect_features_are_a_fixed_point(settings, classes, cells, vectors):
    stages = fusion_stages(vectors[classes], cells, support_of(vectors), settings)
    np.testing.assert_allclose(stages.m_q2, stages.m_q1, atol=1e-5)
    np.testing.assert_allclose(stages.final, stages.m_q1, atol=1e-5)


@either
@given(seed=st.integers(0, 2**32), cells=cells)
def test_fusion_is_the_loops(settings, seed, cells):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(T, *GRID, CHANNELS)).astype(np.float32)
    vectors = rng.normal(size=(CLASSES, CHANNELS)).astype(np.float32)
    queries = [image[: size[0], : size[1]] for image, size in zip(features, cells, strict=True)]
    stages = fusion_stages(features, cells, support_of(vectors), settings)
    given = {name: value for name, value in vars(settings).items() if name != "gram"}
    expected = reference.fuse(queries, list(vectors), **given)
    for ours, maps in zip((stages.m_q1, stages.m_q2, stages.final), expected, strict=True):
        for similarities, wanted in zip(np.asarray(ours), maps, strict=True):
            valid = similarities[: wanted.shape[0], : wanted.shape[1]]
            np.testing.assert_allclose(valid, wanted, atol=1e-4)
