"""Where a row fails: its IoU by the size of the object, by class, by what else the query shows.

All of it is a function of episodes.jsonl. A case is one way of one query of one episode. Groups of cases are
scored as classes are: intersections and unions are summed over a run's cases before they are divided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fsjax.evaluation.metrics import (
    Counts,
    Record,
    count,
    interval,
    known_mean,
    percent,
    ratio,
    resampled,
    sums_by_run,
)

SIZES = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0)
"""Between two groups of object sizes, in percent of the query's pixels."""

MANY = 4
"""So many parts or classes, and more, are one group."""

SIZE, CLASS, PARTS, LABELLED = "size", "class", "parts", "labelled_classes"


@dataclass(frozen=True)
class Case:
    """One way of one query.

    Attributes:
      run: of the episode.
      index: of the episode.
      query: id of the photo.
      number: of the query in its episode, from 0.
      class_name: what is looked for.
      supports: ids of the way's photos.
      pixels: of the class in the truth.
      share: these in percent of the query's pixels, void included.
      parts: connected parts of the truth; None where nobody has counted.
      labelled: classes of the data set that the query shows; None where nobody has counted.
      intersection: pixels of truth and prediction.
      union: pixels of truth or prediction.
    """

    run: int
    index: int
    query: str
    number: int
    class_name: str
    supports: tuple[str, ...]
    pixels: int
    share: float
    parts: int | None
    labelled: int | None
    intersection: int
    union: int

    @property
    def iou(self) -> float | None:
        """In percent; None where nothing is shown and nothing was found."""
        return 100.0 * self.intersection / self.union if self.union else None


@dataclass(frozen=True)
class Group:
    """Cases that have something in common.

    Attributes:
      name: what, e.g. "2.5 to 5" or "cat".
      iou: of all of them, pooled over each run, then averaged over runs, in percent; None where undefined.
      ci95: its bootstrap interval over episodes; None where undefined.
      cases: how many.
      episodes: of how many episodes.
    """

    name: str
    iou: float | None
    ci95: Sequence[float | None] | None
    cases: int
    episodes: int


def find_cases(
    records: Sequence[Record], class_names: Mapping[int, str], *, void: str, counting: str
) -> list[Case]:
    """Returns the cases of a row in the order of its episodes.

    Args:
      records: lines of episodes.jsonl, of one row.
      class_names: of each class id.
      void: see `metrics.count`.
      counting: see `metrics.count`.

    Raises:
      InputError: there is no record.
    """
    places = [
        (record, number, way)
        for record in records
        for number in range(len(record["query"]))
        for way in range(1, len(record["class_ids"]) + 1)
    ]
    counted = count([_one_way(*place) for place in places], {1: "it"}, void=void, counting=counting)
    pairs = np.stack([counted.intersections[:, 1], counted.unions[:, 1]], 1).tolist()
    return [_case(*place, class_names, *pair) for place, pair in zip(places, pairs, strict=True)]


def _one_way(record: Record, number: int, way: int) -> Record:
    """Returns one query of an episode as if a single way were looked for."""
    matrix = np.asarray(record["confusion"][number], np.int64)
    kept = [0 if i not in (way, len(matrix) - 1) else 1 + (i != way) for i in range(len(matrix))]
    small = np.zeros((3, 2), np.int64)
    np.add.at(
        small, (np.asarray(kept)[:, None], (np.arange(matrix.shape[1]) == way)[None].astype(int)), matrix
    )
    return {**record, "class_ids": [1], "confusion": [small.tolist()]}


def _case(
    record: Record, number: int, way: int, class_names: Mapping[int, str], intersection: int, union: int
) -> Case:
    matrix = np.asarray(record["confusion"][number], np.int64)
    pixels = int(matrix[way].sum())
    parts, labelled = record.get("parts"), record.get("labelled")
    return Case(
        run=record["run"], index=record["index"], query=record["query"][number], number=number,
        class_name=class_names[record["class_ids"][way - 1]], supports=tuple(record["support"][way - 1]),
        pixels=pixels, share=100.0 * pixels / max(int(matrix.sum()), 1),
        parts=parts[number][way - 1] if parts else None, labelled=labelled[number] if labelled else None,
        intersection=intersection, union=union,
    )  # fmt: skip


def group(cases: Sequence[Case], classes: Sequence[str]) -> dict[str, list[Group]]:
    """Returns the groups by size, by class and, where they were counted, by parts and by labelled classes.

    Empty groups of sizes and counts stay, so that tables of two evaluations have the same lines.

    Args:
      cases: at least one.
      classes: names of the fold's classes, in their order.
    """
    sizes = [_range_name(*bounds) for bounds in pairwise((None, *SIZES, None))]
    counts = [_count_name(number) for number in range(1, MANY + 1)]
    found = {SIZE: pooled(cases, SIZE, sizes), CLASS: pooled(cases, CLASS, classes)}
    if any(case.parts for case in cases):
        found[PARTS] = pooled(cases, PARTS, counts)
    if any(case.labelled for case in cases):
        found[LABELLED] = pooled(cases, LABELLED, counts)
    return found


def group_name(case: Case, by: str) -> str | None:
    """Returns the group of a case, None where it has none.

    A case whose query does not show its class has no size and no parts: it counts by class, and by labelled
    classes.

    Args:
      case: any.
      by: "size", "class", "parts" or "labelled_classes".
    """
    if by == CLASS:
        return case.class_name
    if by == SIZE:
        above = int(np.searchsorted(SIZES, case.share, side="right"))
        return _range_name(*list(pairwise((None, *SIZES, None)))[above]) if case.pixels else None
    number = case.parts if by == PARTS else case.labelled
    return _count_name(number) if number else None


def _count_name(number: int) -> str:
    return str(number) if number < MANY else f"{MANY} and more"


def _range_name(low: float | None, high: float | None) -> str:
    if low is None:
        return f"below {high:g}"
    return f"{low:g} and more" if high is None else f"{low:g} to {high:g}"


def pooled(cases: Sequence[Case], by: str, names: Sequence[str]) -> list[Group]:
    """Returns a group for each name, with intervals that redraw the episodes of each run.

    Args:
      cases: what is grouped.
      by: see `group_name`.
      names: of all groups.
    """
    column = {name: position for position, name in enumerate(names)}
    episodes = {place: row for row, place in enumerate(dict.fromkeys((c.run, c.index) for c in cases))}
    sums = np.zeros((3, len(episodes), len(names)), np.int64)  # intersections, unions, cases
    for case in cases:
        name = group_name(case, by)
        if name is not None:
            sums[:, episodes[case.run, case.index], column[name]] += case.intersection, case.union, 1
    intersections, unions, counts = sums
    pixels = Counts(intersections, unions, np.asarray([run for run, _ in episodes], np.int64))
    ious, (replicates,) = known_mean(ratio(*sums_by_run(pixels)), axis=0), resampled([pixels], ratio)
    groups = []
    for position, name in enumerate(names):
        some, ci95 = counts[:, position], interval(replicates[:, position])
        groups.append(Group(name, percent(ious[position]), ci95, int(some.sum()), int((some > 0).sum())))
    return groups
