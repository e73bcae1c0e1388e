"""Photos of a prepared data set as pictures: whole, and at a part of their size."""

import numpy as np
import pytest

import datasets
from datasets import shapes
from fsjax import config
from fsjax.data.source import Reducing


@pytest.fixture
def photos(monkeypatch, tmp_path):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 3, "test": 1})
    settings = config.default().data
    settings.tfds_dir = str(tmp_path / "built")
    return datasets.load(settings)["train"]


def test_a_picture_has_the_photos_pixels_or_a_part_of_its_size(photos):
    assert isinstance(photos, Reducing)
    for position in range(3):
        height, width = photos.size(position)
        image = photos.image(position)
        np.testing.assert_array_equal(photos.picture(position, (height // 2 + 1, width // 2)), image)
        half = photos.picture(position, (height // 2, width // 2))
        assert (half.height, half.width, half.mode) == (-(-height // 2), -(-width // 2), "RGB")
        box = image[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2, 3)
        small = np.asarray(half)[: height // 2, : width // 2]
        assert np.abs(box.mean(axis=(1, 3)) - small).mean() < 3
