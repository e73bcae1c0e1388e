"""Prints which operations the time of a traced run goes into. It needs no TensorBoard.

    python train.py --workdir=runs/traced --profile=runs/traced/profile
    python -m fsjax.profile runs/traced/profile
    python -m fsjax.profile runs/traced/profile --top=40

The newest trace in the folder is read (docs/profiling.md).
"""

import sys
from collections.abc import Sequence

from fsjax import cli
from fsjax.errors import InputError
from fsjax.trace_files import Row, Traced, newest, read

FLAGS = {"top": "So many rows; by default 25."}


def program(argv: list[str]) -> None:
    """Prints the table."""
    flags, folders = cli.parse(argv, __doc__, FLAGS, fields=False, places=True)
    if len(folders) != 1:
        raise InputError("Name the folder of --profile, one.")
    top = flags.top or "25"
    if not (top.isdecimal() and int(top)):
        raise InputError(f"--top is {top!r}: give the number of rows.")
    place = newest(folders[0])
    traced = read(place)
    print(f"{place}:")
    print("\n".join(_lines(traced, int(top))))


def _lines(traced: Traced, top: int) -> list[str]:
    """Returns the steps, the phases and the costliest operations as aligned text."""
    steps = max(1, len(traced.steps))
    lines = [
        f"{len(traced.steps)} steps of {traced.kind or 'nothing'}, {sum(traced.steps) / steps:.1f} ms each, "
        f"{traced.loading / steps:.1f} ms of them waiting for photos; operations take "
        f"{sum(row.time for row in traced.rows) / steps:.1f} ms a step, added up over all that run at once.",
        "",
    ]
    lines += _table("phase", _phases(traced.rows), steps, top)
    return [*lines, "", *_table("operation", traced.rows, steps, top)]


def _phases(rows: Sequence[Row]) -> list[Row]:
    """Returns the sums over all operations of a phase, the costliest first."""
    found: dict[str, Row] = {}
    for row in rows:
        before = found.get(row.phase, Row("", row.phase, 0, 0.0))
        found[row.phase] = Row("", row.phase, before.times + row.times, before.time + row.time)
    return sorted(found.values(), key=lambda row: -row.time)


def _table(heading: str, rows: Sequence[Row], steps: int, top: int) -> list[str]:
    total = sum(row.time for row in rows) or 1.0
    names = [f"{row.phase:<21}{row.operation}".rstrip() for row in rows[:top]]
    width = max(map(len, [heading, *names]))
    lines = [f"{heading:<{width}}  {'times a step':>12}  {'ms a step':>9}  {'share':>6}"]
    for row, name in zip(rows, names, strict=False):
        lines.append(
            f"{name:<{width}}  {row.times / steps:>12.1f}  {row.time / steps:>9.2f}  {row.time / total:>6.1%}"
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
