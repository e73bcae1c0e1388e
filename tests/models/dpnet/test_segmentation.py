"""DPNet's segmentation agrees with the paper's equations in NumPy, on masks of any size, padded or not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.dpnet import DPNetSettings
from fsjax.models.dpnet.head import Switches
from tests.models.dpnet import reference
from tests.models.dpnet.toy import (
    METHOD,
    ONE,
    PARAMS,
    RATES,
    TWO,
    VARIABLES,
    described,
    draw,
    make_method,
    random_params,
    segment_task,
)
from tests.models.tiny import swap_ways

SIZES = [[19, 11], [8, 23]]
SETTINGS = DPNetSettings(0.2)


def assert_agrees(ours, task, params=PARAMS, **options):
    for branch, maps in ours.items():
        expected = reference.log_probabilities(params, task, branch, SIZES, rates=RATES, beta=0.2, **options)
        for image, theirs in zip(maps, expected, strict=True):
            height, width, _ = theirs.shape
            np.testing.assert_allclose(image[:height, :width], theirs, atol=1e-4)


def test_segmentation_on_masks_of_another_size(tasks):
    ours = segment_task(tasks[TWO][0], SIZES)
    assert METHOD.outputs == ("aux", "master")
    assert set(ours) == set(METHOD.outputs)
    assert (METHOD.plain, METHOD.final) == METHOD.outputs
    assert_agrees(ours, tasks[TWO][0])


def test_shallow_and_deep_features_of_equal_widths():
    method = make_method(4, 4)
    params = random_params(method)
    task = draw(45, *TWO, shallow=4, deep=4)
    ours = segment_task(task, SIZES, method=method, variables={"head": params})
    assert_agrees(ours, task, params, shallow=4)


def test_one_ways_probabilities_add_up_to_one(tasks):
    for maps in segment_task(tasks[ONE][0], SIZES[:1]).values():
        np.testing.assert_allclose(np.exp(maps).sum(-1), 1, atol=1e-6)


def test_the_order_of_ways_permutes_what_is_found(tasks):
    task = tasks[TWO][0]
    found = segment_task(task, SIZES)
    for name, maps in segment_task(swap_ways(task), SIZES).items():
        np.testing.assert_allclose(maps, found[name][..., [0, 2, 1]], atol=1e-6)


def test_padding_changes_nothing(tasks):
    @jax.jit
    def segmented(fitted, queries):
        batch = jax.tree.map(lambda x: x[None], (fitted, queries))
        params = {"params": VARIABLES["head"]}
        return METHOD.head.apply(params, *batch, Switches(), 0.2, method="segment")

    def found(task):
        fitted = METHOD.fit(VARIABLES, described(task), jnp.ones((1, 1), bool))
        return fitted.shown, segmented(fitted, task.queries)

    for task in tasks[ONE]:
        support, query = task.support_list[0][0], task.query_list[0]
        (h, w), (rows, columns) = support.shape[:2], query.shape[:2]
        cut_out = task._replace(
            supports=Features(support[None, None], task.supports.sizes),
            queries=Features(query[None], task.queries.sizes),
            episode=task.episode._replace(support_masks=task.support_masks[0][0][None, None]),
        )
        (shown, padded), (shown_cut, cut) = found(task), found(cut_out)
        np.testing.assert_allclose(shown.prototype, shown_cut.prototype, rtol=1e-6, atol=1e-6)
        foreground = shown.foreground.reshape(5, 6)[:h, :w]
        np.testing.assert_array_equal(foreground, shown_cut.foreground.reshape(h, w))
        for branch in METHOD.outputs:
            ours, theirs = (getattr(maps, branch)[0, 0, 0] for maps in (padded, cut))
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours[:rows, :columns] / scale, theirs / scale, atol=1e-6)
        selected = np.zeros((5, 6), bool)
        selected[:rows, :columns] = cut.selected.reshape(rows, columns)
        np.testing.assert_array_equal(padded.selected.reshape(5, 6), selected)


def test_several_episodes_of_one_query_at_once():
    tasks = [draw(seed, *TWO) for seed in (46, 47, 48)]
    queries, sizes = [task.queries for task in tasks], jnp.array(SIZES)
    fitted = [METHOD.fit(VARIABLES, described(task), jnp.ones((2, 2), bool)) for task in tasks]
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *fitted)
    one = partial(METHOD.segment, VARIABLES)

    @jax.jit
    def of_one_query(fitted, queries):
        return jax.vmap(lambda fitted: one(fitted, queries, (19, 23), sizes, SETTINGS))(fitted)

    @jax.jit
    def of_every_query(fitted, queries):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *queries)
        return jax.vmap(lambda queries: of_one_query(fitted, queries))(stacked)

    alone = jax.jit(lambda fitted, queries: one(fitted, queries, (19, 23), sizes, SETTINGS))
    every = of_every_query(together, queries)
    for e, description in enumerate(fitted):
        for name, expected in alone(description, queries[0]).items():
            np.testing.assert_allclose(of_one_query(together, queries[0])[name][e], expected, atol=1e-5)
            np.testing.assert_allclose(every[name][0, e], expected, atol=1e-5)


def test_an_explanation_shows_the_cycles(tasks):
    @jax.jit
    def explain(descriptions, queries):
        fitted = METHOD.fit(VARIABLES, descriptions, jnp.ones((1, 1), bool))
        return METHOD.explain(VARIABLES, fitted, queries, DPNetSettings(0.5))

    for task in tasks[ONE]:
        ours = explain(described(task), task.queries)
        images = [reference.compared(image) for image in (task.support_list[0][0], task.query_list[0])]
        np.testing.assert_array_equal(ours.support_cells, images[0].shape[:2])
        np.testing.assert_array_equal(ours.query_cells, images[1].shape[:2])
        mask = task.support_masks[0][0] == 1
        foreground = reference.foreground_cells(reference.soft_mask(mask, *images[0].shape[:2]))
        assert {tuple(cell) for cell in np.argwhere(ours.foreground)} == foreground
        for indices, (image, other) in ((ours.forward, images), (ours.backward, images[::-1])):
            for cell in np.ndindex(*image.shape[:2]):
                matched = np.unravel_index(indices[cell], ours.foreground.shape)
                assert matched == reference.most_similar(image[cell], other)
        pair = reference.segment_pair(PARAMS, task.support_list[0], [mask], task.query_list[0], rates=RATES)
        assert {tuple(cell) for cell in np.argwhere(ours.selected)} == pair.selected[0]
        for cell, confidence in pair.confidence[0].items():
            best = max(reference.cosine(images[1][cell], images[0][start]) for start in foreground)
            np.testing.assert_allclose(ours.similarity[cell], best, atol=1e-6)
            np.testing.assert_allclose(ours.confidence[cell], confidence, atol=1e-5)
