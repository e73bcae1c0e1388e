"""The queries of an evaluation: every photo is read and embedded once, whatever the episodes that show it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fsjax.data.images import label_shape, load_mask, load_photo
from fsjax.evaluation.contents import Content, content_of
from fsjax.evaluation.controls import any_object, shown_classes
from fsjax.evaluation.photos import Photos, in_batches, on_devices, on_host
from fsjax.evaluation.scoring import Group, Scoring
from fsjax.evaluation.supports import Extracted, Supports
from fsjax.evaluation.trees import Trees
from fsjax.segmenter import Segmenter

Classes = tuple[int, ...]


class Truth(NamedTuple):
    """What a query photo shows, for each set of classes that is scored on it."""

    masks: Mapping[Classes, np.ndarray]  # uint8 [H, W]: 0, 1..N, 255
    size: np.ndarray  # int32 [2]
    objects: np.ndarray | None  # bool [H, W], where any object is, if asked for

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the arrays."""
        height, width = next(iter(self.masks.values())).shape
        return height, width


class Query(NamedTuple):
    """A query photo as it is read."""

    position: int
    image: np.ndarray  # uint8 [S, S, 3]
    size: np.ndarray  # int32 [2]
    truth: Truth


class Embedded(NamedTuple):
    """A query with its features at each scale."""

    truth: Truth
    features: Sequence[Any]


class Queries:
    """The queries of some scorings, which share one backbone and its variables."""

    def __init__(
        self,
        photos: Photos,
        scorings: Sequence[Scoring],
        groups: Iterable[Group],
        segmenter: Segmenter | None,
        supports: Supports,
        trees: Trees,
    ):
        """Plans the work.

        Args:
          photos: how they are read.
          scorings: what is scored.
          groups: those of the scorings' groups that are wanted.
          segmenter: embeds for all scorings; None where no features are needed.
          supports: may have kept features of photos that are queries, too.
          trees: keeps queries that a later group needs again.
        """
        self.groups = sorted(groups, key=lambda group: _missing(group, supports))
        self.extracted: Extracted = Counter()
        self.contents: dict[tuple[int, Classes], Content] = {}
        self._photos, self._segmenter = photos, segmenter
        self._supports, self._trees = supports, trees
        self._objects = any(scoring.segmenter is None for scoring in scorings)
        self._classes: dict[int, set[Classes]] = defaultdict(set)
        for group in self.groups:
            for position in group.positions:
                specs = (scorings[place.scoring].specs[place.episode] for place in group.places)
                self._classes[position] |= {spec.class_ids for spec in specs}

    def embedded(self) -> Generator[list[tuple[Group, list[Embedded]]], None, None]:
        """Yields all groups in batches, the next batch being on its way through the backbone."""
        left = Counter(position for group in self.groups for position in group.positions)
        for groups, queries, features in _one_ahead(self._extracting()):
            new = {
                query.position: Embedded(query.truth, of_query)
                for query, of_query in zip(queries, features(), strict=True)
            }
            needed = {position for group in groups for position in group.positions}
            there = new | {position: self._trees.get(_key(position)) for position in needed - new.keys()}
            yield [(group, [there[position] for position in group.positions]) for group in groups]
            left.subtract(position for group in groups for position in group.positions)
            for position, query in new.items():
                if left[position]:
                    self._trees.put(_key(position), query)

    def contents_of(self, group: Group) -> list[tuple[int, Classes, Content]]:
        """Returns what the photos of a group that was read show beside what is asked for."""
        return [
            (position, classes, self.contents[position, classes])
            for position in group.positions
            for classes in sorted(self._classes[position])
        ]

    def _extracting(self) -> Iterator[tuple[list[Group], list[Query], Callable[[], list[list[Any]]]]]:
        """Yields batches of groups, the queries that are new in them, and a promise of their features."""
        positions = list(dict.fromkeys(position for group in self.groups for position in group.positions))
        read = self._photos.read(self._load, positions)
        seen: set[int] = set()
        for groups in in_batches(self.groups, self._photos.slots):
            new = {position for group in groups for position in group.positions} - seen
            seen |= new
            queries = [next(read) for _ in new]
            yield groups, queries, self._extract(queries)

    def _load(self, position: int) -> Query:
        source, settings = self._photos.source, self._photos.settings
        shape = label_shape(source, (position,), settings) if settings.label == "original" else None
        read = partial(load_mask, source, position, way=None, settings=settings, original=shape)
        image, size = load_photo(source, position, settings)
        masks = {classes: read(class_ids=classes) for classes in sorted(self._classes[position])}
        objects = (
            any_object(read(class_ids=shown_classes(source.areas(position)))[0]) if self._objects else None
        )
        _, mask_size = next(iter(masks.values()))
        for classes, (mask, (height, width)) in masks.items():
            shown = content_of(mask[:height, :width], len(classes), source.areas(position))
            self.contents[position, classes] = shown
        truth = Truth({classes: mask for classes, (mask, _) in masks.items()}, mask_size, objects)
        return Query(position, image, size, truth)

    def _extract(self, queries: Sequence[Query]) -> Callable[[], list[list[Any]]]:
        """Starts the extraction of features at every scale, and returns a function that waits for them."""
        segmenter = self._segmenter
        if segmenter is None:
            return lambda: [[] for _ in queries]
        kept = {query.position: self._supports.features(query.position) for query in queries}
        at_scales = []
        for factor in segmenter.scales.factors:
            new = [query for query in queries if factor != 1 or kept[query.position] is None]
            self.extracted.update((query.position, "query", factor) for query in new)
            batches = in_batches(new, self._photos.slots)
            begun = [(len(batch), segmenter.embed(*self._arrays(batch), factor)) for batch in batches]
            at_scales.append((new, begun))

        def wait() -> list[list[Any]]:
            features = []
            for new, batches in at_scales:
                trees = [tree for count, batch in batches for tree in on_host(batch, count)]
                found = {query.position: tree for query, tree in zip(new, trees, strict=True)}
                features.append([found.get(query.position, kept[query.position]) for query in queries])
            return [list(of_query) for of_query in zip(*features, strict=True)]

        return wait

    def _arrays(self, queries: Sequence[Query]) -> tuple[np.ndarray, np.ndarray]:
        return on_devices([(query.image, query.size) for query in queries], self._photos.slots)


def _missing(group: Group, supports: Supports) -> int:
    """Returns how many photos still have to be embedded; groups without any come first.

    Batches of the others are then full.
    """
    return sum(supports.features(position) is None for position in group.positions)


def _key(position: int) -> str:
    return f"query {position}"


def _one_ahead(items: Iterable[Any]) -> Iterator[Any]:
    """Yields items when the next one has been begun."""
    waiting: list[Any] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == 2:
            yield waiting.pop(0)
    yield from waiting
