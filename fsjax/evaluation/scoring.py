"""What is scored: episodes, and the queries that they have in common."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fsjax.data.sampling import EpisodeSpec
from fsjax.segmenter import Segmenter

MOST_EPISODES = 8
"""Of one query that are segmented in one call: their prototypes are compared as one matrix product."""

WASTE = 1.15
"""A call may have so many times as many places as episodes."""


@dataclass(frozen=True, eq=False)
class Scoring:
    """Episodes that a segmenter is scored on.

    Attributes:
      segmenter: what segments them; None for the union of all objects in the truth.
      specs: the episodes.
      outputs: the outputs of its method that are counted.
      oracle: whether each query is shown with its own truth as the support, every way with all T queries:
        what the features could do at best with one prototype a class.
    """

    segmenter: Segmenter | None
    specs: Sequence[EpisodeSpec]
    outputs: tuple[str, ...]
    oracle: bool = False

    @property
    def together(self) -> bool:
        """Whether the queries of an episode have to be there at the same time."""
        return self.oracle or (self.segmenter is not None and self.segmenter.joint)


class Place(NamedTuple):
    """Where counts belong: an episode of a scoring, and which of its queries."""

    scoring: int
    episode: int
    queries: tuple[int, ...]


class Group(NamedTuple):
    """Queries that are segmented together, in all their episodes."""

    positions: tuple[int, ...]
    places: Sequence[Place]


def group_queries(scorings: Sequence[Scoring]) -> list[Group]:
    """Returns the groups of all queries in the order of their sizes, then of their positions."""
    places: dict[tuple[int, ...], list[Place]] = {}
    for i, scoring in enumerate(scorings):
        for j, spec in enumerate(scoring.specs):
            every = tuple(range(len(spec.query)))
            for queries in [every] if scoring.together else [(t,) for t in every]:
                positions = tuple(spec.query[t] for t in queries)
                places.setdefault(positions, []).append(Place(i, j, queries))
    return [
        Group(positions, places[positions])
        for positions in sorted(places, key=lambda positions: (len(positions), positions))
    ]


def episodes_a_call(groups: Sequence[Group], scoring: int) -> int:
    """Returns how many episodes of a group are segmented in one call: few where a query has few."""
    counts = [n for n in (Counter(p.scoring for p in group.places)[scoring] for group in groups) if n]
    for episodes in (MOST_EPISODES, MOST_EPISODES // 2, MOST_EPISODES // 4):
        places = sum(-(-count // episodes) * episodes for count in counts)
        if places <= WASTE * sum(counts):
            return episodes
    return 1
