"""The supports of an evaluation: every photo is embedded once and described under each mask it is given."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fsjax.data.images import load_mask, load_photo, mask_of_way
from fsjax.data.sampling import EpisodeSpec
from fsjax.evaluation.photos import Photos, in_batches, on_devices, on_host
from fsjax.evaluation.trees import Trees, tree_bytes
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter

Asked = tuple[tuple[int, ...], int]
"""The classes of an episode's masks, and the way whose mask it is."""

Extracted = Counter[tuple[int, str, float]]
"""How often each photo went through the backbone: by position, role and scale."""


@dataclass(frozen=True)
class Loaded:
    """A support photo with its different masks."""

    position: int
    image: np.ndarray  # uint8 [S, S, 3]
    size: np.ndarray  # int32 [2]
    masks: Mapping[str, np.ndarray]  # by their hash, uint8 [S, S]: 1, 0, 255
    names: Mapping[Asked, str]  # the hash of the mask that was asked for


class Supports:
    """What the support photos of an evaluation show."""

    def __init__(self, photos: Photos, segmenters: Sequence[Segmenter], trees: Trees):
        """Begins without any.

        Args:
          photos: how they are read.
          segmenters: with one backbone and the same variables of it; those that differ in settings alone
            describe alike.
          trees: keeps the descriptions.
        """
        self._photos, self._trees = photos, trees
        self._segmenters: list[Segmenter] = []
        for segmenter in segmenters:
            if not any(map(segmenter.describes_as, self._segmenters)):
                self._segmenters.append(segmenter)
        self._names: dict[tuple[int, Asked], str] = {}
        self._spare: float | None = None  # bytes left for features
        self.extracted: Extracted = Counter()

    def describe(self, specs: Collection[EpisodeSpec], queried: Collection[int]) -> None:
        """Embeds and describes all supports of some episodes.

        Args:
          specs: the episodes.
          queried: positions of photos that will be queries, too; their features are kept where memory allows.
        """
        asked: dict[int, set[Asked]] = defaultdict(set)
        for spec in specs:
            for n, way in enumerate(spec.support, 1):
                for position in way:
                    asked[position].add((spec.shown, n))

        def load(position: int) -> Loaded:
            return self._load(position, sorted(asked[position]))

        read = self._photos.read(load, sorted(asked))
        with Progress("supports", len(asked), "photo") as progress, closing(read):
            for batch in in_batches(read, self._photos.slots):
                self._describe(batch, len(asked), queried)
                progress.update(len(batch))

    def of(self, segmenter: Segmenter, spec: EpisodeSpec) -> tuple[Any, Any]:
        """Returns the descriptions of an episode's supports, leaves [N, K, ...]."""
        number = next(i for i, known in enumerate(self._segmenters) if segmenter.describes_as(known))
        described = [
            (
                self._trees.get(_key(number, position)),
                self._trees.get(_key(number, position, self._names[position, (spec.shown, n)])),
            )
            for n, way in enumerate(spec.support, 1)
            for position in way
        ]
        ways, shots = len(spec.support), len(spec.support[0])
        return jax.tree.map(lambda *x: np.stack(x).reshape(ways, shots, *x[0].shape), *described)

    def features(self, position: int) -> Any:
        """Returns the features of a photo that were kept, None where they were not."""
        key = _features_key(position)
        return self._trees.get(key) if key in self._trees else None

    def _load(self, position: int, asked: Sequence[Asked]) -> Loaded:
        source, settings = self._photos.source, self._photos.settings
        image, size = load_photo(source, position, settings)
        masks, names = {}, {}
        for classes, way in asked:
            mask, _ = load_mask(source, position, classes, way, settings)
            by_way = mask_of_way(mask, way)
            name = hashlib.sha256(by_way.tobytes()).hexdigest()
            masks[name], names[classes, way] = by_way, name
        return Loaded(position, image, size, masks, names)

    def _describe(self, batch: Sequence[Loaded], photos: int, queried: Collection[int]) -> None:
        """Embeds and describes a batch, one of so many photos."""
        slots = self._photos.slots
        images, sizes = on_devices([(one.image, one.size) for one in batch], slots)
        features = self._segmenters[0].embed(images, sizes)
        self.extracted.update((one.position, "support", 1.0) for one in batch)
        M = _rounded(max(len(one.masks) for one in batch))
        masks = on_devices([_filled(list(one.masks.values()), M) for one in batch], slots)
        mask_sizes = np.repeat(sizes[:, :, None], M, 2)
        written = 0
        for number, segmenter in enumerate(self._segmenters):
            described = on_host(segmenter.describe(features, masks, mask_sizes), len(batch))
            written += sum(self._put(number, *one) for one in zip(batch, described, strict=True))
        for one in batch:
            self._names |= {(one.position, asked): name for asked, name in one.names.items()}
        if self._spare is None:
            self._spare = self._photos.memory - photos * written / len(batch)
        self._spare -= self._keep_features(features, batch, queried, self._spare)

    def _put(self, number: int, one: Loaded, described: tuple[Any, Any]) -> int:
        """Stores what a segmenter sees in a photo, and returns the bytes."""
        cells, shown = described
        of_masks = [jax.tree.map(lambda x, m=m: x[m], shown) for m in range(len(one.masks))]
        self._trees.put(_key(number, one.position), cells)
        for name, of_mask in zip(one.masks, of_masks, strict=True):
            self._trees.put(_key(number, one.position, name), of_mask)
        return tree_bytes((cells, of_masks))

    def _keep_features(
        self, features: Any, batch: Sequence[Loaded], queried: Collection[int], spare: float
    ) -> int:
        """Keeps the features of queries as far as there are bytes to spare, and returns how many it took."""
        size, kept = tree_bytes(features) // self._photos.slots, 0
        if size > spare or not any(one.position in queried for one in batch):
            return kept
        for one, tree in zip(batch, on_host(features, len(batch)), strict=True):
            if one.position in queried and kept + size <= spare:
                kept += size * self._trees.keep(_features_key(one.position), tree)
        return kept


def _key(number: int, position: int, name: str = "cells") -> str:
    return f"{number} {position} {name}"


def _features_key(position: int) -> str:
    return f"features {position}"


def _filled(masks: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.stack([*masks, *[masks[-1]] * (count - len(masks))])


def _rounded(count: int) -> int:
    """Returns the next power of two, so that few numbers of masks compile."""
    return 1 << (count - 1).bit_length()
