"""A small data set in memory, for tests of every room."""

import os
from pathlib import Path

import numpy as np

from fsjax.data.source import LISTED, SHRINKS

NO_CACHE = Path(os.devnull) / "cache"  # a folder that cannot be made: the class index is not kept


class ToySource:
    """Forty photos of six classes in three folds; a pure function of the seed, and picklable.

    Photo p shows class p mod 6 + 1 and two thirds of them a second class; each object is a rectangle
    of its class's colour with a void outline, on noise. Sizes vary. `cache_dir` is for the class index.
    """

    name = "toy"
    version = "1.0.0"
    title = "toy photos"
    split = "test"
    class_names = ("ant", "bee", "cat", "dog", "emu", "fox")
    folds = ((1, 2), (3, 4), (5, 6))

    def __init__(self, cache_dir: Path = NO_CACHE, n: int = 40, seed: int = 0):
        self.cache_dir = cache_dir
        self.ids = [f"toy_{position:03d}" for position in range(n)]
        self._photos = [_draw(np.random.default_rng([seed, position]), position) for position in range(n)]

    def image(self, position):
        return self._photos[position][0]

    def labels(self, position):
        """The class id of each pixel, from which masks are made; no part of a Source."""
        return self._photos[position][1]

    def mask(self, position, class_ids, way):
        labels = self.labels(position)
        mask = np.where(labels == 255, np.uint8(255), np.uint8(0))
        for number, class_id in enumerate(class_ids, 1):
            mask[labels == class_id] = number
        return mask

    def size(self, position):
        return self._photos[position][0].shape[:2]

    def areas(self, position):
        return np.bincount(self.labels(position).ravel(), minlength=256)[1:7].astype(np.int32)

    def eligible(self, position):
        return np.full(6, LISTED | SHRINKS, np.uint8)


def _draw(rng, position):
    height, width = (int(side) for side in rng.integers(20, 41, 2))
    image = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
    labels = np.zeros((height, width), np.uint8)
    classes = [position % 6 + 1]
    if position % 3:
        classes.append(int(rng.choice([c for c in range(1, 7) if c not in classes])))
    for half, class_id in enumerate(classes):
        top, bottom = sorted(int(row) for row in rng.choice(np.arange(1, height - 1, 4), 2, replace=False))
        left, right = half * width // 2 + 2, (half + 1) * width // 2 - 2
        labels[top - 1 : bottom + 1, left - 1 : right + 1] = 255
        labels[top:bottom, left:right] = class_id
        image[top:bottom, left:right] = _COLOURS[class_id]
    return image, labels


_COLOURS = np.array(
    [[0, 0, 0], [230, 40, 40], [40, 230, 40], [40, 40, 230], [230, 230, 40], [230, 40, 230], [40, 230, 230]],
    np.uint8,
)
