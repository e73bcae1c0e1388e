"""Evaluations read back from their folders, and compared episode by episode."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsjax.config import TABLE
from fsjax.data.manifest import read_header
from fsjax.errors import InputError
from fsjax.evaluation.controls import WRONG_SUPPORTS
from fsjax.evaluation.metrics import Record
from fsjax.evaluation.paired import common, paired_difference
from fsjax.evaluation.report import seal, selected_in_words
from fsjax.files import sha256_of

_FIELDS = {
    "row": str,
    "run": int,
    "index": int,
    "class_ids": list,
    "support": list,
    "query": list,
    "confusion": list,
}


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
          InputError: one of them is missing, is damaged or does not belong to the other.
        """
        folder = Path(folder)
        header = _header(folder / "results.json")
        records: dict[str, list[Record]] = {row["name"]: [] for row in header["rows"]}
        for record in read_records(folder / "episodes.jsonl"):
            records.setdefault(record["row"], []).append(record)
        told = {row["name"]: row.get("episodes") for row in header["rows"]}
        same = header.get("episodes_sha256") in (None, sha256_of(folder / "episodes.jsonl"))
        if not same or told != {name: len(lines) for name, lines in records.items()}:
            raise _do_not_belong_together(folder)
        return cls(folder, header, records)

    def row(self, name: str) -> list[Record]:
        """Returns the episodes of a row.

        Raises:
          InputError: there is no such row.
        """
        if name not in self.records:
            raise InputError(f"{self.folder} has no row {name!r}: choose from {', '.join(self.records)}.")
        return self.records[name]

    def told(self, name: str) -> dict[str, Any]:
        """Returns what results.json says of a row.

        Raises:
          InputError: there is no such row.
        """
        self.row(name)
        return next(row for row in self.header["rows"] if row["name"] == name)

    def seed(self, name: str) -> Any:
        """Returns the seed of a row's episodes."""
        return self.told(name).get("seed")

    @property
    def class_names(self) -> dict[int, str]:
        """The names of the fold's classes by their ids, in the order of the table.

        Raises:
          InputError: they are not known: an older version, which wrote no ids, left no manifest either.
        """
        names, ids = self.header["classes"], self.header.get("class_ids")
        if ids is None:
            manifest = self.folder / "manifest.jsonl"
            by_name = read_header(manifest).classes if manifest.is_file() else {}
            ids = [by_name.get(name) for name in names]
        found = dict(zip(ids, names, strict=False))
        drawn = {
            class_id for records in self.records.values() for r in records for class_id in r["class_ids"]
        }
        if len(ids) != len(names) or not drawn <= found.keys():
            raise InputError(f"{self.folder} does not say which classes its ids are; evaluate again.")
        return found

    @property
    def counted(self) -> dict[str, str]:
        """How pixels of void are taken and intersections counted, the arguments of `metrics.count`."""
        return {name: self.header["protocol"][name] for name in ("void", "counting")}


def checked_header(folder: str | Path) -> dict[str, Any]:
    """Returns results.json of an evaluation that is whole, without parsing its episodes.

    episodes.jsonl must have the sha256 that results.json says; of an older evaluation, which says none, it is
    read as by `Results.read`.

    Args:
      folder: of the evaluation.

    Raises:
      InputError: one of the two files is missing, is damaged or does not belong to the other.
    """
    folder = Path(folder)
    header, episodes = _header(folder / "results.json"), folder / "episodes.jsonl"
    if header.get("episodes_sha256") is None:
        return Results.read(folder).header
    if not episodes.is_file():
        raise _is_missing(episodes)
    if header["episodes_sha256"] != sha256_of(episodes):
        raise _do_not_belong_together(folder)
    return header


def read_records(path: Path) -> list[Record]:
    """Reads episodes.jsonl.

    Raises:
      InputError: the file is missing or a line is not an episode; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise _is_missing(path)
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"Line {number} of {path} is not JSON; evaluate again.") from error
        if not _is_episode(record):
            raise InputError(f"Line {number} of {path} is not an episode; evaluate again.")
        records.append(record)
    return records


def differences(
    results: Results, others: Results, rows: Sequence[tuple[str, str]], *, shared: bool = False
) -> list[dict[str, Any]]:
    """Compares rows of two evaluations on the episodes that both rows have.

    A row of wrong supports is compared with the episodes whose numbers, and queries, it shares.

    Args:
      results: whose scores count.
      others: whose scores are subtracted; may be the same.
      rows: of each comparison a row of `results` and one of `others`.
      shared: whether rows of other manifests are compared, too, on the episodes that both happen to have.

    Returns:
      Of each {"row", "other_row"} and what `paired.paired_difference` returns.

    Raises:
      InputError: a row is missing, two rows share no episode, or the evaluations differ in data, classes,
        counting or, unless `shared`, manifests.
    """
    _check_counted_alike(results, others)
    for row, other in rows if not shared else ():
        if not same_manifest(results, others, row, other):
            raise InputError(
                f"Row {row!r} of {results.folder} and row {other!r} of {others.folder} are of other "
                "manifests: evaluate one with the other's manifest.jsonl as --episodes, or compare the "
                "episodes that both have with --shared_episodes."
            )
    return [_difference(results, others, row, other) for row, other in rows]


def _check_counted_alike(results: Results, others: Results) -> None:
    """Makes sure that two evaluations are of the same data and classes, counted by the same rules."""
    for name, first, second in (
        *((name, results.header[name], others.header[name]) for name in ("data_set", "version", "classes")),
        *((name, value, others.counted[name]) for name, value in results.counted.items()),
    ):
        if first != second:
            raise InputError(
                f"{results.folder} and {others.folder} differ in {name}, {first} and {second}: "
                "compare evaluations of the same data that are counted alike."
            )


def same_manifest(results: Results, others: Results, row: str, other: str) -> bool:
    """Says whether two rows were evaluated on the episodes of one manifest, or on some of them.

    A row of fewer episodes has a sha256 of its own beside that of the whole evaluation's manifest. Rows of
    which neither is known count as one manifest's.
    """
    first, second = (
        {result.header.get("manifest_sha256"), result.told(name).get("manifest")} - {None}
        for result, name in ((results, row), (others, other))
    )
    return bool(first & second) or not (first or second)


def protocol_differences(results: Results, others: Results) -> list[str]:
    """Returns a line for each entry of the protocols that is not the same in both.

    How another program made its predictions is not known: what is said of one alone is then left out.
    """
    first, second = results.header["protocol"], others.header["protocol"]
    names = dict.fromkeys([*first, *second])
    if any(result.header.get("predictions") for result in (results, others)):
        names = dict.fromkeys(name for name in names if name in first and name in second)
    return [
        f"{name.replace('_', ' ')}: {first.get(name, 'none')} against {second.get(name, 'none')}"
        for name in names
        if first.get(name) != second.get(name)
    ]


def selections(evaluations: Sequence[Results]) -> list[str]:
    """Returns a line for each folder whose checkpoint was selected by score, and how."""
    lines = []
    for one in evaluations:
        chosen, names = one.header.get("selection"), one.header.get("selected_classes")
        if names:
            lines.append(f"{one.folder}: {selected_in_words(names)}")
        elif chosen and chosen.get("used"):
            lines.append(f"{one.folder}: step {chosen.get('step')} was selected by {chosen.get('by')}.")
    return lines


def _difference(results: Results, others: Results, row: str, other: str) -> dict[str, Any]:
    first, second = results.row(row), others.row(other)
    by_number = bool({row, other} & set(WRONG_SUPPORTS)) and results.seed(row) == others.seed(other)
    if by_number:
        first, second = _by_number(first), _by_number(second)
    first, second = common(first, second), common(second, first)
    if not first:
        raise InputError(
            f"Row {row!r} of {results.folder} and row {other!r} of {others.folder} share no episode: "
            "compare rows of the same seed or manifest."
        )
    ids = sorted({class_id for record in first for class_id in record["class_ids"]})
    found = paired_difference(first, second, dict(zip(ids, map(str, ids), strict=True)), **results.counted)
    return {"row": row, "other_row": other, **found}


def _by_number(records: Sequence[Record]) -> list[Record]:
    """Returns the same episodes as if each one's support were its number."""
    return [{**r, "support": [[str(r["index"])]], "shown": r["class_ids"]} for r in records]


def _is_missing(path: Path) -> InputError:
    return InputError(f"There is no {path}; run eval.py with --out={path.parent} first.")


def _do_not_belong_together(folder: Path) -> InputError:
    return InputError(f"results.json and episodes.jsonl in {folder} do not belong together; evaluate again.")


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _is_missing(path)
    try:
        header = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON; evaluate again.") from error
    if not _is_header(header):
        raise InputError(f"{path} is no evaluation's; evaluate again.")
    told = header.pop("sha256", None)  # fsjax 0.5 and before wrote none
    if told not in (None, seal(header)):
        raise InputError(f"{path} is not what an evaluation wrote; evaluate again.")
    return header


def _is_header(header: Any) -> bool:
    if not (isinstance(header, dict) and header.keys() >= {"data_set", "version", "classes"}):
        return False
    protocol, rows = header.get("protocol"), header.get("rows")
    return (
        isinstance(protocol, dict)
        and all(protocol.get(name) in TABLE[f"eval.{name}"].choices for name in ("void", "counting"))
        and isinstance(rows, list)
        and all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows)
        and isinstance(header.get("manifest_sha256"), str | None)
        and all(isinstance(name, str) for name in header.get("trained_classes") or ())
        and all(isinstance(row.get("manifest"), str | None) for row in rows)
    )


def _is_episode(record: Any) -> bool:
    if not (isinstance(record, dict) and all(isinstance(record.get(n), kind) for n, kind in _FIELDS.items())):
        return False
    ids, ways, queries = record["class_ids"], record["support"], record["query"]
    matrix = len(ids) + 2, len(ids) + 1
    return (
        all(isinstance(class_id, int) for class_id in ids)
        and all(isinstance(way, list) and all(isinstance(name, str) for name in way) for way in ways)
        and all(isinstance(name, str) for name in queries)
        and len(record["confusion"]) == len(queries)
        and all(_is_matrix(counts, *matrix) for counts in record["confusion"])
        and _is_matrix(record.get("parts", [[0] * len(ids)] * len(queries)), len(queries), len(ids))
        and _is_matrix([record.get("labelled", [0] * len(queries))], 1, len(queries))
    )


def _is_matrix(counts: Any, rows: int, columns: int) -> bool:
    return (
        isinstance(counts, list)
        and len(counts) == rows
        and all(isinstance(row, list) and len(row) == columns for row in counts)
        and all(isinstance(count, int) for row in counts for count in row)
    )
