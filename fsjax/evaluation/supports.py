"""The supports of an evaluation: every photo is embedded once and described under each mask it is given."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from fsjax.data.images import load_mask, load_photo, mask_of_way
from fsjax.data.sampling import EpisodeSpec
from fsjax.evaluation.described import Asked, Described, pack, structures, unpack
from fsjax.evaluation.photos import Photos, in_batches, on_devices, on_host
from fsjax.evaluation.team import Team, deal_photos
from fsjax.evaluation.trees import Trees, tree_bytes
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter

MASKS = 4
"""Of each photo that are described in one call, at most; whoever is described with it changes nothing."""

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
    """What the support photos of an evaluation show.

    Each photo is described by one process. The others, whose queries' episodes show it, too, are told what it
    shows: some kilobytes, or as much as a feature map, but not the photo's features.
    """

    def __init__(
        self, photos: Photos, segmenters: Sequence[Segmenter], plan: Iterable[EpisodeSpec], trees: Trees
    ):
        """Begins without any.

        Args:
          photos: how they are read.
          segmenters: with one backbone and the same variables of it; those that differ in settings alone
            describe alike.
          plan: all episodes of the evaluation, whose supports decide the shape of a call, whoever makes it.
          trees: keeps the descriptions.
        """
        self._photos, self._trees = photos, trees
        self._segmenters: list[Segmenter] = []
        for segmenter in segmenters:
            if not any(map(segmenter.describes_as, self._segmenters)):
                self._segmenters.append(segmenter)
        most = max((len(asked) for asked in _asked(plan).values()), default=1)
        self._masks = min(MASKS, 1 << (most - 1).bit_length())  # few numbers of masks compile
        self._names: dict[tuple[int, Asked], str] = {}
        self._spare: float | None = None  # bytes left for features
        self.extracted: Extracted = Counter()

    def describe(
        self, specs: Sequence[Iterable[EpisodeSpec]], queried: Sequence[Collection[int]], team: Team
    ) -> None:
        """Embeds this process's share of the supports of some episodes, and describes all for its own ones.

        Args:
          specs: the episodes of each process's queries.
          queried: positions of the photos that will be queries of each process, too; it embeds them as
            supports, and keeps their features where memory allows.
          team: the processes.
        """
        needed = [_asked(of_process) for of_process in specs]
        asked = _merged(needed)
        shares = deal_photos(asked, queried)
        own, mine = shares[team.index], needed[team.index]

        def load(position: int) -> Loaded:
            return self._load(position, sorted(asked[position]))

        read = self._photos.read(load, own)
        rounds = max(math.ceil(len(share) / self._photos.slots) for share in shares)
        with Progress("supports", len(own), "photo") as progress, closing(read):
            batches = in_batches(read, self._photos.slots)
            for batch in (next(batches, []) for _ in range(rounds)):
                features, described = self._described(batch) if batch else (None, [])
                told = [one for one in self._told(described, team) if one.position in mine]
                written = sum(self._put(one, mine[one.position]) for one in told)
                if self._spare is None and told:
                    self._spare = self._photos.memory - len(mine) * written / len(told)
                if batch and self._spare is not None:
                    self._spare -= self._keep_features(features, batch, queried[team.index], self._spare)
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

    def _described(self, batch: Sequence[Loaded]) -> tuple[Any, list[Described]]:
        """Embeds and describes a batch; returns the features, [D, b, ...], and what each photo shows."""
        slots = self._photos.slots
        images, sizes = on_devices([(one.image, one.size) for one in batch], slots)
        features = self._segmenters[0].embed(images, sizes)
        self.extracted.update((one.position, "support", 1.0) for one in batch)
        cells: list[list[Any]] = [[] for _ in batch]
        shown: list[list[dict[str, Any]]] = [[] for _ in batch]
        for segmenter in self._segmenters:
            for i, (of_photo, of_masks) in enumerate(self._seen(segmenter, features, batch, sizes)):
                cells[i].append(of_photo)
                shown[i].append(of_masks)
        return features, [
            Described(one.position, one.names, *seen) for one, *seen in zip(batch, cells, shown, strict=True)
        ]

    def _seen(
        self, segmenter: Segmenter, features: Any, batch: Sequence[Loaded], sizes: Any
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yields what a segmenter sees in each photo: its cells, and what it shows under each mask."""
        mask_sizes = np.repeat(sizes[:, :, None], self._masks, 2)
        parts = [list(in_batches(one.masks.items(), self._masks)) for one in batch]
        calls = []
        for call in range(max(map(len, parts))):
            chosen = [of_photo[min(call, len(of_photo) - 1)] for of_photo in parts]
            masks = [_filled([mask for _, mask in part], self._masks) for part in chosen]
            found = segmenter.describe(features, on_devices(masks, self._photos.slots), mask_sizes)
            calls.append(on_host(found, len(batch)))
        for i, of_photo in enumerate(parts):
            of_masks = {
                name: jax.tree.map(lambda x, m=m: x[m], calls[call][i][1])
                for call, part in enumerate(of_photo)
                for m, (name, _) in enumerate(part)
            }
            yield calls[0][i][0], of_masks

    def _told(self, described: Sequence[Described], team: Team) -> list[Described]:
        """Returns what all processes have described in this round."""
        if team.count == 1:
            return list(described)
        everything = team.gather(pack(described))
        return [one for data in everything for one in unpack(data, self._structures)]

    @cached_property
    def _structures(self) -> list[Any]:
        side = self._photos.settings.size
        return [structures(segmenter, side) for segmenter in self._segmenters]

    def _put(self, one: Described, asked: Collection[Asked]) -> int:
        """Stores what is asked of a photo, and returns the bytes."""
        written = 0
        names = {of_asked: name for of_asked, name in one.names.items() if of_asked in asked}
        self._names |= {(one.position, of_asked): name for of_asked, name in names.items()}
        for number, (cells, shown) in enumerate(zip(one.cells, one.shown, strict=True)):
            self._trees.put(_key(number, one.position), cells)
            written += tree_bytes(cells)
            for name in set(names.values()):
                self._trees.put(_key(number, one.position, name), shown[name])
                written += tree_bytes(shown[name])
        return written

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


def _asked(specs: Iterable[EpisodeSpec]) -> dict[int, set[Asked]]:
    """Returns which masks some episodes ask of each support photo."""
    asked: dict[int, set[Asked]] = defaultdict(set)
    for spec in specs:
        for n, way in enumerate(spec.support, 1):
            for position in way:
                asked[position].add((spec.shown, n))
    return asked


def _merged(needed: Iterable[Mapping[int, set[Asked]]]) -> dict[int, set[Asked]]:
    merged: dict[int, set[Asked]] = defaultdict(set)
    for asked in needed:
        for position, of_photo in asked.items():
            merged[position] |= of_photo
    return merged


def _key(number: int, position: int, name: str = "cells") -> str:
    return f"{number} {position} {name}"


def _features_key(position: int) -> str:
    return f"features {position}"


def _filled(masks: Sequence[np.ndarray], count: int) -> np.ndarray:
    return np.stack([*masks, *[masks[-1]] * (count - len(masks))])
