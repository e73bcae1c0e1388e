"""Compares two evaluations of the same episodes, row by row, with what the episodes share cancelled.

    python compare.py --results=runs/prnet_shapes_fold0 --rows=fusion2:fusion0
    python compare.py --results=runs/again --others=runs/other --rows=fusion1,fusion2

The rows of --others are subtracted. Intervals are 95%, of a bootstrap over pairs of episodes; they do not
say what another training would score.
"""

import sys

from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.results import Results, differences

FLAGS = {
    "results": "The folder of an evaluation's results.",
    "others": "The folder of the results that are subtracted; by default the same.",
    "rows": "The rows, divided by commas; row:other where --others has the other one. By default all shared.",
}


def program(argv: list[str]) -> None:
    """Compares, and prints the table."""
    flags, _ = cli.parse(argv, __doc__, FLAGS, fields=False)
    if not flags.results:
        raise InputError("Name the folder of an evaluation's results with --results.")
    results = Results.read(flags.results)
    others = Results.read(flags.others) if flags.others else results
    rows = [_pair(text) for text in flags.rows.split(",")] if flags.rows else _shared(results, others)
    print(report.differences_table(differences(results, others, rows)))


def _pair(text: str) -> tuple[str, str]:
    row, colon, other = text.strip().partition(":")
    return row, other if colon else row


def _shared(results: Results, others: Results) -> list[tuple[str, str]]:
    """Returns the rows that both have."""
    rows = [(name, name) for name in results.records if name in others.records]
    if results is others or not rows:
        raise InputError("Name the rows to compare with --rows=row:other.")
    return rows


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
