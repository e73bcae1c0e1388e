"""The numbers that both papers print, read from published.json and checked."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from fsjax.errors import InputError

FILE = Path(__file__).with_name("published.json")
METRICS = ("mean-IoU", "binary-IoU")
MOST_MILLIONS = 1000  # of parameters


@dataclass(frozen=True)
class Paper:
    """A paper: its method's name, its title, and who wrote it and where it stands."""

    name: str
    title: str
    source: str


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
      group: what stands above it and its neighbours: "1-shot"; "" for nothing.
      name: as the paper prints it: "fold-1".
      kind: "fold", "mean" (of the folds of its group), "score", or "parameters" (in millions).
      fold: which one, from 0, as `config.fold`; None for other kinds.
    """

    group: str
    name: str
    kind: str
    fold: int | None = None

    @property
    def key(self) -> str:
        """What cells are found by: "1-shot/fold-1", "Fold0", "#Params"."""
        return f"{self.group}/{self.name}" if self.group else self.name


@dataclass(frozen=True)
class PublishedRow:
    """A row as it is printed.

    Attributes:
      labels: its names, one for each of the table's `labels`.
      key: of a row that is reproduced: "dpnet canet"; None for other methods.
      values: of each column by its key, with as many decimals as are printed; None where nothing is.
      bold: keys of the columns printed in bold.
      notes: what is to be said of a value, by the column's key.
    """

    labels: tuple[str, ...]
    key: str | None
    values: Mapping[str, Decimal | None]
    bold: frozenset[str]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Disagreement:
    """A printed mean that is not the mean of its printed folds, by more than rounding."""

    row: PublishedRow
    column: Column
    printed: Decimal
    recomputed: Decimal

    def __str__(self) -> str:
        rounded = self.recomputed.quantize(Decimal("0.01"), ROUND_HALF_UP)
        return f"Printed {self.printed}; its folds average {rounded}."


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
      name: "prnet/table1".
      paper: it stands in.
      caption: in our words.
      metric: "mean-IoU" or "binary-IoU", in percent.
      labels: headings of the columns that name a row.
      columns: of numbers.
      rows: all that are printed, in the paper's order.
      notes: of ours, on how the table is read.
      claims: what the paper's text says of it, in our words.
    """

    name: str
    paper: Paper
    caption: str
    metric: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For people: "PRNet, Table 1"."""
        return _title(self.paper, self.name)

    @property
    def decimals(self) -> int:
        """As many as the table's scores are printed with at most."""
        scores = [column.key for column in self.columns if column.kind != "parameters"]
        printed = [row.values[key] for row in self.rows for key in scores]
        return max((_decimals(value) for value in printed if value is not None), default=2)

    @property
    def reproduced(self) -> dict[str, PublishedRow]:
        """The rows that have a key, by it."""
        return {row.key: row for row in self.rows if row.key is not None}

    def folds(self, mean: Column) -> list[Column]:
        """Returns the columns that a mean is taken over."""
        return [column for column in self.columns if column.group == mean.group and column.kind == "fold"]

    def disagreements(self) -> list[Disagreement]:
        """Returns the printed means that disagree with their folds, row by row.

        The folds and their mean were each rounded by up to half a unit of the last decimal, together by one
        unit. Final zeros that a whole row shares are no decimals: 36.70 was computed as 36.7.
        """
        means = [column for column in self.columns if column.kind == "mean"]
        found = (self._disagreement(row, mean) for row in self.rows for mean in means)
        return [one for one in found if one is not None]

    def _disagreement(self, row: PublishedRow, mean: Column) -> Disagreement | None:
        folds = self.folds(mean)
        known = [value for fold in folds if (value := row.values[fold.key]) is not None]
        printed = row.values[mean.key]
        if printed is None or len(known) < len(folds):
            return None
        recomputed = sum(known, Decimal(0)) / len(known)
        unit = Decimal(1).scaleb(-max(_decimals(value.normalize()) for value in (*known, printed)))
        return Disagreement(row, mean, printed, recomputed) if abs(printed - recomputed) > unit else None


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A figure of a paper that shows curves and prints no numbers.

    Attributes:
      name: "prnet/figure2".
      paper: it stands in.
      caption: in our words.
      x_label: of the horizontal axis; the vertical one is mean-IoU in percent.
      claims: what the paper's text says of it, in our words.
    """

    name: str
    paper: Paper
    caption: str
    x_label: str
    claims: tuple[str, ...]

    @property
    def title(self) -> str:
        """For people: "PRNet, Figure 2"."""
        return _title(self.paper, self.name)


@cache
def published() -> Mapping[str, PublishedTable]:
    """Returns PRNet's Tables 1 to 5 and DPNet's Tables 1 to 6 by name: "prnet/table1"."""
    return read(FILE)[0]


@cache
def published_figures() -> Mapping[str, PublishedFigure]:
    """Returns the figures that show curves by name: "prnet/figure2", "prnet/figure3", "dpnet/figure5"."""
    return read(FILE)[1]


def read(path: Path) -> tuple[dict[str, PublishedTable], dict[str, PublishedFigure]]:
    """Returns the tables and the figures of a file of published numbers by name.

    Raises:
      InputError: the file is missing or damaged; the message says where.
    """
    where = "the file as a whole"
    try:
        stored = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
        papers = {name: Paper(**_texts(fields)) for name, fields in stored["papers"].items()}
        tables, figures = {}, {}
        for entry in stored["tables"]:
            where = str(entry["id"])
            tables[where] = _table(entry, papers)
        for entry in stored["figures"]:
            where = str(entry["id"])
            figures[where] = _figure(entry, papers)
        _check_unique([entry["id"] for entry in (*stored["tables"], *stored["figures"])], "id")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): install fsjax again.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path} is damaged in {where} ({reason}): install fsjax again.") from error
    return tables, figures


def _table(entry: Mapping[str, Any], papers: Mapping[str, Paper]) -> PublishedTable:
    columns = tuple(column for group in entry["groups"] for column in _columns(group))
    labels = _strings(entry["labels"])
    rows = tuple(_row(row, columns, len(labels)) for row in entry["rows"])
    _check_unique([column.key for column in columns], "column")
    _check_unique([row.key for row in rows if row.key], "key")
    if entry["metric"] not in METRICS:
        raise ValueError(f"the metric {entry['metric']!r} is none of {', '.join(METRICS)}")
    return PublishedTable(
        name=entry["id"],
        paper=_paper(entry["id"], papers),
        caption=_text(entry["caption"]),
        metric=entry["metric"],
        labels=labels,
        columns=columns,
        rows=rows,
        notes=_strings(entry.get("notes", [])),
        claims=_strings(entry.get("claims", [])),
    )


def _figure(entry: Mapping[str, Any], papers: Mapping[str, Paper]) -> PublishedFigure:
    return PublishedFigure(
        name=entry["id"],
        paper=_paper(entry["id"], papers),
        caption=_text(entry["caption"]),
        x_label=_text(entry["x_label"]),
        claims=_strings(entry["claims"]),
    )


def _paper(name: str, papers: Mapping[str, Paper]) -> Paper:
    paper = re.fullmatch(r"(\w+)/(?:table|figure)\d+", name)
    if not paper or paper[1] not in papers:
        raise ValueError(f"{name!r} does not name a paper and a table or figure of it")
    return papers[paper[1]]


def _columns(group: Mapping[str, Any]) -> list[Column]:
    """Returns a group's columns; of folds the last one is their mean."""
    name, names = _text(group["name"]), _strings(group["columns"])
    if group["kind"] == "folds":
        folds = [Column(name, fold, "fold", number) for number, fold in enumerate(names[:-1])]
        return [*folds, Column(name, names[-1], "mean")]
    kinds = {"scores": "score", "parameters": "parameters"}
    return [Column(name, column, kinds[group["kind"]]) for column in names]


def _row(entry: Mapping[str, Any], columns: Sequence[Column], labels: int) -> PublishedRow:
    values = dict(zip([column.key for column in columns], entry["values"], strict=True))
    for column in columns:
        _check_value(values[column.key], column)
    row = PublishedRow(
        labels=_strings(entry["labels"]),
        key=_text(entry["key"]) if "key" in entry else None,
        values=values,
        bold=frozenset(_strings(entry.get("bold", []))),
        notes=_texts(entry.get("notes", {})),
    )
    if len(row.labels) != labels:
        raise ValueError(f"a row has {len(row.labels)} labels, and the table {labels}")
    if unknown := (row.bold | row.notes.keys()) - row.values.keys():
        raise ValueError(f"there is no column {min(unknown)!r}")
    return row


def _check_value(value: Any, column: Column) -> None:
    most = MOST_MILLIONS if column.kind == "parameters" else 100
    if value is not None and not (isinstance(value, Decimal) and 0 < value <= most):
        raise ValueError(f"{value} is no number from 0 to {most} for {column.key}")


def _check_unique(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the {what} {name!r} is there twice")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(map(_text, values))


def _texts(values: Any) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items()}


def _title(paper: Paper, name: str) -> str:
    """Returns "PRNet, Table 1" for prnet/table1."""
    kind, number = re.findall(r"[a-z]+|\d+", name.partition("/")[2])
    return f"{paper.name}, {kind.capitalize()} {number}"


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -int(exponent))
