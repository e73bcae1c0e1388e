"""The supports of an evaluation: every photo is embedded once and described under each mask it is given."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fsjax.data.images import load_mask, load_photo
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.store import Store
from fsjax.errors import InputError
from fsjax.evaluation.photos import Photos, in_batches, on_devices, on_host
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter, mask_of_way

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
    named: Mapping[Asked, str]  # the hash of the mask that was asked for


class Supports:
    """What the support photos of an evaluation show."""

    def __init__(self, photos: Photos, segmenters: Sequence[Segmenter], store: Store):
        """Begins without any.

        Args:
          photos: how they are read.
          segmenters: with one backbone and the same variables of it; each describes in its own way.
          store: keeps the descriptions.
        """
        self._photos, self._segmenters, self._store = photos, segmenters, store
        self._named: dict[tuple[int, Asked], str] = {}
        self._trees: dict[Segmenter, tuple[Any, Any]] = {}
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

        with Progress("supports", len(asked), "photo") as progress:
            for batch in in_batches(self._photos.read(load, sorted(asked)), self._photos.slots):
                self._describe(batch, len(asked), queried)
                progress.update(len(batch))

    def of(self, segmenter: Segmenter, spec: EpisodeSpec) -> tuple[Any, Any]:
        """Returns the descriptions of an episode's supports, leaves [N, K, ...]."""
        number = self._segmenters.index(segmenter)
        trees = self._trees[segmenter]
        cells, shown = [], []
        for n, way in enumerate(spec.support, 1):
            for position in way:
                name = self._named[position, (spec.shown, n)]
                cells.append(self._get(_key(number, position), trees[0]))
                shown.append(self._get(_key(number, position, name), trees[1]))
        shape = len(spec.support), len(spec.support[0])

        def stack(*leaves):
            return np.stack(leaves).reshape(*shape, *leaves[0].shape)

        return jax.tree.map(stack, *cells), jax.tree.map(stack, *shown)

    def size(self, segmenter: Segmenter, spec: EpisodeSpec) -> int:
        """Returns the bytes of the descriptions of an episode's supports."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.of(segmenter, spec)))

    def features(self, position: int) -> Any:
        """Returns the features of a photo that were kept, None where they were not."""
        kept = self._store.get(f"features {position}")
        return None if kept is None else jax.tree.unflatten(self._features_tree, _leaves(kept))

    def _load(self, position: int, asked: Sequence[Asked]) -> Loaded:
        source, settings = self._photos.source, self._photos.settings
        image, size = load_photo(source, position, settings)
        masks, named = {}, {}
        for classes in sorted({classes for classes, _ in asked}):
            mask, _ = load_mask(source, position, classes, "support", settings, original=False)
            for way in (way for of_classes, way in asked if of_classes == classes):
                by_way = mask_of_way(mask, way)
                name = hashlib.sha256(by_way.tobytes()).hexdigest()
                masks[name], named[classes, way] = by_way, name
        return Loaded(position, image, size, masks, named)

    def _describe(self, batch: Sequence[Loaded], photos: int, queried: Collection[int]) -> None:
        slots = self._photos.slots
        images, sizes = on_devices([(one.image, one.size) for one in batch], slots)
        features = self._segmenters[0].embed(images, sizes)
        self.extracted.update((one.position, "support", 1.0) for one in batch)
        M = _rounded(max(len(one.masks) for one in batch))
        masks = on_devices([_filled(list(one.masks.values()), M) for one in batch], slots)
        mask_sizes = np.repeat(sizes[:, :, None], M, 2)
        written = 0
        for number, segmenter in enumerate(self._segmenters):
            described = segmenter.describe(features, masks, mask_sizes)
            self._trees[segmenter] = jax.tree.structure(described[0]), jax.tree.structure(described[1])
            for one, (cells, shown) in zip(batch, on_host(described, len(batch)), strict=True):
                written += self._put(_key(number, one.position), cells)
                for m, name in enumerate(one.masks):
                    of_mask = jax.tree.map(lambda x, m=m: x[m], shown)
                    written += self._put(_key(number, one.position, name), of_mask)
        for one in batch:
            self._named |= {(one.position, asked): name for asked, name in one.named.items()}
        if self._spare is None:
            self._spare = self._photos.memory - photos * written / len(batch)
        if any(one.position in queried for one in batch):
            self._keep_features(features, batch, queried)

    def _keep_features(self, features: Any, batch: Sequence[Loaded], queried: Collection[int]) -> None:
        assert self._spare is not None, "the first descriptions have told how much room they leave"
        self._features_tree = jax.tree.structure(features)
        for one, tree in zip(batch, on_host(features, len(batch)), strict=True):
            arrays = _arrays(tree)
            size = sum(array.nbytes for array in arrays.values())
            if one.position in queried and size <= self._spare:
                self._spare -= size * self._store.keep(f"features {one.position}", arrays)

    def _put(self, key: str, tree: Any) -> int:
        arrays = _arrays(tree)
        if arrays:
            self._store.put(key, arrays)
        return sum(array.nbytes for array in arrays.values())

    def _get(self, key: str, structure: Any) -> Any:
        arrays = self._store.get(key) if structure.num_leaves else {}
        if arrays is None:
            raise InputError(
                "What was put aside on disk during the evaluation is damaged: evaluate again, with a larger "
                "eval.memory if the disk is at fault."
            )
        return jax.tree.unflatten(structure, _leaves(arrays))


def _key(number: int, position: int, name: str = "cells") -> str:
    return f"{number} {position} {name}"


def _arrays(tree: Any) -> dict[str, np.ndarray]:
    return {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _leaves(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[str(i)] for i in range(len(arrays))]


def _filled(masks: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.stack([*masks, *[masks[-1]] * (count - len(masks))])


def _rounded(count: int) -> int:
    """Returns the next power of two, so that few numbers of masks compile."""
    return 1 << (count - 1).bit_length()
