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
from fsjax.evaluation.results import Results, differences, protocol_differences, selections

FLAGS = {
    "rows": "The rows, divided by commas, or by semicolons where a name has commas; row:other where the "
    "subtracted one has another name."
}


def program(argv: list[str]) -> None:
    """Compares, and prints the table."""
    flags, folders = cli.parse(argv, __doc__, FLAGS, fields=False, places=True)
    if len(folders) not in (1, 2):
        raise InputError("Name the folder of an evaluation's results, or two folders to compare.")
    results = Results.read(folders[0])
    others = Results.read(folders[1]) if len(folders) == 2 else results
    pairs = _named(flags.rows) if flags.rows else [(name, name) for name in results.records]
    if others is results and any(row == other for row, other in pairs):
        raise InputError("Name rows of this folder to compare with --rows=row:other, or another folder.")
    if not flags.rows:
        pairs = [(row, other) for row, other in pairs if other in others.records]
    if not pairs:
        raise InputError("No row is in both folders: name pairs with --rows=row:other.")
    print(report.differences_table(differences(results, others, pairs)))
    for line in protocol_differences(results, others):
        print(f"The protocols differ in {line}.")
    for line in selections(results, others):
        print(line)


def _named(text: str) -> list[tuple[str, str]]:
    """Returns the rows of the flag, each with the one that is subtracted."""
    pairs = []
    for piece in text.split(";" if ";" in text else ","):
        row, colon, other = (part.strip() for part in piece.partition(":"))
        pairs.append((row, other if colon else row))
    return pairs


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
