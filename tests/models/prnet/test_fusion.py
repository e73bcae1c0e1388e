"""Fusion agrees with Eqs. 7 to 14 written as loops, and by hand; what is not selected changes nothing."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.prnet.fusion import FusionSettings, fuse, fusion_stages, hard_selection
from fsjax.models.prnet.prototypes import Prototypes
from tests.models.prnet import reference
from tests.models.tiny import random_task

run = jax.jit(fuse, static_argnames="settings")
defaults = FusionSettings()


def random_support(seed, ways, channels=5):
    vectors = np.random.default_rng(seed).normal(size=(ways + 1, channels)).astype(np.float32)
    return Prototypes(vectors, np.ones(ways + 1, bool))


def assert_stages(ours, expected):
    for maps, wanted in zip(ours, expected, strict=True):
        for similarities, small in zip(maps, wanted, strict=True):
            valid = similarities[: small.shape[0], : small.shape[1]]
            np.testing.assert_allclose(valid, small, atol=2e-6)


@pytest.mark.parametrize(
    ("ways", "queries", "settings"),
    [
        (1, 1, {}),
        (2, 3, {}),
        (2, 3, {"joint": True}),
        (3, 2, {"second_mask": "m2", "omega_s": 0.7, "omega_q": 0.4, "omega_f": 0.2}),
        (3, 2, {"second_mask": "m2", "joint": True}),
        (1, 2, {"threshold_over": "predicted"}),
        (3, 3, {"threshold_over": "predicted", "second_mask": "m2", "joint": True}),
    ],
)
def test_agrees_with_loops(ways, queries, settings):
    task = random_task(7, ways, 1, queries, channels=3)
    support = random_support(7, ways, channels=3)
    ours = run(*task.queries, support, settings=FusionSettings(**settings))
    assert_stages(ours, reference.fuse(task.query_list, list(support.vectors), **settings))


def test_stages_keep_the_means_and_the_cells_of_both_selections():
    task = random_task(7, 2, 1, 3, channels=3)
    support = random_support(7, 2, channels=3)
    found = jax.jit(fusion_stages, static_argnames="settings")(*task.queries, support, settings=defaults)
    first, second, third = reference.fuse(task.query_list, list(support.vectors))
    assert_stages((found.m_q1, found.m_q2, found.final), (first, second, third))
    counts = []
    for t, (m_q1, m_q2) in enumerate(zip(first, second, strict=True)):
        m_q3, (height, width) = (m_q1 + m_q2) / 2, m_q1.shape[:2]
        np.testing.assert_allclose(found.m_q3[t, :height, :width], m_q3, atol=2e-6)
        for similarities, selected in ((m_q1, found.selected_1), (m_q3, found.selected_2)):
            wanted = reference.hard_selection(similarities, reference.predicted(similarities))
            ours = np.asarray(selected[t])
            np.testing.assert_array_equal(ours[:height, :width], wanted[..., None] == np.arange(3))
            counts.append(int(ours.sum()))
            assert counts[-1] == (wanted >= 0).sum()  # nothing in the padding
    assert min(counts) > 0


def test_the_choices_differ():
    task = random_task(7, 3, 1, 2, channels=3)
    p_s = list(random_support(7, 3, channels=3).vectors)
    choices = itertools.product([("m3", "predicted"), ("m2", "predicted"), ("m3", "map")], [False, True])
    results = [
        reference.fuse(task.query_list, p_s, second_mask=mask, threshold_over=over, joint=joint)[2]
        for (mask, over), joint in choices
    ]
    for one, other in itertools.combinations(results, 2):
        assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 1e-3


@pytest.mark.parametrize(
    ("threshold_over", "backgrounds"),
    [
        # Its cosines to the cells are .8, .714, 0 and 0: alpha is .589 over the map, and both are selected.
        ("map", [(1, 0), (2.775, 2), (3.6625, 3)]),
        # Over the first two alpha is .779, and only (4, 3) is.
        ("predicted", [(1, 0), (2.5, 1.5), (3.25, 2.25)]),
    ],
)
def test_two_by_two_by_hand(threshold_over, backgrounds):
    support = Prototypes(np.float32([[1, 0], [0, 1]]), np.ones(2, bool))
    # Way 1 keeps (0, 1), whichever of its two cells are selected.
    features = np.float32([[[[4, 3], [5.1, 5]], [[0, 1], [0, 1]]]])
    ours = run(features, np.int32([[2, 2]]), support, settings=FusionSettings(threshold_over=threshold_over))
    for maps, background in zip(ours, backgrounds, strict=True):
        for y, x in np.ndindex(2, 2):
            expected = [
                reference.cosine(features[0, y, x], np.array(p, np.float32)) for p in (background, (0, 1))
            ]
            np.testing.assert_allclose(maps[0, y, x], expected, atol=1e-6)


def test_selection_is_strictly_above_the_mean_of_maximum_and_mean():
    similarities = np.zeros((2, 4, 4), np.float32)
    predicted = np.array([[0, 0, 0, 1], [2, 2, 255, 255]])
    similarities[predicted == 0, 0] = [0.75, 0.5, 0.25]  # alpha .625
    similarities[predicted == 1, 1] = 0.3  # alone: alpha is itself
    similarities[predicted == 2, 2] = [-0.25, -0.25]  # alike: so too
    similarities[predicted == 255] = 0.9  # padding
    ours = jax.jit(hard_selection, static_argnums=2)(similarities, predicted, "predicted")
    expected = np.zeros((2, 4, 4), bool)
    expected[0, 0, 0] = True
    np.testing.assert_array_equal(ours, expected)


def test_a_threshold_over_the_map_counts_every_valid_cell_of_every_class():
    """By hand: the best cell of way 1 lies where background is predicted."""
    similarities = np.zeros((2, 3, 2), np.float32)
    predicted = np.array([[0, 1, 1], [1, 255, 255]])
    similarities[..., 0] = [[1.0, 0.0, 0.0], [0.0, 9.0, 9.0]]  # alpha (1 + 1/4) / 2
    similarities[..., 1] = [[0.75, 0.5, 0.625], [0.125, 9.0, 9.0]]  # alpha (0.75 + 0.5) / 2 = 0.625
    select = jax.jit(hard_selection, static_argnums=2)
    over_map, over_predicted = (select(similarities, predicted, over) for over in ("map", "predicted"))
    assert np.argwhere(over_map).tolist() == [[0, 0, 0]]  # strictly above: 0.625 is not selected
    # Over the predicted cells alpha is (0.625 + 0.41666) / 2, and of background 1 alone is not above 1.
    assert np.argwhere(over_predicted).tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("threshold_over", ["predicted", "map"])
def test_padding_has_no_part_in_the_threshold(threshold_over):
    rng = np.random.default_rng(3)
    small = rng.uniform(-1, 1, (4, 5, 3)).astype(np.float32)
    large = rng.uniform(5, 9, (6, 8, 3)).astype(np.float32)
    large[:4, :5] = small
    predicted = np.full((6, 8), 255)
    predicted[:4, :5] = small.argmax(-1)
    select = jax.jit(hard_selection, static_argnums=2)
    padded = select(large, predicted, threshold_over)
    np.testing.assert_array_equal(padded[:4, :5], select(small, small.argmax(-1), threshold_over))
    assert not padded[4:].any()
    assert not padded[:, 5:].any()


def test_a_class_of_one_cell_keeps_its_prototype_by_a_threshold_over_that_cell():
    rng = np.random.default_rng(0)
    support = Prototypes(np.float32([[1, 0, 0], [0, 1, 0]]), np.ones(2, bool))
    features = np.abs(rng.normal(size=(1, 4, 4, 3))).astype(np.float32) * np.float32([1, 0.1, 1])
    features[0, 2, 1] = [0.1, 1, 0.5]
    over_the_cell = FusionSettings(threshold_over="predicted")
    ours = run(features, np.int32([[4, 4]]), support, settings=over_the_cell)
    assert (np.argmax(ours.fusion0[0], -1) == 1).sum() == 1
    for refined in ours[1:]:
        np.testing.assert_array_equal(refined[..., 1], ours.fusion0[..., 1])
        assert np.abs(refined[..., 0] - ours.fusion0[..., 0]).max() > 0.01


def test_perfect_features_are_a_fixed_point():
    support = random_support(0, 2)
    cells = np.random.default_rng(1).integers(0, 3, (2, 4, 5))
    ours = run(support.vectors[cells], np.int32([[4, 5]] * 2), support, settings=defaults)
    np.testing.assert_allclose(ours.fusion1, ours.fusion0, atol=1e-6)
    np.testing.assert_allclose(ours.fusion2, ours.fusion0, atol=1e-6)


@pytest.mark.parametrize("factor", [2.0**-7, 2.0**9])
def test_the_scale_of_features_changes_nothing(factor):
    task, support = random_task(2, 2, 1, 3), random_support(2, 2)
    ours = run(*task.queries, support, settings=defaults)
    scaled = Prototypes(support.vectors * np.float32(factor), support.present)
    again = run(task.queries.map * np.float32(factor), task.queries.sizes, scaled, settings=defaults)
    jax.tree.map(np.testing.assert_array_equal, ours, again)


def test_permuting_ways_permutes_maps():
    task, support = random_task(3, 3, 1, 2), random_support(3, 3)
    order = np.array([0, 3, 1, 2])
    ours = run(*task.queries, support, settings=defaults)
    permuted = run(*task.queries, Prototypes(support.vectors[order], support.present), settings=defaults)
    for maps, others in zip(ours, permuted, strict=True):
        np.testing.assert_allclose(maps[..., order], others, atol=1e-6)


def test_an_absent_class_is_never_predicted_nor_refined_and_gradients_are_finite():
    task, support = random_task(4, 2, 1, 2), random_support(4, 2)
    vectors = support.vectors.copy()
    vectors[2] = 0
    absent = Prototypes(vectors, np.array([True, True, False]))
    ours = run(*task.queries, absent, settings=defaults)
    without = Prototypes(vectors[:2], absent.present[:2])
    for maps, others in zip(ours, run(*task.queries, without, settings=defaults), strict=True):
        np.testing.assert_allclose(maps[..., :2], others, atol=1e-6)
        np.testing.assert_array_equal(maps[..., 2], 0)

    def total(features, vectors):
        prototypes = Prototypes(vectors, jnp.asarray(absent.present))
        maps = fuse(features, jnp.asarray(task.queries.sizes), prototypes, defaults)
        return sum(jnp.sum(stage[:, :2, :2]) for stage in maps)

    gradients = jax.jit(jax.grad(total, (0, 1)))(task.queries.map, vectors)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_of_several_queries_each_is_refined_by_itself():
    task, support = random_task(5, 2, 1, 3), random_support(5, 2)
    ours = run(*task.queries, support, settings=defaults)
    one = jax.jit(partial(fuse, settings=FusionSettings(joint=True)))
    for t in range(3):
        alone = one(task.queries.map[t : t + 1], task.queries.sizes[t : t + 1], support)
        for maps, own in zip(ours, alone, strict=True):
            np.testing.assert_allclose(maps[t], own[0], atol=1e-6)
