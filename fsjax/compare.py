"""Compares evaluations of the same episodes, row by row, with what the episodes share cancelled.

    python -m fsjax.compare runs/again runs/other                      rows of the same name
    python -m fsjax.compare runs/again runs/other --rows=fusion1,master:fusion2
    python -m fsjax.compare runs/prnet_shapes_fold0 --rows=fusion2:fusion0

The second folder's rows are subtracted. Intervals are 95%, of a bootstrap over pairs of episodes; they do
not say what another training would score.
"""

import sys

from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.results import Results, differences, protocol_differences

FLAGS = {"rows": "The rows, divided by commas; row:other where the subtracted one has another name."}


def program(argv: list[str]) -> None:
    """Compares, and prints the table."""
    flags, folders = cli.parse(argv, __doc__, FLAGS, fields=False, places=True)
    if len(folders) not in (1, 2):
        raise InputError("Name the folder of an evaluation's results, or two folders to compare.")
    results, others = Results.read(folders[0]), Results.read(folders[-1])
    if not flags.rows and len(folders) == 1:
        raise InputError("Name the rows to compare with --rows=row:other, or another folder.")
    rows = [_pair(text) for text in flags.rows.split(",")] if flags.rows else _shared(results, others)
    print(report.differences_table(differences(results, others, rows)))
    for line in protocol_differences(results, others):
        print(f"The protocols differ in {line}.")


def _pair(text: str) -> tuple[str, str]:
    row, colon, other = text.strip().partition(":")
    return row, other if colon else row


def _shared(results: Results, others: Results) -> list[tuple[str, str]]:
    """Returns the rows that both have."""
    rows = [(name, name) for name in results.records if name in others.records]
    if not rows:
        raise InputError("No row is in both folders: name pairs with --rows=row:other.")
    return rows


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
