"""Evaluation that sees each photo once, or once a role: supports are described, then queries are segmented.

Variables do not change in an evaluation without adaptation, and its episodes are made of few photos: a fold
of PASCAL's val has some 330 to 590, of which 5 x 1000 one-shot episodes show 10,000.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.data.images import mask_of_way
from fsjax.data.resizing import padded
from fsjax.data.store import Store
from fsjax.evaluation.contents import Content
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.metrics import confusion
from fsjax.evaluation.photos import Photos, on_devices
from fsjax.evaluation.queries import Embedded, Queries
from fsjax.evaluation.scoring import Group, Place, Scoring, episodes_a_call
from fsjax.evaluation.supports import Extracted, Supports
from fsjax.evaluation.trees import Trees, tree_bytes
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter

LARGEST = 512 * 10**6
"""Bytes of descriptions and logits that a call may take on each device, if it has more than one episode."""

Counts = dict[str, list[np.ndarray]]
"""For each output the confusion matrices of every episode, int [T, N + 2, N + 1] each."""


@dataclass(frozen=True)
class Counted:
    """What an evaluation counted.

    Attributes:
      counts: of each scoring.
      extracted: how often each photo went through the backbone.
      contents: what each query shows, by its position and the classes of the episode.
    """

    counts: Sequence[Counts]
    extracted: Extracted
    contents: Mapping[tuple[int, tuple[int, ...]], Content]


def evaluate(photos: Photos, scorings: Sequence[Scoring]) -> Counted:
    """Segments the queries of all episodes, and counts the predictions against the truth.

    Args:
      photos: how they are read.
      scorings: what is scored; their segmenters share one backbone and its variables.

    Raises:
      InputError: for photos that cannot be read, or no room on the disk for what the memory does not hold.
    """
    segmenters = list(dict.fromkeys(s.segmenter for s in scorings if s.segmenter is not None))
    shown = [spec for s in scorings if s.segmenter is not None and not s.oracle for spec in s.specs]
    queried = {position for scoring in scorings for spec in scoring.specs for position in spec.query}
    with Store(None, photos.memory) as store:
        trees = Trees(store)
        supports = Supports(photos, segmenters, trees)
        if shown:
            supports.describe(shown, queried)
        queries = Queries(photos, scorings, segmenters[0] if segmenters else None, supports, trees)
        counts = _Counting(photos, scorings, supports, queries).run()
        return Counted(counts, supports.extracted + queries.extracted, queries.contents)


class _Call(NamedTuple):
    """The queries of a group, and as many of their episodes as one call has places for."""

    queries: Sequence[Embedded]
    places: Sequence[Place]


class _Kind(NamedTuple):
    """What calls must share to be made at once: the scoring, and the labels' array."""

    scoring: int
    shape: tuple[int, int]


class _Counting:
    """Collects calls until the devices' slots are full, and puts their counts where they belong."""

    def __init__(self, photos: Photos, scorings: Sequence[Scoring], supports: Supports, queries: Queries):
        self._photos, self._scorings, self._supports, self._queries = photos, scorings, supports, queries
        self._pending: dict[_Kind, list[_Call]] = {}
        self._fitting: dict[_Kind, tuple[int, int]] = {}
        self._found: list[dict[str, list[list[Any]]]] = [
            {output: [[None] * len(spec.query) for spec in s.specs] for output in s.outputs} for s in scorings
        ]

    def run(self) -> list[Counts]:
        """Returns the counts of each scoring."""
        groups = len(self._queries.groups)
        with Progress("queries", groups, "photo") as progress, closing(self._queries.embedded()) as batches:
            for batch in batches:
                for group, queries in batch:
                    self._add(group, queries)
                progress.update(len(batch))
        for kind, calls in self._pending.items():
            if calls:
                self._count(kind, calls)
        return [
            {output: [np.stack(of_queries) for of_queries in found] for output, found in of_outputs.items()}
            for of_outputs in self._found
        ]

    def _places(self, kind: _Kind) -> tuple[int, int]:
        """Returns how many groups of queries a call has slots for on a device, and episodes of each group."""
        if kind not in self._fitting:
            self._fitting[kind] = self._fitted(kind)
        return self._fitting[kind]

    def _fitted(self, kind: _Kind) -> tuple[int, int]:
        scoring, segmenter = self._scorings[kind.scoring], self._segmenter(kind.scoring)
        spec = scoring.specs[0]
        pixels = (len(spec.query) if scoring.together else 1) * math.prod(kind.shape)
        size = pixels * (len(spec.class_ids) + 1) * 4 * len(segmenter.method.outputs)
        if not scoring.oracle:
            size += tree_bytes(self._supports.of(segmenter, spec))
        most = max(1, LARGEST // size)
        episodes = min(episodes_a_call(self._queries.groups, kind.scoring), most)
        return max(1, min(self._photos.batch_size, most) // episodes), episodes

    def _slots(self, kind: _Kind) -> int:
        """Returns how many groups of queries are in a call, on all devices."""
        return jax.local_device_count() * self._places(kind)[0]

    def _add(self, group: Group, queries: Sequence[Embedded]) -> None:
        by_scoring: dict[int, list[Place]] = {}
        for place in group.places:
            by_scoring.setdefault(place.scoring, []).append(place)
        height, width = np.max([one.truth.shape for one in queries], axis=0).tolist()
        for scoring, places in by_scoring.items():
            if self._scorings[scoring].segmenter is None:
                self._count_objects(scoring, places, queries)
                continue
            kind = _Kind(scoring, (height, width))
            pending, (_, episodes) = self._pending.setdefault(kind, []), self._places(kind)
            for start in range(0, len(places), episodes):
                pending.append(_Call(queries, places[start : start + episodes]))
                if len(pending) == self._slots(kind):
                    self._count(kind, pending)
                    pending.clear()

    def _count(self, kind: _Kind, calls: Sequence[_Call]) -> None:
        """Segments and counts calls of a kind, at most as many as there are slots."""
        number, slots = kind.scoring, self._slots(kind)
        scoring, segmenter = self._scorings[number], self._segmenter(number)
        filled = [self._filled(call, self._places(kind)[1]) for call in calls]
        features = on_devices(
            [_over_queries([one.features for one in call.queries]) for call in filled], slots
        )
        truths = on_devices([self._truths(kind, call) for call in filled], slots)
        sizes = on_devices([np.stack([one.truth.size for one in call.queries]) for call in filled], slots)
        if scoring.oracle:  # at one scale, whatever the others are segmented at
            features = [features[segmenter.scales.unscaled]]
            descriptions = self._shown_the_truth(number, features[0], truths, sizes)
        else:
            descriptions = on_devices([self._described(number, call) for call in filled], slots)
        present = np.ones(jax.tree.leaves(descriptions)[0].shape[:5], bool)
        fitted = segmenter.fit_described(descriptions, present)
        logits = segmenter.segment_features(fitted, features, kind.shape, sizes)
        counting = _counting(self._ways(number))
        for output in scoring.outputs:
            counted = np.asarray(counting(logits[output], truths, sizes))
            self._put(number, output, calls, counted.reshape(slots, *counted.shape[2:]))

    def _put(self, scoring: int, output: str, calls: Sequence[_Call], counted: np.ndarray) -> None:
        # What is left over filled the slots and the places up.
        for call, of_call in zip(calls, counted[: len(calls)], strict=True):
            for place, matrices in zip(call.places, of_call[: len(call.places)], strict=True):
                for t, matrix in zip(place.queries, matrices, strict=True):
                    self._found[scoring][output][place.episode][t] = matrix

    def _filled(self, call: _Call, episodes: int) -> _Call:
        return _Call(call.queries, [*call.places, *[call.places[-1]] * (episodes - len(call.places))])

    def _segmenter(self, scoring: int) -> Segmenter:
        segmenter = self._scorings[scoring].segmenter
        assert segmenter is not None, "the union of all objects is counted without"
        return segmenter

    def _ways(self, scoring: int) -> int:
        return len(self._scorings[scoring].specs[0].class_ids)

    def _truths(self, kind: _Kind, call: _Call) -> np.ndarray:
        """Returns the truth of a call's queries in each of its episodes, uint8 [E, T, H, W]."""
        specs = self._scorings[kind.scoring].specs
        return np.stack(
            [
                np.stack(
                    [
                        padded(one.truth.masks[specs[place.episode].class_ids], *kind.shape)
                        for one in call.queries
                    ]
                )
                for place in call.places
            ]
        )

    def _described(self, scoring: int, call: _Call) -> Any:
        """Returns the descriptions of the supports of a call's episodes, leaves [E, N, K, ...]."""
        specs, segmenter = self._scorings[scoring].specs, self._segmenter(scoring)
        episodes = [self._supports.of(segmenter, specs[place.episode]) for place in call.places]
        return jax.tree.map(lambda *x: np.stack(x), *episodes)

    def _shown_the_truth(
        self, number: int, features: Any, truths: np.ndarray, sizes: np.ndarray
    ) -> tuple[Any, Any]:
        """Describes the queries themselves by their truth, T of them for every way: [D, q, E, N, T, ...]."""
        segmenter, N = self._segmenter(number), self._ways(number)
        D, q, E, T, *side = truths.shape
        masks = np.stack([mask_of_way(truths, way) for way in range(1, N + 1)], 3)  # [D, q, E, N, T, H, W]
        by_photo = np.moveaxis(masks, 4, 2).reshape(D, q * T, E * N, *side)
        mask_sizes = np.broadcast_to(sizes.reshape(D, q * T, 1, 2), (D, q * T, E * N, 2))
        flat = jax.tree.map(lambda x: x.reshape(D, q * T, *x.shape[3:]), features)
        cells, shown = jax.tree.map(np.asarray, segmenter.describe(flat, by_photo, mask_sizes))

        def of_cells(x):
            x = x.reshape(D, q, 1, 1, T, *x.shape[2:])
            return np.broadcast_to(x, (D, q, E, N, *x.shape[4:]))

        def of_shown(x):
            return np.moveaxis(x.reshape(D, q, T, E, N, *x.shape[3:]), 2, 4)

        return jax.tree.map(of_cells, cells), jax.tree.map(of_shown, shown)

    def _count_objects(self, scoring: int, places: Sequence[Place], queries: Sequence[Embedded]) -> None:
        (truth,) = (one.truth for one in queries)
        assert truth.objects is not None, "they are read where they are counted"
        height, width = truth.size
        for place in places:
            mask = truth.masks[self._scorings[scoring].specs[place.episode].class_ids]
            matrix = count_prediction(truth.objects[:height, :width], mask[:height, :width], 1)
            for output in self._scorings[scoring].outputs:
                self._found[scoring][output][place.episode][place.queries[0]] = matrix


def _over_queries(features: Sequence[Sequence[Any]]) -> list[Any]:
    """Returns the features of T queries at each scale, leaves [T, ...]."""
    if len(features) == 1:
        return jax.tree.map(lambda x: x[None], list(features[0]))
    return jax.tree.map(lambda *x: np.stack(x), *map(list, features))


@cache
def _counting(ways: int):
    """Returns the mapped function that counts logits [D, q, E, T, ...] against the truth."""

    def count(logits, truth, size):
        return confusion(jnp.argmax(logits, -1), truth, size, ways=ways)

    of_queries = jax.vmap(count)
    of_episodes = jax.vmap(of_queries, (0, 0, None))
    return jax.pmap(jax.vmap(of_episodes))
