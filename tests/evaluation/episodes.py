"""Episodes of toy photos and segmenters that compile in a moment, for all tests of an evaluation."""

from functools import cache

import jax
import numpy as np

from fsjax.data.images import InputSettings
from fsjax.data.index import build_index
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec
from fsjax.evaluation.photos import Photos
from fsjax.models.fssdino.clustering import Clustering
from fsjax.models.fssdino.fssdino import FSSDINO
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.scales import ONE_SCALE
from fsjax.segmenter import Segmenter
from tests.models.dpnet import toy as dpnet_toy
from tests.models.tiny import linear_backbone
from tests.toy import ToySource

SIDE = 32
CLUSTERING = Clustering(clusters=3, seed=4)
BACKBONE = linear_backbone()
LONGSIDE = {"input": "longside", "label": "original"}


class Toy(ToySource):
    """Toy photos; the object of the first, of class 1, is a single pixel that a resize to `SIDE` skips.

    As a query, a photo is void in its first rows, so that masks of the two roles differ.
    """

    tiny = 0

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(7)
        labels = np.zeros((90, 80), np.uint8)
        labels[30, 41] = 1
        self._photos[self.tiny] = rng.integers(0, 256, (90, 80, 3), dtype=np.uint8), labels

    def mask(self, position, class_ids, way):
        mask = super().mask(position, class_ids, way)
        if way is None:
            mask[:4] = 255
        return mask

    def showing(self, *class_ids):
        """The positions of photos that show all of these classes."""
        return [p for p in range(len(self.ids)) if set(class_ids) <= set(self.labels(p).ravel().tolist())]


class Alike(Toy):
    """The same photos with masks that do not depend on what the photo is in the episode."""

    def mask(self, position, class_ids, way):
        return super().mask(position, class_ids, 1)


SOURCE = Toy()


def sampler(ways=1, shots=1, queries=1, classes=(1, 2, 3), seed=0):
    names = SOURCE.class_names
    draw = {"ways": ways, "shots": shots, "queries": queries, "seed": seed}
    return EpisodeSampler(build_index(SOURCE), names, classes, **draw)


def drawn(count, **draw):
    draw = sampler(**draw)
    return [draw(i) for i in range(count)]


def crowded(queries=3, episodes=8):
    """One-way one-shot episodes in which each of a few queries meets many supports."""
    shown = SOURCE.showing(1)
    pairs = [(q, s) for q in shown[:queries] for s in [p for p in shown if p != q][:episodes]]
    return [EpisodeSpec(i, (1,), ((s,),), (q,), (1,)) for i, (q, s) in enumerate(pairs)]


def photos(memory=10**9, batch_size=1, size=SIDE, **settings):
    return Photos(SOURCE, InputSettings(size, **settings), batch_size, memory=memory)


@cache
def prnet(joint=False, scales=ONE_SCALE, backbone=BACKBONE, **inputs):
    method = PRNet(backbone)
    variables = method.init(jax.random.key(0))
    return Segmenter(method, variables, FusionSettings(joint=joint), InputSettings(SIDE, **inputs), scales)


@cache
def dpnet(scales=ONE_SCALE):
    method = dpnet_toy.METHOD
    variables = {"backbone": method.backbone.init(jax.random.key(0)), "head": dpnet_toy.PARAMS}
    return Segmenter(method, variables, dpnet_toy.SETTINGS, InputSettings(SIDE + 1), scales)


@cache
def fssdino(clustering=CLUSTERING, scales=ONE_SCALE):
    method = FSSDINO(BACKBONE)
    return Segmenter(method, method.init(jax.random.key(0)), clustering, InputSettings(SIDE), scales)


def assert_same(counts, expected, outputs):
    """Confusion matrices of all episodes, exactly."""
    for output in outputs:
        assert len(counts[output]) == len(expected[output])
        for matrices, others in zip(counts[output], expected[output], strict=True):
            np.testing.assert_array_equal(matrices, others, err_msg=output)
