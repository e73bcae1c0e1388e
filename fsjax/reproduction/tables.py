"""A paper's table beside our own numbers, as Markdown and as LaTeX."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from fsjax.reproduction.layout import (
    NOT_PRINTED,
    Cell,
    Layout,
    Place,
    Reproduction,
    lay_out,
    number,
)
from fsjax.reproduction.published import PublishedTable

LATEX = {
    "PASCAL-5i": "PASCAL-$5^i$",
    "COCO-20i": "COCO-$20^i$",
    "lambda1": r"$\lambda_1$",
    "lambda2": r"$\lambda_2$",
    "✓": r"\checkmark{}",
    "±": r"$\pm$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "#$%&_{}"},
}
"""What a text's pieces are in LaTeX; longer pieces come first."""


def markdown(table: PublishedTable, reproduction: Reproduction) -> str:
    """Returns a Markdown document: the table, its notes, our intervals, and the commands that repeat cells.

    Args:
      table: the paper's.
      reproduction: ours.

    Raises:
      ValueError: the reproduction names a cell that the table does not have.
    """
    layout = lay_out(table, reproduction)
    headings = [*table.labels, "Source", *(f"{c.group} {c.name}".strip() for c in table.columns)]
    lines = [[*line.labels, line.source, *map(_markdown_cell, line.cells)] for line in layout.lines]
    strong = "" if reproduction.comparable else "**"
    parts = [
        f"# {table.title}",
        table.caption,
        *(f"{strong}{_one_line(sentence)}{strong}" for sentence in reproduction.header),
        _markdown_table([headings, *lines], left=len(table.labels) + 1),
        _list([*(f"[{letter}] {text}" for letter, text in layout.notes.items()), *table.notes]),
        _titled("What the paper's text says", _list(table.claims)),
        _titled("This run, with intervals", _intervals(table, reproduction)),
        _titled("Commands", "\n".join(_markdown_commands(table, reproduction.commands))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(table: PublishedTable, reproduction: Reproduction) -> str:
    """Returns the table and its notes as a LaTeX float; it needs booktabs, and amssymb for check marks.

    Args:
      table: the paper's.
      reproduction: ours; its header stands in the caption, its commands in comments.

    Raises:
      ValueError: the reproduction names a cell that the table does not have.
    """
    layout = lay_out(table, reproduction)
    caption = " ".join([f"{table.title}: {table.caption}", *map(_one_line, reproduction.header)])
    notes = [rf"\textsuperscript{{{letter}}}~{_latex(text)}" for letter, text in layout.notes.items()]
    lines = [
        *_latex_commands(table, reproduction.commands),
        r"% \usepackage{booktabs,amssymb}",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{_latex(caption)}}}",
        rf"\label{{tab:{table.name.replace('/', '-')}}}",
        *_tabular(table, layout),
        *(rf"\par\smallskip\raggedright {note}" for note in (*notes, *map(_latex, table.notes))),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.bold else cell.text
    return " ".join([text, *(f"[{letter}]" for letter in cell.marks)])


def _markdown_table(lines: Sequence[Sequence[str]], left: int) -> str:
    """Returns a table whose first line is the heading and whose first `left` columns stand at the left."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths[:left]] + ["-" * (width - 1) + ":" for width in widths[left:]]
    head, *body = [
        [cell.ljust(width) for cell, width in zip(line[:left], widths, strict=False)]
        + [cell.rjust(width) for cell, width in zip(line[left:], widths[left:], strict=True)]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def _intervals(table: PublishedTable, reproduction: Reproduction) -> str:
    """Returns a table of the cells that have a deviation or an interval; nothing where none has."""
    lines = []
    for key, column in ((key, column) for key in table.reproduced for column in table.columns):
        cell = reproduction.found.get((key, column.key))
        if cell and (cell.std is not None or cell.interval):
            value, std, *bounds = (
                "-" if given is None else number(given, column, table.decimals)
                for given in (cell.value, cell.std, *(cell.interval or (None,)))
            )
            lines.append([key, column.key, value, std, " to ".join(bounds)])
    if not lines:
        return ""
    headings = ["row", "column", "this run", "std over runs", "95% interval over episodes"]
    return _markdown_table([headings, *lines], left=2)


def _commands(table: PublishedTable, commands: Mapping[Place, str]) -> dict[str, str]:
    """Returns each command with the cells that it repeats, in the table's order."""
    places: dict[str, list[Place]] = {}
    for place in ((key, column.key) for key in table.reproduced for column in table.columns):
        if place in commands:
            places.setdefault(commands[place].strip(), []).append(place)
    named = {}
    for command, cells in places.items():
        rows = groupby(cells, key=lambda place: place[0])
        named[command] = "; ".join(
            f"{row}: {', '.join(column for _, column in cells)}" for row, cells in rows
        )
    return named


def _markdown_commands(table: PublishedTable, commands: Mapping[Place, str]) -> Iterator[str]:
    for command, cells in _commands(table, commands).items():
        yield f"- {cells}"
        yield from (f"  {line}" for line in ("```sh", *command.splitlines(), "```"))


def _latex_commands(table: PublishedTable, commands: Mapping[Place, str]) -> Iterator[str]:
    for command, cells in _commands(table, commands).items():
        yield f"% {cells}:"
        yield from (f"%   {line}" for line in command.splitlines())


def _tabular(table: PublishedTable, layout: Layout) -> list[str]:
    labels = len(table.labels) + 1
    groups = [(name, len(list(columns))) for name, columns in groupby(table.columns, key=lambda c: c.group)]
    lines = [rf"\begin{{tabular}}{{{'l' * labels}{'r' * len(table.columns)}}}", r"\toprule"]
    if any(name for name, _ in groups):
        lines += _group_headings(groups, labels)
    headings = map(_latex, [*table.labels, "Source", *(column.name for column in table.columns)])
    lines += [_latex_line([*headings]), r"\midrule"]
    for line in layout.lines:
        names = [*map(_latex, line.labels), line.source]
        lines.append(_latex_line([*names, *map(_latex_cell, line.cells)]))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _group_headings(groups: Sequence[tuple[str, int]], labels: int) -> list[str]:
    """Returns the line of the groups' names, and the rules under them."""
    cells, rules, first = [""] * labels, [], labels + 1
    for name, width in groups:
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_latex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return [_latex_line(cells), " ".join(rules)]


def _latex_cell(cell: Cell) -> str:
    text = "--" if cell.text == NOT_PRINTED else _latex(cell.text)
    text = re.sub(r"^-(?=\d)", "$-$", text)
    text = rf"\textbf{{{text}}}" if cell.bold else text
    marks = ",".join(cell.marks)
    return rf"{text}\textsuperscript{{{marks}}}" if marks else text


def _latex_line(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _latex(text: str) -> str:
    pieces = "|".join(map(re.escape, LATEX))
    return re.sub(pieces, lambda found: LATEX[found[0]], _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _titled(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
