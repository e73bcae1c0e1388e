"""Evaluation that sees each photo once, or once a role: supports are described, then queries are segmented.

Variables do not change in an evaluation without adaptation, and its episodes are made of few photos: a fold
of PASCAL's val has some 330 to 590, of which 5 x 1000 one-shot episodes show 10,000.

Several processes each take some of the queries, whose groups are counted to the end there. What is counted
of a group depends on no other group, process or run, as calls have the same shapes in all of them.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsjax.data.sampling import EpisodeSpec
from fsjax.data.store import Store
from fsjax.evaluation.contents import Content
from fsjax.evaluation.counting import Counting
from fsjax.evaluation.parts import Finished, Unit
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.queries import Classes, Queries
from fsjax.evaluation.scoring import Group, Scoring, group_queries
from fsjax.evaluation.supports import Extracted, Supports
from fsjax.evaluation.team import Team, deal
from fsjax.evaluation.trees import Trees
from fsjax.progress import Progress
from fsjax.tracing import EVALUATION, steps

LOG = logging.getLogger(__name__)

Counts = dict[str, list[np.ndarray]]
"""For each output the confusion matrices of every episode, int [T, N + 2, N + 1] each."""


@dataclass(frozen=True)
class Counted:
    """What an evaluation counted.

    Attributes:
      counts: of each scoring.
      extracted: how often each photo went through the backbone in this run, in all processes.
      contents: what each query shows, by its position and the classes of the episode.
    """

    counts: Sequence[Counts]
    extracted: Extracted
    contents: Mapping[tuple[int, Classes], Content]


def evaluate(
    photos: Photos,
    scorings: Sequence[Scoring],
    *,
    finished: Finished | None = None,
    team: Team | None = None,
) -> Counted:
    """Segments the queries of all episodes, and counts the predictions against the truth.

    Args:
      photos: how they are read.
      scorings: what is scored; their segmenters share one backbone and its variables.
      finished: groups that an earlier run has counted, and where those of this one are kept.
      team: the processes that evaluate together, all of them with the same arguments.

    Raises:
      InputError: for photos that cannot be read, or no room on the disk for what the memory does not hold.
    """
    finished, team = finished or Finished(), team or Team.here()
    plan = group_queries(scorings)
    done = finished.agree(team)
    if done:
        LOG.info("An earlier run has finished %d of %d photos.", len(done), len(plan))
    shares = deal([group for group in plan if group.positions not in done], team.count)
    extracted = _count(photos, scorings, plan, shares, finished, team) if any(shares) else Counter()
    results = finished.all(team)
    return Counted(
        _counts(scorings, plan, results),
        _summed(team.gather_json([[*key, number] for key, number in extracted.items()])),
        {
            (position, tuple(classes)): Content(tuple(parts), labelled)
            for _, contents in results.values()
            for position, classes, (parts, labelled) in contents
        },
    )


def _count(
    photos: Photos,
    scorings: Sequence[Scoring],
    plan: Sequence[Group],
    shares: Sequence[Sequence[Group]],
    finished: Finished,
    team: Team,
) -> Extracted:
    """Counts this process's share of the groups, and keeps what is counted as soon as it is."""
    segmenters = list(dict.fromkeys(s.segmenter for s in scorings if s.segmenter is not None))
    own = shares[team.index]
    with Store(None, photos.memory) as store:
        trees = Trees(store)
        supports = Supports(photos, segmenters, _shown(scorings, plan), trees)
        shown = [_shown(scorings, share) for share in shares]
        supports.describe(shown, [_positions(share) for share in shares], team)
        queries = Queries(photos, scorings, own, segmenters[0] if segmenters else None, supports, trees)
        counting = Counting(photos, scorings, plan, supports)

        def keep() -> None:
            finished.add(
                (group.positions, [counts, queries.contents_of(group)])
                for group, counts in counting.counted()
            )

        with Progress("queries", len(own), "photo") as progress, closing(queries.embedded()) as batches:
            for batch in steps(EVALUATION, batches):
                for group, embedded in batch:
                    counting.add(group, embedded)
                keep()
                progress.update(len(batch))
        counting.finish()
        keep()
    return supports.extracted + queries.extracted


def _shown(scorings: Sequence[Scoring], groups: Sequence[Group]) -> list[EpisodeSpec]:
    """Returns the episodes of some groups whose supports are described."""
    described = [s.segmenter is not None and not s.oracle for s in scorings]
    places = {(p.scoring, p.episode) for group in groups for p in group.places if described[p.scoring]}
    return [scorings[scoring].specs[episode] for scoring, episode in sorted(places)]


def _positions(groups: Sequence[Group]) -> set[int]:
    return {position for group in groups for position in group.positions}


def _counts(scorings: Sequence[Scoring], plan: Sequence[Group], results: Mapping[Unit, Any]) -> list[Counts]:
    """Returns the counts of each scoring, put together from those of the groups."""
    found: list[dict[str, list[list[Any]]]] = [
        {output: [[None] * len(spec.query) for spec in s.specs] for output in s.outputs} for s in scorings
    ]
    for group in plan:
        counts, _ = results[group.positions]
        for place, of_outputs in zip(group.places, counts, strict=True):
            for output, matrices in of_outputs.items():
                for t, matrix in zip(place.queries, matrices, strict=True):
                    found[place.scoring][output][place.episode][t] = matrix
    return [
        {output: [np.array(of_queries) for of_queries in episodes] for output, episodes in of_outputs.items()}
        for of_outputs in found
    ]


def _summed(extracted: Sequence[Sequence[Any]]) -> Extracted:
    total: Extracted = Counter()
    for of_process in extracted:
        for position, role, scale, number in of_process:
            total[position, role, scale] += number
    return total
