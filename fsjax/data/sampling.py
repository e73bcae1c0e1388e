"""Which images make up episode i: a pure function of (seed, i)."""

import functools
import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fsjax.config.fields import as_text
from fsjax.data.index import ClassIndex, MinArea
from fsjax.errors import InputError

# Third words of a seed sequence: each kind of draw has its own stream. Never 0, which NumPy pads with.
_ABSENT, _PRESENT = 2, 3
_PAIRS, _PAIR_SUPPORTS = 8, 9
_IMAGE_WALK = 10
_ATTEMPTS = 100


@dataclass(frozen=True)
class EpisodeSpec:
    """Which images make up one N-way K-shot episode with T queries; positions are the source's."""

    index: int  # the global episode index
    class_ids: tuple[int, ...]  # the ways, which are scored
    support: tuple[tuple[int, ...], ...]  # K positions for each way
    query: tuple[int, ...]  # T positions
    shown: tuple[int, ...]  # the classes that the supports' masks show: class_ids, save in the controls


def fold_classes(folds: Sequence[Sequence[int]], fold: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the class ids of a fold's training (base) and testing (novel) episodes.

    Args:
        folds: the class ids that each fold holds out.
        fold: which one, counted from 0.

    Raises:
        InputError: there is no such fold.

    >>> fold_classes([[1, 2], [3, 4], [5, 6]], fold=1)
    ((1, 2, 5, 6), (3, 4))
    """
    if not 0 <= fold < len(folds):
        raise InputError(f"fold={fold} does not exist; choose one of 0 to {len(folds) - 1}.")
    base = sorted(c for number, held_out in enumerate(folds) if number != fold for c in held_out)
    return tuple(base), tuple(folds[fold])


class TooFewImagesError(InputError):
    """Classes have too few images for an episode.

    Attributes:
        found: what is wrong, in words.
        names: of the classes to be left out.
    """

    def __init__(self, found: str, names: Sequence[str]):
        """Makes the sentence of what is wrong and of the classes to be left out."""
        super().__init__(
            f"{found}; add images, lower the shots, or leave classes out with "
            f"--config.data.leave_out={shlex.quote(as_text(names))}."
        )
        self.found, self.names = found, tuple(names)

    def together_with(self, names: Sequence[str]) -> "TooFewImagesError":
        """Returns the same, with other classes that are or have to be left out."""
        return TooFewImagesError(self.found, tuple(dict.fromkeys((*names, *self.names))))


class EpisodeSampler:
    """Draws episodes of a set of classes: `sampler(i)` is a pure function of (seed, i).

    N different classes are drawn uniformly; a way's supports are K different images of its class;
    query t shows the class of way order[t mod N], the order being drawn for each episode. Queries
    differ from one another and from every support. Two ways may share a support image (as in PANet).

    Attributes:
        policy: its name in a configuration.
        counted: which images count for which class, bool [n, C].
    """

    policy = "class_uniform"

    def __init__(
        self,
        index: ClassIndex,
        class_names: Sequence[str],
        classes: Sequence[int],
        *,
        ways: int,
        shots: int,
        queries: int,
        seed: int,
        min_area: MinArea = 1,
        without: Collection[int] = (),
    ):
        """Sets up the draw.

        Args:
            index: the class index of the images.
            class_names: the name of each class id, for messages.
            classes: the class ids to draw from.
            ways: N, classes an episode, 1 or more.
            shots: K, support images a way, 1 or more.
            queries: T, query images an episode, 1 or more.
            seed: 0 or more.
            min_area: which images count for a class: see `ClassIndex.counts`.
            without: class ids whose images are left out altogether (`drop_novel_images`).

        Raises:
            TooFewImagesError: a class has fewer than K + ceil(T / N) eligible images.
            InputError: there are fewer classes than ways.
        """
        if len(classes) < ways:
            raise InputError(
                f"ways={ways} needs as many classes, and there are {len(classes)}; "
                "lower the ways or add classes."
            )
        self.index, self.class_names, self.classes = index, class_names, tuple(classes)
        self.ways, self.shots, self.queries, self.seed = ways, shots, queries, seed
        self.min_area, self.without = min_area, tuple(sorted(without))
        dropped = np.count_nonzero(index.areas[:, [c - 1 for c in self.without]], axis=1) > 0
        self.counted = index.counts(min_area) & ~dropped[:, None]
        self._eligible = {c: self.eligible(c) for c in self.classes}
        self._check_counts()

    def _check_counts(self) -> None:
        need = self.shots + math.ceil(self.queries / self.ways)
        few = {c: len(positions) for c, positions in self._eligible.items() if len(positions) < need}
        if not few:
            return
        first, *others = (self.class_names[c - 1] for c in few)
        rest = f", and {len(others)} other classes have too few, too" if others else ""
        raise TooFewImagesError(
            f"class '{first}' has {next(iter(few.values()))} eligible images and an episode needs {need} of "
            f"one class{rest}",
            (first, *others),
        )

    def eligible(self, class_id: int) -> np.ndarray:
        """Returns the positions [m] from which any class of the data set may be drawn."""
        return np.flatnonzero(self.counted[:, class_id - 1])

    def __call__(self, i: int) -> EpisodeSpec:
        """Returns episode i.

        Raises:
            InputError: the classes share so few images that no episode could be drawn.
        """
        rng = np.random.default_rng([self.seed, i])
        for _ in range(_ATTEMPTS):
            spec = self._draw(rng, i)
            if spec is not None:
                return spec
        raise InputError(
            f"no {self.ways}-way {self.shots}-shot episode with {self.queries} queries could be drawn: "
            "the classes share too few images; add images or ask for fewer ways, shots or queries."
        )

    def _draw(self, rng: np.random.Generator, i: int) -> EpisodeSpec | None:
        classes = [int(c) for c in rng.choice(self.classes, self.ways, replace=False)]
        support = tuple(_choose(rng, self._eligible[c], self.shots) for c in classes)
        taken = [position for way in support for position in way]
        order = rng.permutation(self.ways)
        query: list[int] = []
        for t in range(self.queries):
            left = _other_than(self._eligible[classes[order[t % self.ways]]], taken + query)
            if not len(left):  # other ways took this class's last images
                return None
            query += _choose(rng, left, 1)
        return EpisodeSpec(i, tuple(classes), support, tuple(query), tuple(classes))

    def _check_one_way(self) -> None:
        if self.ways != 1 or self.queries != 1:
            raise InputError(
                f"The policy {self.policy} is one-way with one query: set ways=1 and queries=1, or "
                "policy=class_uniform."
            )

    def _one_way(self, i: int, class_id: int, query: int, rng: np.random.Generator) -> EpisodeSpec:
        """Returns episode i of a given class and query, with supports among the class's other images."""
        support = _choose(rng, _other_than(self._eligible[class_id], [query]), self.shots)
        return EpisodeSpec(i, (class_id,), (support,), (query,), (class_id,))


class PairSampler(EpisodeSampler):
    """Walks through all pairs of an image and a class that it shows, shuffled anew in each epoch.

    Every eligible pair is the query of one episode an epoch, so that a class comes up as often as it
    has images (as in CANet); the supports are K other images of the class. `sampler(i)` is a pure
    function of (seed, i), and the arguments and attributes are those of `EpisodeSampler`.

    Attributes:
        pairs: the number of pairs, which are the episodes of an epoch.
    """

    policy = "pair_epoch"
    in_order = 0  # epochs before the first that is shuffled

    def __init__(self, *arguments: Any, **settings: Any):
        """Sets up the draw; the arguments are those of `EpisodeSampler`.

        Raises:
            InputError: one of `EpisodeSampler`'s reasons, or ways or queries is not 1.
        """
        super().__init__(*arguments, **settings)
        self._check_one_way()
        self._queries = np.concatenate([self._eligible[c] for c in self.classes])
        self._classes = np.repeat(self.classes, [len(self._eligible[c]) for c in self.classes])
        self.pairs = len(self._queries)

    def __call__(self, i: int) -> EpisodeSpec:
        """Returns episode i."""
        epoch, place = divmod(i, self.pairs)
        pair = place if epoch < self.in_order else _shuffled(self.pairs, self.seed, epoch)[place]
        query, class_id = int(self._queries[pair]), int(self._classes[pair])
        return self._one_way(i, class_id, query, np.random.default_rng([self.seed, i, _PAIR_SUPPORTS]))


class ListSampler(PairSampler):
    """Walks through the pairs in the list's order, class by class, then through shuffled copies of it.

    CANet's test: its episodes are the list's pairs, repeated in another order until there are enough.
    """

    policy = "list_walk"
    in_order = 1


class ImageSampler(EpisodeSampler):
    """Walks through the images in the list's order, and again from its head when it ends: PFENet's test.

    The images are those that count for any of the classes. Each is the query of one episode a walk, whose
    class is drawn uniformly among those that it counts for; the supports are K other images of the class.
    `sampler(i)` is a pure function of (seed, i), and the arguments and attributes are those of
    `EpisodeSampler`.
    """

    policy = "image_walk"

    def __init__(self, *arguments: Any, **settings: Any):
        """Sets up the draw; the arguments are those of `EpisodeSampler`.

        Raises:
            InputError: one of `EpisodeSampler`'s reasons, or ways or queries is not 1.
        """
        super().__init__(*arguments, **settings)
        self._check_one_way()
        self._images = np.unique(np.concatenate([self._eligible[c] for c in self.classes]))

    def __call__(self, i: int) -> EpisodeSpec:
        """Returns episode i."""
        query = int(self._images[i % len(self._images)])
        rng = np.random.default_rng([self.seed, i, _IMAGE_WALK])
        class_id = int(rng.choice([c for c in self.classes if self.counted[query, c - 1]]))
        return self._one_way(i, class_id, query, rng)


SAMPLERS = {sampler.policy: sampler for sampler in (EpisodeSampler, PairSampler, ListSampler, ImageSampler)}
"""By the names of their policies."""


def make_sampler(
    policy: str,
    index: ClassIndex,
    class_names: Sequence[str],
    classes: Sequence[int],
    *,
    ways: int,
    shots: int,
    queries: int,
    seed: int,
    min_area: MinArea = 1,
    without: Collection[int] = (),
) -> EpisodeSampler:
    """Returns the sampler of a policy.

    Args:
        policy: "class_uniform" (`EpisodeSampler`), "pair_epoch" (`PairSampler`), "list_walk"
            (`ListSampler`) or "image_walk" (`ImageSampler`).
        index: as in `EpisodeSampler`, like all that follow.
        class_names: the name of each class id.
        classes: the class ids to draw from.
        ways: N.
        shots: K.
        queries: T.
        seed: 0 or more.
        min_area: which images count for a class.
        without: class ids whose images are left out.

    Raises:
        InputError: one of the sampler's reasons.
    """
    return SAMPLERS[policy](
        index, class_names, classes,
        ways=ways, shots=shots, queries=queries, seed=seed, min_area=min_area, without=without,
    )  # fmt: skip


@functools.lru_cache(maxsize=4)  # threads that load ahead are in two epochs for a while
def _shuffled(pairs: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, _PAIRS]).permutation(pairs)


def other_support(spec: EpisodeSpec, sampler: EpisodeSampler, present: bool) -> EpisodeSpec | None:
    """Returns the wrong-support control of a one-way episode: the same queries, supports of another class.

    Args:
        spec: the episode; its class is still the one that is scored.
        sampler: where it was drawn.
        present: False takes a class of the sampler's that no query shows a pixel of, and supports
            without the right class where enough of them exist; True takes any class of the data set
            that every query shows.

    Returns:
        The control, a pure function of the sampler's seed and the episode's index, or None where
        there is no such class.
    """
    (right,), (shots,), query = spec.class_ids, {len(way) for way in spec.support}, list(spec.query)
    areas = sampler.index.areas
    if present:
        everywhere = sampler.counted[query].all(axis=0)
        candidates = [column + 1 for column in np.flatnonzero(everywhere).tolist()]
    else:
        candidates = [c for c in sampler.classes if not areas[query, c - 1].any()]
    pools = {c: _other_than(sampler.eligible(c), query) for c in candidates if c != right}
    pools = {c: pool for c, pool in pools.items() if len(pool) >= shots}
    if not pools:
        return None
    rng = np.random.default_rng([sampler.seed, spec.index, _PRESENT if present else _ABSENT])
    shown = int(rng.choice(list(pools)))
    pool = pools[shown]
    clean = pool[areas[pool, right - 1] == 0]
    if not present and len(clean) >= shots:
        pool = clean
    return replace(spec, support=(_choose(rng, pool, shots),), shown=(shown,))


def _choose(rng: np.random.Generator, positions: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple(int(p) for p in rng.choice(positions, count, replace=False))


def _other_than(positions: np.ndarray, taken: Sequence[int]) -> np.ndarray:
    return positions[~np.isin(positions, taken)]
