"""DPNet's losses agree with the paper's equations in NumPy, gradients included."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.dpnet.head import Switches
from fsjax.models.dpnet.losses import nearest_labels, total_loss
from tests.models.dpnet import reference
from tests.models.dpnet.toy import (
    METHOD,
    ONE,
    PARAMS,
    RATES,
    TWO,
    VARIABLES,
    assert_finite,
    draw,
    evaluate,
    keys_of,
    stacked,
)
from tests.models.tiny import swap_ways

SELECTED = {"selected_loss": True, "beta": 0.4}
SWITCHED = [  # every combination is a program of its own
    (SELECTED, {"judge": "selected", "beta": 0.4}),
]
MORE = [
    ({"pseudo_prototype": "global", "msf": False}, {"kind": "global", "msf": False}),
    ({}, {}),
    ({"pseudo_prototype": "off"}, {"kind": "off"}),
    ({"pseudo_prototype": "cosine", "pim": False}, {"kind": "cosine", "pim": False}),
]


@pytest.mark.parametrize(
    ("shape", "changes", "options"),
    [
        (ONE, {}, {}),
        *((TWO, *switched) for switched in SWITCHED),
        *(pytest.param(TWO, *switched, marks=pytest.mark.slow) for switched in MORE),
    ],
)
def test_loss(tasks, shape, changes, options):
    losses, terms, gradient = evaluate(tasks[shape], **changes)
    for i, task in enumerate(tasks[shape]):
        expected = reference.losses(PARAMS, task, rates=RATES, **options)
        for name, value in expected.items():
            np.testing.assert_allclose(terms[name][i], value, rtol=1e-4, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(losses[i], sum(expected.values()), rtol=1e-4)
    assert_finite(gradient)


def test_the_discriminator_leaves_some_candidates_out(tasks):
    pairs = [
        pair
        for task in tasks[TWO]
        for way in reference.segment_all(PARAMS, task, rates=RATES)
        for pair in way
    ]
    candidates, selected = (
        [len(cells) for pair in pairs for cells in getattr(pair, name)] for name in ("candidates", "selected")
    )
    assert sum(candidates) > sum(selected) > 0
    assert 0 in selected  # P_q is P there


def test_the_total_weighs_its_terms():
    terms = {"seg_loss": jnp.array([1.0, 2.0]), "dis_loss": jnp.array([3.0, 0.0]), "aux_loss": jnp.ones(2)}
    weights = Switches(lambda1=0.5, lambda2=2.0)
    np.testing.assert_array_equal(total_loss(terms, weights), [7.5, 2.5])
    np.testing.assert_array_equal(total_loss(terms, replace(weights, aux_only=True)), [1, 1])
    del terms["aux_loss"]
    np.testing.assert_array_equal(total_loss(terms, weights), [7, 2])


@pytest.mark.slow
def test_of_the_auxiliary_branch_alone_only_its_own_part_is_trained(tasks):
    losses, terms, gradient = evaluate(tasks[ONE], aux_only=True)
    np.testing.assert_array_equal(losses, terms["aux_loss"])
    assert not any(
        leaf.any() for name in ("decoder", "discriminator") for leaf in jax.tree.leaves(gradient[name])
    )
    assert all(leaf.any() for leaf in jax.tree.leaves(gradient["aux_decoder"]["project"]))


def test_gradients_agree_with_finite_differences(tasks):
    _, _, gradient = evaluate(tasks[ONE])
    rng = np.random.default_rng(0)
    along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), PARAMS)

    def expected(step):
        moved = jax.tree.map(lambda leaf, direction: leaf + step * direction, PARAMS, along)
        return sum(sum(reference.losses(moved, task, rates=RATES).values()) for task in tasks[ONE])

    dot = sum(jax.tree.leaves(jax.tree.map(lambda a, b: np.vdot(a, b), gradient, along)))
    np.testing.assert_allclose(dot, (expected(1e-6) - expected(-1e-6)) / 2e-6, rtol=1e-3)


def test_alpha_has_a_gradient_at_zero(tasks):
    params = {**PARAMS, "interaction": {**PARAMS["interaction"], "alpha": np.float32(0)}}
    losses, terms, gradient = evaluate(tasks[ONE], params=params)
    assert abs(gradient["interaction"]["alpha"]) > 1e-4
    for i, task in enumerate(tasks[ONE]):
        for name, value in reference.losses(params, task, rates=RATES, pim=False).items():
            np.testing.assert_allclose(terms[name][i], value, rtol=1e-4, err_msg=name)
    assert (losses != evaluate(tasks[ONE])[0]).all()


@pytest.mark.slow
def test_without_reliable_cells_the_prototype_stands_in(tasks):
    _, terms, _ = evaluate(tasks[ONE], beta=1.0)  # no confidence exceeds it
    for i, task in enumerate(tasks[ONE]):
        without = reference.losses(PARAMS, task, rates=RATES, kind="off")
        for name in ("seg_loss", "aux_loss"):
            np.testing.assert_allclose(terms[name][i], without[name], rtol=1e-4)
    assert (terms["dis_loss"] > 0).all()


def test_dropout_is_a_function_of_an_episodes_own_key(tasks):
    first, second = tasks[ONE]
    losses, _, gradient = evaluate([first, second], seeds=(3, 4), dropout=0.5)
    again, _, _ = evaluate([first, draw(42, *ONE)], seeds=(3, 9), dropout=0.5)
    swapped, _, _ = evaluate([second, first], seeds=(4, 3), dropout=0.5)
    other, _, _ = evaluate([first, second], seeds=(5, 4), dropout=0.5)
    without, _, _ = evaluate([first, second], seeds=(3, 4))
    np.testing.assert_array_equal(again[0], losses[0])
    np.testing.assert_array_equal(swapped[::-1], losses)
    assert other[0] != losses[0]
    assert other[1] == losses[1]
    assert (without != losses).all()
    assert_finite(gradient)


def with_supports(task, change):
    """The task with `change` made to every support's mask, the rubbish beyond it aside."""
    masks = np.array(task.episode.support_masks)
    for n, way in enumerate(task.support_masks):
        for k, mask in enumerate(way):
            way[k] = mask = change(mask.copy())
            masks[n, k, : mask.shape[0], : mask.shape[1]] = mask
    return task._replace(episode=task.episode._replace(support_masks=masks))


def one_pixel(mask):
    mask[:] = 0
    mask[1, 2] = 1  # between the points that align_corners samples
    return mask


@pytest.mark.parametrize("change", [np.zeros_like, one_pixel])
def test_supports_with_next_to_nothing(change):
    tasks = [with_supports(draw(seed, *ONE), change) for seed in (43, 44)]
    _, terms, gradient = evaluate(tasks)
    for i, task in enumerate(tasks):
        for name, value in reference.losses(PARAMS, task, rates=RATES).items():
            np.testing.assert_allclose(terms[name][i], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert_finite(gradient)


def test_void_alone_is_a_loss_of_zero(tasks):
    first, second = tasks[ONE]
    void = first.episode._replace(query_masks=np.full_like(first.episode.query_masks, 255))
    losses, terms, _ = evaluate([first._replace(episode=void), second])
    assert losses[0] == 0
    assert losses[1] == evaluate([first, second])[0][1]
    assert all(value[0] == 0 for value in terms.values())
    _, _, gradient = evaluate([first._replace(episode=void)] * 2)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("changes", [SELECTED, pytest.param({}, marks=pytest.mark.slow)])
def test_the_order_of_ways_changes_no_loss(tasks, changes):
    task = tasks[TWO][0]
    losses, _, _ = evaluate([swap_ways(task), task], **changes)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_what_masks_hold_beyond_their_sizes_changes_nothing(tasks):
    task, other = tasks[ONE]
    masks = {}
    for name, sizes in (("support_masks", "support_sizes"), ("query_masks", "query_mask_sizes")):
        height, width = getattr(task.episode, sizes).reshape(2)
        changed = np.full_like(getattr(task.episode, name), 1)
        changed[..., :height, :width] = getattr(task.episode, name)[..., :height, :width]
        assert (changed != getattr(task.episode, name)).any()
        masks[name] = changed
    rubbish = task._replace(episode=task.episode._replace(**masks))
    np.testing.assert_array_equal(evaluate([rubbish, other])[0], evaluate([task, other])[0])


def test_without_the_auxiliary_branch_there_is_no_auxiliary_loss(tasks):
    method = replace(METHOD, head=METHOD.head.clone(auxiliary=False))
    params = {name: leaves for name, leaves in VARIABLES["head"].items() if name != "aux_decoder"}
    _, terms = jax.eval_shape(
        lambda *batch: method.loss({"head": params}, *batch), *stacked(*tasks[ONE]), keys_of(0, 1)
    )
    assert set(terms) == {"seg_loss", "dis_loss"}


def test_nearest_labels_by_hand():
    mask = jnp.arange(56, dtype=jnp.uint8).reshape(7, 8)
    ours = nearest_labels(mask, jnp.array([3, 2]), jnp.array([6, 5]), (4, 4), aligned=True)
    np.testing.assert_array_equal(ours[:3, :2], [[0, 4], [16, 20], [40, 44]])  # rows 0, 2.5 (even: 2) and 5
    alone = nearest_labels(mask, jnp.array([1, 1]), jnp.array([6, 5]), (1, 1), aligned=True)
    np.testing.assert_array_equal(alone, [[0]])


def test_nearest_labels_of_half_pixel_cells_by_hand():
    mask = jnp.arange(56, dtype=jnp.uint8).reshape(7, 8)
    ours = nearest_labels(mask, jnp.array([2, 1]), jnp.array([6, 5]), (3, 3), aligned=False)
    np.testing.assert_array_equal(ours[:2, :1], [[10], [34]])  # rows 1 and 4, column 2
