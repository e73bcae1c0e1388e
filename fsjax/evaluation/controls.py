"""Rows that are no network's: methods over hand-made features, and the union of all objects."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import jax
import numpy as np

from fsjax.data.images import load_episode
from fsjax.evaluation.baselines import FilterBank, RawRGB, any_object, color_histogram_logits
from fsjax.evaluation.evaluate import Episodes
from fsjax.evaluation.metrics import confusion
from fsjax.models.backbones.resnet import Features
from fsjax.models.dpnet.dpnet import DPNet
from fsjax.models.dpnet.head import compared
from fsjax.models.layers.cross_entropy import upsample
from fsjax.models.prnet.prnet import PRNet


class ColorHistogram:
    """A classifier of pixels by their colour, as a method: its features are the photos themselves."""

    frozen: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = ("histogram",)
    plain: ClassVar[str] = "histogram"
    final: ClassVar[str] = "histogram"

    def embed(self, variables, images, sizes, **unused):
        """Returns the photos as they are."""
        return Features(images, sizes), {}

    def fit(self, variables, supports, masks, sizes):
        """Returns the supports as they are; the histograms are counted when a query is segmented."""
        return supports, masks

    def segment(self, variables, fitted, queries, shape, sizes, settings):
        """Returns the log posteriors of `color_histogram_logits` on the labels' pixels."""
        supports, masks = fitted
        logits = color_histogram_logits(supports.map, masks, supports.sizes, queries.map, queries.sizes)
        return {"histogram": upsample(logits, shape, queries.sizes, sizes)}


@dataclass(frozen=True)
class FrozenPrototypes:
    """PRNet's prototypes, plain and fused, of the features by which another method compares cells.

    Nothing is trained: this is what a method adds to its frozen extractor. Where features are cached, so
    are these.

    Attributes:
      method: whose frozen extractor; its variables are used.
    """

    method: DPNet

    frozen: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = PRNet.outputs
    plain: ClassVar[str] = PRNet.plain
    final: ClassVar[str] = PRNet.final

    def embed(self, variables, images, sizes, **unused):
        """Returns the features of stage 3 before its ReLU."""
        features, statistics = self.method.embed(variables, images, sizes)
        return features._replace(map=compared(features.map)), statistics

    def fit(self, variables, supports, masks, sizes):
        """Returns the support prototypes p_s."""
        return self._prnet.fit(variables, supports, masks, sizes)

    def segment(self, variables, fitted, queries, shape, sizes, settings):
        """Returns PRNet's maps without fusion and after its two stages."""
        return self._prnet.segment(variables, fitted, queries, shape, sizes, settings)

    @property
    def _prnet(self) -> PRNet:
        return PRNet(self.method.extractor, "stage3_pre")


FROZEN_PROTOTYPES = {f"frozen_{name}": name for name in FrozenPrototypes.outputs}
"""Rows of `FrozenPrototypes`, and its outputs."""

BASELINES = {
    "rgb": PRNet(RawRGB(), "map"),
    "texture": PRNet(FilterBank(), "map"),
    "color_histogram": ColorHistogram(),
}
"""Methods without variables; prototypes of raw colours and textures are fused as the network's are."""


def count_any_object(episodes: Episodes) -> Iterator[np.ndarray]:
    """Yields each one-way episode's confusion matrices [T, 3, 2] when every object is taken for its class.

    The truth of all classes is read for it: this is what perfect objectness, and nothing else, would score.
    """
    everything = tuple(range(1, len(episodes.source.class_names) + 1))
    count = jax.jit(jax.vmap(partial(confusion, ways=1)))
    for spec in episodes.specs:
        shown = load_episode(episodes.source, spec, episodes.settings)
        united = replace(spec, class_ids=everything)
        labels = load_episode(episodes.source, united, episodes.settings).query_masks
        yield np.asarray(count(any_object(labels), shown.query_masks, shown.query_mask_sizes))
