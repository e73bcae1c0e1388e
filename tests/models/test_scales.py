"""Multi-scale inference: sizes that fit the cells, photos interpolated by hand, means of probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones import make
from fsjax.models.scales import Scales, mean_prediction
from fsjax.models.scales import rescale as rescale_eagerly
from tests.models.patch_net import PatchNet

rescale = jax.jit(rescale_eagerly, static_argnums=(2, 3))
ALIGNED, PATCHES = make("small", {}, "float32").side, PatchNet().side


@pytest.mark.parametrize(
    ("side", "factor", "expected"),
    [(321, 0.7, 225), (321, 1.3, 417), (641, 0.7, 449), (641, 1.3, 833), (96, 1.0, 96), (16, 0.1, 9)],
)
def test_sizes_whose_corners_lie_on_cells(side, factor, expected):
    photos, sizes = rescale(jnp.zeros((2, side, side, 3), jnp.uint8), jnp.full((2, 2), side), factor, ALIGNED)
    assert photos.shape == (2, expected, expected, 3)
    assert photos.dtype == jnp.uint8
    np.testing.assert_array_equal(sizes, np.full((2, 2), expected))


@pytest.mark.parametrize(
    ("side", "factor", "expected"), [(320, 0.7, 224), (320, 1.3, 416), (96, 1.0, 96), (20, 0.1, 16)]
)
def test_sizes_of_whole_patches(side, factor, expected):
    photos, sizes = rescale(jnp.zeros((2, side, side, 3), jnp.uint8), jnp.full((2, 2), side), factor, PATCHES)
    assert photos.shape == (2, expected, expected, 3)
    np.testing.assert_array_equal(sizes, np.full((2, 2), expected))


@pytest.mark.parametrize(("side", "expected"), [(ALIGNED, (41, 57)), (PATCHES, (48, 48))])
def test_pixels_are_interpolated_inside_the_valid_rectangle_alone(side, expected):
    """A photo whose values are linear in place stays linear, and its padding does not leak in."""
    rows, columns = np.mgrid[:33, :41]
    photo = np.full((40, 48, 3), 255, np.uint8)
    photo[:33, :41] = (3 * rows + 2 * columns)[..., None]
    scaled, sizes = rescale(jnp.asarray(photo[None]), jnp.array([[33, 41]]), 1.3, side)
    height, width = np.asarray(sizes[0])
    assert (height, width) == expected  # nearest to 42.9 and 53.3
    source = [np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in ((height, 33), (width, 41))]
    wanted = 3 * source[0][:, None] + 2 * source[1][None]
    found = np.asarray(scaled[0, :height, :width, 0], float)
    np.testing.assert_allclose(found, wanted, atol=0.51)
    assert not np.asarray(scaled[0, height:]).any()
    assert not np.asarray(scaled[0, :, width:]).any()


def test_sizes_may_be_traced_and_any_axes_may_stand_in_front():
    photos = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 32, 3), np.uint8)
    sizes = np.random.default_rng(1).integers(9, 25, (2, 3, 2)).astype(np.int32)
    scaled = jax.jit(lambda photos, sizes: rescale(photos, sizes, 1.3, PATCHES))
    together, new_sizes = scaled(photos, sizes)
    for d, b in np.ndindex(2, 3):
        alone, size = scaled(photos[d, b][None], sizes[d, b][None])
        np.testing.assert_array_equal(together[d, b], alone[0])
        np.testing.assert_array_equal(new_sizes[d, b], size[0])
        assert (size[0] % 16 == 0).all()


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


def test_the_place_of_the_factor_1():
    assert Scales().unscaled == 0
    assert Scales((0.7, 1.0, 1.3)).unscaled == 1
