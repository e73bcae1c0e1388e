"""Crops that were drawn anew: the sum is what loading the episodes gives up."""

import numpy as np
import pytest

from fsjax.data import images
from fsjax.data.images import ATTEMPTS, InputSettings, load_episode
from fsjax.data.redraws import Redraws, count_redraws
from fsjax.data.sampling import EpisodeSpec
from tests.toy import ToySource

SPECS = [
    EpisodeSpec(index=i, class_ids=(3, 5), support=((2, 14), (10, 4)), query=(16, 20, 8), shown=(3, 5))
    for i in range(6)
]
HARSH = InputSettings(24, crop=2.5, rotate=40.0)


class NoPhotos(ToySource):
    """Its photos must not be asked for."""

    def image(self, position):
        raise AssertionError(f"image {position} was decoded")


def test_the_sum_is_what_loading_gives_up(monkeypatch):
    kept, given_up = images.kept_warp, []

    def spied(*arguments):
        result = kept(*arguments)
        given_up.append(result[2])
        return result

    monkeypatch.setattr(images, "kept_warp", spied)
    for spec in SPECS:
        load_episode(ToySource(), spec, HARSH, seed=3)
    found = count_redraws(NoPhotos(), SPECS, HARSH, seed=3)
    tries = np.array(given_up)
    assert found == Redraws(42, (tries > 0).sum(), (tries == ATTEMPTS).sum(), tries.sum())
    assert 0 < found.again < 42
    assert count_redraws(NoPhotos(), SPECS, HARSH, seed=4).attempts != found.attempts


def test_a_class_that_no_crop_keeps_is_counted_as_plain():
    class Corners(ToySource):
        """Every photo shows its two classes in opposite corners."""

        def labels(self, position):
            labels = np.zeros_like(super().labels(position))
            labels[:2, :2], labels[-2:, -2:] = 3, 5
            return labels

    found = count_redraws(Corners(), SPECS[:1], InputSettings(24, crop=9.0), seed=0)
    assert found.photos == 7
    assert found.plain > 0
    assert found.attempts >= ATTEMPTS * found.plain


@pytest.mark.parametrize("settings", [InputSettings(24), InputSettings(24, flip=True)])
def test_nothing_is_drawn_without_crops_and_rotations(settings):
    assert count_redraws(NoPhotos(), SPECS, settings, seed=0) == Redraws(0, 0, 0, 0)
