"""Episodes of genuine photos."""

import numpy as np
import pytest
from PIL import Image

from fsjax.data.images import InputSettings, load_episode
from fsjax.data.index import build_index
from fsjax.data.sampling import EpisodeSampler
from fsjax.data.source import LISTED, SHRINKS, relabel

ANIMALS = {"cat": 8, "cow": 10, "dog": 12, "horse": 13, "person": 15, "sheep": 17}


class Photos:
    """Some photos of a VOC-style folder."""

    name, version, title, split, folds = "voc", "1", "VOC photos", "test", ()
    class_names = tuple(next((n for n, c in ANIMALS.items() if c == i), f"class {i}") for i in range(1, 21))

    def __init__(self, folder, cache_dir):
        self.folder, self.cache_dir = folder, cache_dir
        self.ids = (folder / "val.txt").read_text().split()[:90]

    def image(self, position):
        return np.asarray(Image.open(self.folder / f"JPEGImages/{self.ids[position]}.jpg"))

    def labels(self, position):
        return np.asarray(Image.open(self.folder / f"SegmentationClassAug/{self.ids[position]}.png"))

    def mask(self, position, class_ids, way):
        return relabel(self.labels(position), class_ids)

    def size(self, position):
        return self.labels(position).shape

    def areas(self, position):
        return np.bincount(self.labels(position).ravel(), minlength=256)[1:21].astype(np.int32)

    def eligible(self, position):
        return np.full(20, LISTED | SHRINKS, np.uint8)


@pytest.mark.parametrize(
    "settings",
    [
        InputSettings(24),
        InputSettings(97, input="longside", flip=True),
        InputSettings(64, label="original", void="background"),
    ],
)
def test_every_episode_shows_its_classes(shared, tmp_path, settings):
    photos = Photos(shared / "data" / "voc_animals", tmp_path)
    sampler = EpisodeSampler(
        build_index(photos), photos.class_names, sorted(ANIMALS.values()), ways=2, shots=1, queries=2, seed=0
    )
    void = 0
    for i in range(12):
        episode = load_episode(photos, sampler(i), settings)
        for way in range(2):
            assert (episode.support_masks[way] == way + 1).any()
        for mask in episode.query_masks:
            assert ((mask == 1) | (mask == 2)).any()
            void += int((mask == 255).sum())
        assert {int(label) for label in np.unique(episode.query_masks)} <= {0, 1, 2, 255}
    assert (void > 0) == (settings.void == "ignore")
