"""Multi-scale inference: sizes of 8 k + 1, photos interpolated by hand, means of probabilities."""

import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.scales import Scales, mean_prediction, rescale


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
