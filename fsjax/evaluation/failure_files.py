"""A failure analysis as files: a line for each case and for each group."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsjax.evaluation.failures import Case, Group
from fsjax.files import replacing

CASE_COLUMNS = (
    "iou", "class", "size_percent", "size_pixels", "parts", "labelled_classes", "run", "index", "query",
    "query_number", "supports",
)  # fmt: skip
GROUP_COLUMNS = ("iou", "ci95_low", "ci95_high", "cases", "episodes")


def write(folder: Path, cases: Sequence[Case], groups: Mapping[str, Sequence[Group]]) -> None:
    """Writes failures.csv, the worst cases first, and by_size.csv and so on.

    What is not known, or not defined, is empty. IoUs and sizes are in percent.

    Args:
      folder: of the files.
      cases: of `failures.find_cases`.
      groups: of `failures.group`.
    """
    ranked = sorted(cases, key=lambda case: 101.0 if case.iou is None else case.iou)
    _write(folder / "failures.csv", CASE_COLUMNS, map(_case_line, ranked))
    for by, found in groups.items():
        _write(folder / f"by_{by}.csv", (by, *GROUP_COLUMNS), map(_group_line, found))


def _case_line(case: Case) -> list[Any]:
    return [
        _number(case.iou), case.class_name, f"{case.share:.3f}", case.pixels, case.parts, case.labelled,
        case.run, case.index, case.query, case.number, " ".join(case.supports),
    ]  # fmt: skip


def _group_line(group: Group) -> list[Any]:
    low, high = group.ci95 or (None, None)
    return [group.name, _number(group.iou), _number(low), _number(high), group.cases, group.episodes]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)
