"""PRNet's training loss agrees with the paper's equations in NumPy, gradients included."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.backbone import Features
from fsjax.models.prnet.prnet import PRNet
from tests.models.prnet import reference
from tests.models.tiny import linear_backbone, random_task, swap_ways

METHOD = PRNet(linear_backbone())


def one_loss(method, supports, queries, episode):
    """The loss of one episode and its terms, as a batch of one."""
    batch = jax.tree.map(lambda x: jnp.asarray(x)[None], (supports, queries, episode))
    losses, terms = method.loss({}, *batch, jax.random.key(0)[None])
    return jax.tree.map(lambda x: x[0], (losses, terms))


@jax.jit
def differentiated(supports, queries, episode):
    """The loss and its terms, and its gradients in the supports' and the queries' maps."""

    def of_maps(support_map, query_map):
        maps = Features(support_map, supports.sizes), Features(query_map, queries.sizes)
        return one_loss(METHOD, *maps, episode)

    return jax.value_and_grad(of_maps, (0, 1), has_aux=True)(supports.map, queries.map)


def loss(supports, queries, episode):
    return differentiated(supports, queries, episode)[0]


def gradients(supports, queries, episode):
    return differentiated(supports, queries, episode)[1]


def expected_loss(task, scale=20.0):
    return reference.training_loss(
        task.support_list, task.support_masks, task.query_list, task.query_masks, scale
    )


def assert_loss(task):
    total, terms = loss(task.supports, task.queries, task.episode)
    query_loss, support_loss = expected_loss(task)
    np.testing.assert_allclose(terms["query_loss"], query_loss, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(terms["support_loss"], support_loss, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(total, query_loss + support_loss, rtol=2e-5, atol=1e-6)
    for gradient in gradients(task.supports, task.queries, task.episode):
        assert np.isfinite(gradient).all()


def with_queries(task, drawn):
    """The task with its queries' features replaced, drawn(rows, columns) for each."""
    maps = np.array(task.queries.map)
    for t, query in enumerate(task.query_list):
        height, width = query.shape[:2]
        task.query_list[t] = drawn(height, width).astype(np.float32)
        maps[t, :height, :width] = task.query_list[t]
    return task._replace(queries=Features(maps, task.queries.sizes))


@pytest.mark.parametrize(
    ("ways", "shots", "queries", "padded"), [(1, 1, 1, False), (2, 1, 3, True), (2, 5, 1, True)]
)
def test_loss(ways, shots, queries, padded):
    assert_loss(random_task(20 + ways, ways, shots, queries, padded=padded))


def test_the_scale_multiplies_cosines():
    task = random_task(23, 2, 1)
    method = PRNet(linear_backbone(), scale=3.0)
    total, _ = jax.jit(partial(one_loss, method))(task.supports, task.queries, task.episode)
    np.testing.assert_allclose(total, sum(expected_loss(task, scale=3.0)), rtol=2e-5)


def test_gradients_agree_with_finite_differences():
    task = random_task(24, 2, 1, 3)  # prototypes of both directions move with the features
    ours = gradients(task.supports, task.queries, task.episode)
    rng = np.random.default_rng(0)
    for _ in range(3):
        along = [rng.normal(size=features.map.shape) for features in (task.supports, task.queries)]
        ahead, behind = (sum(expected_loss(moved(task, along, step))) for step in (1e-5, -1e-5))
        dot = sum(np.vdot(gradient, direction) for gradient, direction in zip(ours, along, strict=True))
        np.testing.assert_allclose(dot, (ahead - behind) / 2e-5, rtol=2e-4, atol=1e-5)


def moved(task, along, step):
    """The task with its features moved a step along the directions."""

    def cut(image, direction):
        return image + step * direction[: image.shape[0], : image.shape[1]]

    supports = [
        [cut(image, along[0][n, k]) for k, image in enumerate(way)] for n, way in enumerate(task.support_list)
    ]
    queries = [cut(image, along[1][t]) for t, image in enumerate(task.query_list)]
    return task._replace(support_list=supports, query_list=queries)


def test_nothing_beyond_the_valid_sizes_has_a_gradient():
    task = random_task(25, 2, 1, 3)
    for features, gradient in zip(
        (task.supports, task.queries), gradients(task.supports, task.queries, task.episode), strict=True
    ):
        for size, image in zip(
            features.sizes.reshape(-1, 2), gradient.reshape(-1, *gradient.shape[-3:]), strict=True
        ):
            assert image[: size[0], : size[1]].any()
            assert not image[size[0] :].any()
            assert not image[:, size[1] :].any()


def test_a_class_that_the_prediction_lacks_drops_out_of_the_support_loss():
    task = random_task(26, 2, 1, 3)
    p_s = reference.support_prototypes(task.support_list, task.support_masks)
    rng = np.random.default_rng(1)

    def background_and_way_1(height, width):
        which = (np.arange(height)[:, None] + np.arange(width)[None]) % 2
        return np.array(p_s)[which] + 0.05 * rng.normal(size=(height, width, 5))

    task = with_queries(task, background_and_way_1)
    predicted = [reference.predicted(reference.cosine_map(query, p_s)) for query in task.query_list]
    assert set(np.concatenate([mask.ravel() for mask in predicted])) == {0, 1}
    assert_loss(task)


def test_a_prediction_of_background_alone_leaves_no_support_loss():
    task = random_task(27, 2, 1, 3)
    p_s = reference.support_prototypes(task.support_list, task.support_masks)
    task = with_queries(task, lambda height, width: np.tile(p_s[0], (height, width, 1)))
    assert_loss(task)
    _, terms = loss(task.supports, task.queries, task.episode)
    assert terms["support_loss"] == 0


def test_a_way_with_empty_masks_has_no_logit_and_no_pixels():
    task = random_task(28, 2, 1, 3)
    masks = np.array(task.episode.support_masks)
    masks[1][masks[1] == 2] = 0
    task.support_masks[1][0][task.support_masks[1][0] == 2] = 0
    task = task._replace(episode=task.episode._replace(support_masks=masks))
    assert (task.query_masks[0] == 2).any()
    assert_loss(task)


def test_void_alone_is_a_loss_of_zero():
    task = random_task(29, 2, 1, 3)
    void = task.episode._replace(
        support_masks=np.full_like(task.episode.support_masks, 255),
        query_masks=np.full_like(task.episode.query_masks, 255),
    )
    total, _ = loss(task.supports, task.queries, void)
    assert total == 0
    for gradient in gradients(task.supports, task.queries, void):
        np.testing.assert_array_equal(gradient, 0)


def test_the_scale_of_features_and_the_order_of_ways_change_no_loss():
    task = random_task(30, 2, 1, 3)
    total, _ = loss(task.supports, task.queries, task.episode)
    scaled = [
        features._replace(map=features.map * np.float32(64)) for features in (task.supports, task.queries)
    ]
    np.testing.assert_array_equal(loss(*scaled, task.episode)[0], total)
    swapped = swap_ways(task)
    np.testing.assert_allclose(loss(swapped.supports, task.queries, swapped.episode)[0], total, rtol=1e-5)
