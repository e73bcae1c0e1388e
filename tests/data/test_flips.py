"""Flips mirror a photo with its mask, half of the time."""

from dataclasses import replace

import numpy as np
import pytest

from fsjax.data.images import InputSettings, load_episode
from fsjax.data.sampling import EpisodeSpec
from tests.toy import ToySource

SPEC = EpisodeSpec(index=4, class_ids=(3, 5), support=((1, 2), (7, 10)), query=(4, 5, 8), shown=(3, 5))


@pytest.fixture(scope="module")
def source():
    return ToySource()


@pytest.mark.parametrize("label", ["input", "original"])
def test_a_flip_mirrors_photo_and_mask_within_their_rectangles(source, label):
    settings = InputSettings(24, input="longside", label=label)
    flips = []
    for i in range(60):
        spec = replace(SPEC, index=i)
        plain = load_episode(source, spec, settings)
        mixed = load_episode(source, spec, replace(settings, flip=True), seed=9)
        for way, k in np.ndindex(2, 2):
            flips.append(
                mirrored(
                    (plain.support_images[way, k], plain.support_masks[way, k]),
                    (mixed.support_images[way, k], mixed.support_masks[way, k]),
                    (plain.support_sizes[way, k], plain.support_sizes[way, k]),
                )
            )
        for t in range(3):
            flips.append(
                mirrored(
                    (plain.query_images[t], plain.query_masks[t]),
                    (mixed.query_images[t], mixed.query_masks[t]),
                    (plain.query_sizes[t], plain.query_mask_sizes[t]),
                )
            )
    flips = np.array(flips).reshape(60, 7)
    assert abs(flips.mean() - 0.5) < 0.12  # five standard deviations of 420 coins
    together = np.corrcoef(flips.T)[np.triu_indices(7, 1)]
    assert np.abs(together).max() < 0.6  # each photo has its own coin


def mirrored(plain, mixed, sizes):
    """Returns whether photo and mask were flipped; fails if they were not either both or neither."""
    flipped = not np.array_equal(plain[0], mixed[0])
    for before, after, (height, width) in zip(plain, mixed, sizes, strict=True):
        expected = before.copy()
        if flipped:
            for x in range(width):
                expected[:height, x] = before[:height, width - 1 - x]
        np.testing.assert_array_equal(after, expected)
    return flipped


def test_flips_follow_seed_and_index(source):
    settings = InputSettings(16, flip=True)

    def images(seed, index):
        return load_episode(source, replace(SPEC, index=index), settings, seed).query_images.tobytes()

    assert images(1, 0) == images(1, 0)
    assert len({images(seed, 0) for seed in range(12)}) > 1
    assert len({images(0, index) for index in range(12)}) > 1
