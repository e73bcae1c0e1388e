"""Queries of groups are segmented in full calls, and counted against the truth."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.data.resizing import padded
from fsjax.devices import local_pmap
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.metrics import confusion
from fsjax.evaluation.oracle import shown_the_truth
from fsjax.evaluation.photos import Photos, on_devices
from fsjax.evaluation.queries import Embedded
from fsjax.evaluation.scoring import Group, Place, Scoring, episodes_a_call
from fsjax.evaluation.supports import Supports
from fsjax.evaluation.trees import tree_bytes
from fsjax.segmenter import Segmenter

LARGEST = 512 * 10**6
"""Bytes of descriptions and logits that a call may take on each device, if it has more than one episode."""

Counts = list[dict[str, list[list[list[int]]]]]
"""Of each place of a group: for each output the confusion matrices of its queries, [T, N + 2, N + 1]."""


class _Open:
    """A group of which not all places are counted yet."""

    def __init__(self, group: Group):
        self.group = group
        self.counts: list[dict[str, Any]] = [{} for _ in group.places]
        self.left = len(group.places)

    def put(self, number: int, of_outputs: dict[str, Any]) -> None:
        self.counts[number] = of_outputs
        self.left -= 1


class _Call(NamedTuple):
    """The queries of a group, and as many of their episodes as one call has places for."""

    open: _Open
    queries: Sequence[Embedded]
    numbers: Sequence[int]  # among the places of the group

    @property
    def places(self) -> list[Place]:
        return [self.open.group.places[number] for number in self.numbers]


class _Kind(NamedTuple):
    """What calls must share to be made at once: the scoring, and the labels' array."""

    scoring: int
    shape: tuple[int, int]


class Counting:
    """Collects calls until the devices' slots are full, and says which groups are counted.

    What a call's arrays look like follows from the plan of the whole evaluation, so that one that goes on, or
    a process among others, counts in calls of the same shapes.
    """

    def __init__(
        self, photos: Photos, scorings: Sequence[Scoring], plan: Sequence[Group], supports: Supports
    ):
        """Begins without calls.

        Args:
          photos: how they are read.
          scorings: what is scored.
          plan: all groups of the evaluation, whoever counts them.
          supports: describes those of the groups that will be added.
        """
        self._photos, self._scorings, self._plan, self._supports = photos, scorings, plan, supports
        self._pending: dict[_Kind, list[_Call]] = {}
        self._fitting: dict[_Kind, tuple[int, int]] = {}
        self._open: list[_Open] = []

    def add(self, group: Group, queries: Sequence[Embedded]) -> None:
        """Makes the calls of a group as far as slots are full; the rest waits for others."""
        opened = _Open(group)
        self._open.append(opened)
        by_scoring: dict[int, list[int]] = {}
        for number, place in enumerate(group.places):
            by_scoring.setdefault(place.scoring, []).append(number)
        height, width = np.max([one.truth.shape for one in queries], axis=0).tolist()
        for scoring, numbers in by_scoring.items():
            if self._scorings[scoring].segmenter is None:
                self._count_objects(_Call(opened, queries, numbers))
                continue
            kind = _Kind(scoring, (height, width))
            pending = self._pending.setdefault(kind, [])
            episodes = self._places(kind, group.places[numbers[0]])[1]
            for start in range(0, len(numbers), episodes):
                pending.append(_Call(opened, queries, numbers[start : start + episodes]))
                if len(pending) == self._slots(kind):
                    self._count(kind, pending)
                    pending.clear()

    def finish(self) -> None:
        """Makes the calls that are left, in slots of which some stay idle."""
        for kind, calls in self._pending.items():
            if calls:
                self._count(kind, calls)
                calls.clear()

    def counted(self) -> Iterator[tuple[Group, Counts]]:
        """Yields the groups all of whose places have been counted since this was last asked."""
        done = [one for one in self._open if not one.left]
        self._open = [one for one in self._open if one.left]
        for one in done:
            yield one.group, one.counts

    def _places(self, kind: _Kind, first: Place | None = None) -> tuple[int, int]:
        """Returns how many groups of queries a call has slots for on a device, and episodes of each group."""
        if kind not in self._fitting:
            assert first is not None, "a kind begins with a call"
            self._fitting[kind] = self._fitted(kind, first)
        return self._fitting[kind]

    def _fitted(self, kind: _Kind, first: Place) -> tuple[int, int]:
        scoring, segmenter = self._scorings[kind.scoring], self._segmenter(kind.scoring)
        spec = scoring.specs[first.episode]
        pixels = (len(spec.query) if scoring.together else 1) * math.prod(kind.shape)
        size = pixels * (len(spec.class_ids) + 1) * 4 * len(segmenter.method.outputs)
        if not scoring.oracle:
            size += tree_bytes(self._supports.of(segmenter, spec))
        most = max(1, LARGEST // size)
        episodes = min(episodes_a_call(self._plan, kind.scoring), most)
        return max(1, min(self._photos.batch_size, most) // episodes), episodes

    def _slots(self, kind: _Kind) -> int:
        """Returns how many groups of queries are in a call, on all devices of this process."""
        return jax.local_device_count() * self._places(kind)[0]

    def _count(self, kind: _Kind, calls: Sequence[_Call]) -> None:
        """Segments and counts calls of a kind, at most as many as there are slots."""
        number, slots = kind.scoring, self._slots(kind)
        scoring, segmenter = self._scorings[number], self._segmenter(number)
        filled = [_filled(call, self._places(kind)[1]) for call in calls]
        features = on_devices(
            [_over_queries([one.features for one in call.queries]) for call in filled], slots
        )
        truths = on_devices([self._truths(kind, call) for call in filled], slots)
        sizes = on_devices([np.stack([one.truth.size for one in call.queries]) for call in filled], slots)
        if scoring.oracle:  # at one scale, whatever the others are segmented at
            features = [features[segmenter.scales.unscaled]]
            descriptions = shown_the_truth(segmenter, self._ways(number), features[0], truths, sizes)
        else:
            descriptions = on_devices([self._described(number, call) for call in filled], slots)
        present = np.ones(jax.tree.leaves(descriptions)[0].shape[:5], bool)
        fitted = segmenter.fit_described(descriptions, present)
        logits = segmenter.segment_features(fitted, features, kind.shape, sizes)
        counting = _counting(self._ways(number))
        counted = {}
        for output in scoring.outputs:
            matrices = np.asarray(counting(logits[output], truths, sizes))
            counted[output] = matrices.reshape(slots, *matrices.shape[2:])
        _put(calls, counted)

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

    def _count_objects(self, call: _Call) -> None:
        (truth,) = (one.truth for one in call.queries)
        assert truth.objects is not None, "they are read where they are counted"
        height, width = truth.size
        for number, place in zip(call.numbers, call.places, strict=True):
            scoring = self._scorings[place.scoring]
            mask = truth.masks[scoring.specs[place.episode].class_ids]
            matrix = count_prediction(truth.objects[:height, :width], mask[:height, :width], 1)
            call.open.put(number, {output: [matrix.tolist()] for output in scoring.outputs})


def _put(calls: Sequence[_Call], counted: dict[str, np.ndarray]) -> None:
    """Notes what was counted, of each output [slots, E, T, N + 2, N + 1].

    What is left over filled the slots and the places up.
    """
    for i, call in enumerate(calls):
        for j, number in enumerate(call.numbers):
            call.open.put(number, {output: matrices[i, j].tolist() for output, matrices in counted.items()})


def _filled(call: _Call, episodes: int) -> _Call:
    return call._replace(numbers=[*call.numbers, *[call.numbers[-1]] * (episodes - len(call.numbers))])


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
    return local_pmap(jax.vmap(of_episodes))
