"""What weights expect of a photo, worked by hand."""

import jax.numpy as jnp
import numpy as np

from fsjax.models.backbones.normalization import normalize


def test_normalisation_by_hand():
    images = jnp.asarray(np.array([[[[255, 0, 128], [9, 9, 9]]]], np.uint8))
    sizes = jnp.array([[1, 1]])
    torchvision = normalize(images, sizes, "torchvision")
    np.testing.assert_allclose(torchvision[0, 0, 0], [2.2489, -2.0357, 0.4265], atol=1e-4)
    caffe = normalize(images, sizes, "caffe")
    np.testing.assert_allclose(caffe[0, 0, 0], [128 - 103.06262, -115.902885, 255 - 123.15163], atol=1e-4)
    assert not torchvision[0, 0, 1].any()
    assert not caffe[0, 0, 1].any()
