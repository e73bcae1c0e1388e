"""Evaluations read back from their folders, and compared episode by episode."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsjax.errors import InputError
from fsjax.evaluation.compare import common, paired_difference
from fsjax.evaluation.controls import WRONG_SUPPORTS
from fsjax.evaluation.metrics import Record, summarize
from fsjax.evaluation.report import read_records

_FIELDS = {"data_set", "version", "classes", "protocol", "rows"}
_COUNTING = ("void", "counting")


@dataclass(frozen=True)
class Results:
    """What an evaluation left in its folder.

    Attributes:
      folder: where it lies.
      header: results.json.
      records: row -> its lines of episodes.jsonl.
    """

    folder: Path
    header: dict[str, Any]
    records: dict[str, list[Record]]

    @classmethod
    def read(cls, folder: str | Path) -> "Results":
        """Reads results.json and episodes.jsonl.

        Raises:
          InputError: one of them is missing, is damaged or has other rows than the other.
        """
        folder = Path(folder)
        header = _header(folder / "results.json")
        records: dict[str, list[Record]] = {str(row["name"]): [] for row in header["rows"]}
        for record in read_records(folder / "episodes.jsonl"):
            records.setdefault(record["row"], []).append(record)
        told = {str(row["name"]): row.get("episodes") for row in header["rows"]}
        if told != {name: len(lines) for name, lines in records.items()}:
            raise InputError(
                f"results.json and episodes.jsonl in {folder} do not belong together; evaluate again."
            )
        return cls(folder, header, records)

    def row(self, name: str) -> list[Record]:
        """Returns the episodes of a row.

        Raises:
          InputError: there is no such row.
        """
        if name not in self.records:
            raise InputError(f"{self.folder} has no row {name!r}: choose from {', '.join(self.records)}.")
        return self.records[name]

    @property
    def classes(self) -> dict[int, str]:
        """Id and name of each class that was tested; a number alone where some class never occurred."""
        ids = sorted({int(c) for lines in self.records.values() for line in lines for c in line["class_ids"]})
        names = self.header["classes"]
        return dict(zip(ids, names if len(names) == len(ids) else map(str, ids), strict=True))

    @property
    def counted(self) -> dict[str, str]:
        """How pixels of void are taken and intersections counted, the arguments of `metrics.count`."""
        return {name: self.header["protocol"][name] for name in _COUNTING}


def differences(results: Results, others: Results, rows: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Compares rows of two evaluations of the same episodes.

    A row that has only some of the episodes is compared on those. A row of wrong supports is compared with
    the one whose queries it shares, by the episodes' numbers.

    Args:
      results: whose scores count.
      others: whose scores are subtracted; may be the same.
      rows: of each comparison a row of `results` and one of `others`.

    Returns:
      Of each {"row", "other_row", "mean_iou", "other_mean_iou", "difference", "ci95": [low, high],
      "episodes"}, in percent, as `compare.paired_difference`.

    Raises:
      InputError: a row is missing, or the evaluations differ in data, classes, counting or episodes.
    """
    for name, first, second in (
        *((name, results.header[name], others.header[name]) for name in ("data_set", "version", "classes")),
        *((name, results.counted[name], others.counted[name]) for name in _COUNTING),
    ):
        if first != second:
            raise InputError(
                f"{results.folder} and {others.folder} differ in {name}, {first} and {second}: "
                "compare evaluations of the same data that are counted alike."
            )
    return [_difference(results, others, row, other) for row, other in rows]


def protocol_differences(results: Results, others: Results) -> list[str]:
    """Returns a line for each entry of the protocols that is not the same in both."""
    first, second = results.header["protocol"], others.header["protocol"]
    return [
        f"{name.replace('_', ' ')}: {first.get(name, 'none')} against {second.get(name, 'none')}"
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _difference(results: Results, others: Results, row: str, other: str) -> dict[str, Any]:
    first, second = results.row(row), others.row(other)
    if {row, other} & set(WRONG_SUPPORTS):
        first, second = _by_number(first), _by_number(second)
    if len(first) > len(second):
        first = common(first, second)
    elif len(first) < len(second):
        second = common(second, first)
    classes, counted = results.classes, results.counted
    mean, other_mean = (summarize(records, classes, **counted)["mean_iou"] for records in (first, second))
    found = paired_difference(first, second, classes, **counted)
    return {"row": row, "other_row": other, "mean_iou": mean, "other_mean_iou": other_mean, **found}


def _by_number(records: Sequence[Record]) -> list[Record]:
    """Returns the same episodes as if each one's support were its number."""
    return [{**r, "support": [[str(r["index"])]], "shown": r["class_ids"]} for r in records]


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no {path}; run eval.py with --out={path.parent} first.")
    try:
        header = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not JSON; evaluate again.") from error
    whole = isinstance(header, dict) and header.keys() >= _FIELDS
    if not (
        whole and header["protocol"].keys() >= set(_COUNTING) and all("name" in r for r in header["rows"])
    ):
        raise InputError(f"{path} is no evaluation's; evaluate again.")
    return header
