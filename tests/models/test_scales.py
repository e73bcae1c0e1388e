"""Multi-scale inference: sizes of 8 k + 1, photos interpolated by hand, means of probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fsjax.evaluation.scales import Scales, mean_prediction, rescale

from fsjax.evaluation.evaluate import embed_images, predict_logits
from fsjax.models.dpnet.dpnet import DPNetSettings
from tests.models.tiny import random_episode
from tests.training.test_frozen import METHOD


@pytest.mark.parametrize(
    ("side", "factor", "expected"),
    [(321, 0.7, 225), (321, 1.3, 417), (641, 0.7, 449), (641, 1.3, 833), (96, 1.0, 96), (16, 0.1, 9)],
)
def test_sizes(side, factor, expected):
    photos, sizes = rescale(jnp.zeros((2, side, side, 3), jnp.uint8), jnp.full((2, 2), side), factor)
    assert photos.shape == (2, expected, expected, 3)
    assert photos.dtype == jnp.uint8
    np.testing.assert_array_equal(sizes, np.full((2, 2), expected))


def test_pixels_are_interpolated_inside_the_valid_rectangle_alone():
    """A photo whose values are linear in place stays linear, and its padding does not leak in."""
    rows, columns = np.mgrid[:33, :41]
    photo = np.full((40, 48, 3), 255, np.uint8)
    photo[:33, :41] = (3 * rows + 2 * columns)[..., None]
    scaled, sizes = rescale(jnp.asarray(photo[None]), jnp.array([[33, 41]]), 1.3)
    height, width = np.asarray(sizes[0])
    assert (height, width) == (41, 57)  # 8 k + 1 nearest to 42.9 and 53.3
    source = [np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in ((height, 33), (width, 41))]
    expected = 3 * source[0][:, None] + 2 * source[1][None]
    found = np.asarray(scaled[0, :height, :width, 0], float)
    np.testing.assert_allclose(found, expected, atol=0.51)
    assert not np.asarray(scaled[0, height:]).any()


def test_the_mean_of_probabilities_and_of_logits_differ():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1, 2, 3, 2)).astype(np.float32) * 3
    predictions = [{"a": jnp.asarray(first)}, {"a": jnp.asarray(second)}]

    def softmax(x):
        odds = np.exp(x - x.max(-1, keepdims=True))
        return odds / odds.sum(-1, keepdims=True)

    mean = mean_prediction(predictions, "probability")["a"]
    np.testing.assert_allclose(np.exp(mean), (softmax(first) + softmax(second)) / 2, rtol=1e-5)
    np.testing.assert_allclose(
        mean_prediction(predictions, "logit")["a"], (first + second) / 2, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(mean_prediction(predictions[:1], "probability")["a"], first)


def test_the_place_of_the_whole_scale():
    assert Scales((0.7, 1.0, 1.3)).whole == 1


def test_only_queries_are_rescaled_and_their_predictions_meet_at_the_label_size():
    episode = jax.tree.map(jnp.asarray, random_episode(3, ways=1, side=33))
    variables, settings = METHOD.init(jax.random.key(0)), DPNetSettings()
    shape = episode.query_masks.shape[1:]

    @jax.jit
    def at_all_scales(variables):
        scales = Scales((0.7, 1.0, 1.3))
        embedded = embed_images(METHOD, variables, jax.tree.map(lambda x: x[None], episode), scales)
        supports, queries = jax.tree.map(lambda x: x[0], embedded)
        return predict_logits(METHOD, variables, supports, queries, episode, settings, scales)

    @jax.jit
    def at_one_scale(variables, queries, sizes):
        images, pixels = episode.support_images, episode.support_sizes
        shown, _ = METHOD.embed(variables, images.reshape(-1, *images.shape[2:]), pixels.reshape(-1, 2))
        shown = jax.tree.map(lambda x: x.reshape(*pixels.shape[:2], *x.shape[1:]), shown)
        fitted = METHOD.fit(variables, shown, episode.support_masks, pixels)
        features, _ = METHOD.embed(variables, queries, sizes)
        return METHOD.segment(variables, fitted, features, shape, episode.query_mask_sizes, settings)

    found = np.exp(at_all_scales(variables)["master"])
    each = [
        np.exp(at_one_scale(variables, *rescale(episode.query_images, episode.query_sizes, factor))["master"])
        for factor in (0.7, 1.0, 1.3)
    ]  # one-way: they add up to one
    assert found.shape == (*episode.query_masks.shape, 2)
    np.testing.assert_allclose(found, np.mean(each, 0), rtol=1e-4, atol=1e-6)
    assert np.abs(each[0] - each[1]).max() > 1e-4
