"""Two rows compared on the same episodes, whatever their numbers are called.

An episode is what it shows: its queries, its supports and its classes. Records are those of `metrics`.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsjax.errors import InputError
from fsjax.evaluation.metrics import Record, count, interval, mean_iou, percent, resampled


@dataclass(frozen=True)
class Comparison:
    """A row that a table compares with another one.

    Attributes:
      row: its name.
      other: the row that is subtracted.
      restricted: whether the row has only some of the other's episodes, on which both are compared.
    """

    row: str
    other: str
    restricted: bool = False


def paired_difference(
    records: Sequence[Record],
    others: Sequence[Record],
    classes: Mapping[int, str],
    *,
    void: str,
    counting: str,
) -> dict[str, Any]:
    """Compares the mean-IoU of two rows of the same episodes, paired by what the episodes show.

    Both rows are resampled together, so that what makes an episode easy or hard cancels. Where episodes occur
    more than once, they are paired in the order of their runs; the runs that are resampled are those of
    `records`.

    The scores of `others` are subtracted; the other arguments are those of `metrics.count`.

    Returns:
      {"mean_iou", "other_mean_iou", "difference", "ci95": [low, high], "episodes"}, in percent, both means
      over the runs of `records`. What nothing defines is None.

    Raises:
      InputError: an episode is in one of the rows only, or as `metrics.count`.
    """
    first, second = (dict(zip(_keys(row), row, strict=True)) for row in (records, others))
    alone = [
        first.get(key) or second[key] for key in [*first, *second] if not (key in first and key in second)
    ]
    if alone:
        raise InputError(
            f"{_number_of(alone)} in one of the two rows only, the first is {_named(alone[0])}: compare rows "
            "of the same seed or manifest."
        )
    paired = list(first.values()), [second[key] | {"run": r["run"]} for key, r in first.items()]
    counts = [count(row, classes, void=void, counting=counting) for row in paired]
    mean, other = map(mean_iou, counts)
    means, other_means = resampled(counts)
    return {
        "mean_iou": percent(mean),
        "other_mean_iou": percent(other),
        "difference": percent(mean - other),
        "ci95": interval(means - other_means),
        "episodes": len(records),
    }


def common(records: Sequence[Record], smaller: Sequence[Record]) -> list[Record]:
    """Returns those of a row's records whose episodes a smaller row has, too, in their order.

    Of an episode that occurs more often than in the smaller row, those of the same runs are taken first.
    """
    missing = Counter(map(_content, smaller))
    same_run = set(_keys(smaller, by_run=True))
    keys = _keys(records, by_run=True)
    taken = set()
    for place in sorted(range(len(records)), key=lambda place: keys[place] not in same_run):
        content = _content(records[place])
        if missing[content]:
            missing[content] -= 1
            taken.add(place)
    return [record for place, record in enumerate(records) if place in taken]


def _keys(records: Sequence[Record], *, by_run: bool = False) -> list[Hashable]:
    """Returns of each record what it shows and how many records of the same came before it.

    They are counted in the order of the runs, or in each run anew.
    """
    keys: list[Hashable] = [None] * len(records)
    before: Counter[Hashable] = Counter()
    for place in sorted(range(len(records)), key=lambda i: (records[i]["run"], records[i]["index"])):
        shown = _content(records[place]), records[place]["run"] if by_run else None
        keys[place] = shown, before[shown]
        before[shown] += 1
    return keys


def _content(record: Record) -> Hashable:
    """Returns what an episode shows: queries, supports by way, classes, and the classes of the supports."""
    class_ids = tuple(record["class_ids"])
    supports = tuple(tuple(way) for way in record["support"])
    return tuple(record["query"]), supports, class_ids, tuple(record.get("shown", class_ids))


def _number_of(alone: Sequence[Record]) -> str:
    return "1 episode is" if len(alone) == 1 else f"{len(alone)} episodes are"


def _named(record: Record) -> str:
    return (
        f"episode {record['index']} of run {record['run']} of row {record['row']!r}, with the query "
        f"{', '.join(record['query'])}"
    )
