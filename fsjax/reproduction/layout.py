"""A paper's table with our numbers between its own: lines of cells and their notes, for any typesetting."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain

from fsjax.reproduction.published import Column, PublishedRow, PublishedTable

PAPER, THIS_RUN, DIFFERENCE = "paper", "this run", "difference"
NOT_RUN = "not run"
NOT_PRINTED = "-"

Place = tuple[str, str]
"""The row's key and the column's: ("prnet", "1-shot/fold-1")."""


@dataclass(frozen=True)
class Found:
    """What was found for a cell.

    Attributes:
      value: in percent; for "#Params" a number of parameters.
      std: over runs, in points; None for one run.
      interval: 95% bootstrap interval over episodes, in percent; None where there is none.
      comparable: whether it is of what the paper's number is of; without, no difference is shown.
    """

    value: int | float
    std: float | None = None
    interval: tuple[float, float] | None = None
    comparable: bool = True


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Our side of a table.

    Attributes:
      found: the cells that were run.
      comparable: whether our numbers may be compared with the paper's; without it no differences are shown.
      header: sentences that stand above the table.
      commands: what repeats a cell, a line or several.
      marks: sentences to be said of a cell below the table.
    """

    found: Mapping[Place, Found]
    comparable: bool
    header: Sequence[str] = ()
    commands: Mapping[Place, str] = field(default_factory=dict)
    marks: Mapping[Place, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, whether the paper prints it in bold, and the letters of its notes."""

    text: str
    bold: bool = False
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of the table: its labels, whose numbers it holds, and a cell a column."""

    labels: tuple[str, ...]
    source: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Layout:
    """The lines of a table from top to bottom, and the text of each letter."""

    lines: tuple[Line, ...]
    notes: Mapping[str, str]


def lay_out(table: PublishedTable, reproduction: Reproduction) -> Layout:
    """Returns the paper's rows, and below those that are reproduced ours and, if comparable, the difference.

    A row that nobody has printed has our line alone.

    Raises:
      ValueError: the reproduction names a cell that the table does not have.
    """
    _check_places(table, reproduction)
    letters: dict[str, str] = {}
    lines = []
    for row in table.rows:
        printed = row.key is None or any(value is not None for value in row.values.values())
        lines += [_published(table, row, letters)] if printed else []
        if row.key is not None:
            ours = [reproduction.found.get((row.key, column.key)) for column in table.columns]
            labels = ("",) * len(table.labels) if printed else row.labels
            lines.append(_this_run(table, row.key, labels, ours, reproduction.marks, letters))
            if reproduction.comparable and any(ours):
                lines.append(_difference(table, row, ours))
    return Layout(tuple(lines), {letter: text for text, letter in letters.items()})


def number(value: int | float, column: Column, decimals: int) -> str:
    """Returns what a cell says of a value of ours: "53.40", or "19.3M" for a number of parameters."""
    return f"{value / 1e6:.1f}M" if column.kind == "parameters" else f"{value:.{decimals}f}"


def _check_places(table: PublishedTable, reproduction: Reproduction) -> None:
    known = {(key, column.key) for key in table.reproduced for column in table.columns}
    for place in chain(reproduction.found, reproduction.commands, reproduction.marks):
        if place not in known:
            raise ValueError(f"{table.name} has no cell {place} to reproduce.")


def _published(table: PublishedTable, row: PublishedRow, letters: dict[str, str]) -> Line:
    disagreements = {one.column.key: str(one) for one in table.disagreements() if one.row is row}
    cells = []
    for column in table.columns:
        value = row.values[column.key]
        unit = "M" if column.kind == "parameters" else ""
        texts = [notes[column.key] for notes in (disagreements, row.notes) if column.key in notes]
        marks = tuple(_letter(text, letters) for text in texts)
        cells.append(Cell(NOT_PRINTED if value is None else f"{value}{unit}", column.key in row.bold, marks))
    return Line(row.labels, PAPER, tuple(cells))


def _this_run(
    table: PublishedTable,
    key: str,
    labels: tuple[str, ...],
    ours: Sequence[Found | None],
    marks: Mapping[Place, Sequence[str]],
    letters: dict[str, str],
) -> Line:
    cells = []
    for column, found in zip(table.columns, ours, strict=True):
        text = NOT_RUN if found is None else number(found.value, column, table.decimals)
        said = marks.get((key, column.key), ())
        cells.append(Cell(text, marks=tuple(_letter(sentence, letters) for sentence in said)))
    return Line(labels, THIS_RUN, tuple(cells))


def _difference(table: PublishedTable, row: PublishedRow, ours: Sequence[Found | None]) -> Line:
    """Returns ours, as it is shown, minus the paper's."""
    cells = []
    for column, found in zip(table.columns, ours, strict=True):
        printed = row.values[column.key]
        text = ""
        if found is not None and found.comparable and printed is not None:
            unit = "M" if column.kind == "parameters" else ""
            shown = Decimal(number(found.value, column, table.decimals).removesuffix("M"))
            text = f"{shown - printed:+}{unit}"
        cells.append(Cell(text))
    return Line(("",) * len(table.labels), DIFFERENCE, tuple(cells))


def _letter(text: str, letters: dict[str, str]) -> str:
    """Returns the letter of a note; the same text has the same one, and after z comes aa."""
    turn, place = divmod(len(letters), len(string.ascii_lowercase))
    return letters.setdefault(text, string.ascii_lowercase[place] * (turn + 1))
