"""Compares evaluations of the same episodes, row by row, with what the episodes share cancelled.

    python -m fsjax.compare runs/again runs/other                      rows of the same name
    python -m fsjax.compare runs/again runs/other --rows=fusion1,master:fusion2
    python -m fsjax.compare runs/prnet_shapes_fold0 --rows=fusion2:fusion0
    python -m fsjax.compare runs/seed1 runs/seed2 runs/other --picture=compare.png

The last folder's rows are subtracted. Intervals are 95%, of a bootstrap over pairs of episodes; they do
not say what another training would score.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.pictures.forest import forest
from fsjax.evaluation.results import (
    Results,
    differences,
    protocol_differences,
    same_manifest,
    selections,
)

FLAGS = {
    "rows": "The rows, divided by commas, or by semicolons where a name has commas; row:other where the "
    "subtracted one has another name.",
    "picture": "A PNG to draw the differences and their intervals into.",
}
SWITCHES = {
    "shared_episodes": "Compares evaluations of different manifests, too, on the episodes that both have.",
}

Pair = tuple[str, str]
Found = list[dict[str, Any]]


def program(argv: list[str]) -> None:
    """Compares, and prints the table."""
    flags, folders = cli.parse(argv, __doc__, FLAGS, SWITCHES, fields=False, places=True)
    if not folders:
        raise InputError("Name the folder of an evaluation's results, or several: the last is subtracted.")
    if flags.picture and Path(flags.picture).suffix.lower() != ".png":
        raise InputError(f"--picture is {flags.picture!r}: name a PNG, as compare.png.")
    evaluations = [Results.read(folder) for folder in folders]
    firsts, last = evaluations[:-1] or evaluations, evaluations[-1]
    found, shared, apart = [], [], []
    for results, pairs in _pairs(firsts, last, _named(flags.rows)):
        of_folder = differences(results, last, pairs, shared=flags.shared_episodes)
        between = f" of {results.folder} and {last.folder}" if len(firsts) > 1 else ""
        found += [one | ({"folder": str(results.folder)} if between else {}) for one in of_folder]
        shared += _shared(results, last, of_folder)
        apart += [f"The protocols{between} differ in {line}." for line in protocol_differences(results, last)]
    trained = [*_trained(evaluations), *selections(evaluations)]
    if len(firsts) > 1:
        print(f"The rows of {last.folder} are subtracted.")
    print("\n".join([*shared, report.differences_table(found), *apart, *trained]))
    if flags.picture:
        notes = [*shared, *(["The protocols differ."] if apart else []), *trained]
        forest(Path(flags.picture), _title(evaluations), found, notes)
        print(f"The picture is in {flags.picture}.")


def _pairs(
    firsts: Sequence[Results], last: Results, asked: Sequence[Pair]
) -> Iterator[tuple[Results, list[Pair]]]:
    """Yields of each folder its rows, each with the last folder's row that is subtracted.

    Raises:
      InputError: where nothing is to be compared, or of several folders none has a row that is asked for.
    """
    for row, _ in asked if len(firsts) > 1 else ():
        if not any(row in results.records for results in firsts):
            raise InputError(f"Only the last folder may have the row {row!r}: name one of another folder.")
    for results in firsts:
        pairs = list(asked) or [(name, name) for name in results.records]
        if results is last and any(row == other for row, other in pairs):
            raise InputError("Name rows of this folder to compare with --rows=row:other, or another folder.")
        if len(firsts) > 1:
            pairs = [(row, other) for row, other in pairs if row in results.records]
        if not asked:
            pairs = [(row, other) for row, other in pairs if other in last.records]
        if not pairs:
            raise InputError(
                f"No row is in both folders, {results.folder} ({', '.join(results.records)}) and "
                f"{last.folder} ({', '.join(last.records)}): name pairs with --rows=row:other."
            )
        yield results, pairs


def _shared(results: Results, last: Results, found: Found) -> list[str]:
    """Says of evaluations of different manifests on how many episodes they are compared."""
    rows = [one for one in found if not same_manifest(results, last, one["row"], one["other_row"])]
    if not rows:
        return []
    counts = sorted({one["episodes"] for one in rows})
    number = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return [
        f"The manifests of {results.folder} and {last.folder} differ: only the {number} episodes that both "
        "have are compared."
    ]


def _title(evaluations: Sequence[Results]) -> str:
    """Says above the picture what is subtracted from what."""
    *firsts, last = (str(results.folder) for results in evaluations)
    if len(firsts) > 1:
        return f"Differences from {last}"
    return f"{firsts[0]} minus {last}" if firsts else f"Rows of {last}"


def _trained(evaluations: Sequence[Results]) -> list[str]:
    """Says which evaluations are of classes that were trained on."""
    return [
        f"{results.folder} was trained on {', '.join(names)}: this is no test on new classes."
        for results in evaluations
        if (names := results.header.get("trained_classes"))
    ]


def _named(text: str) -> list[Pair]:
    """Returns the rows of the flag, each with the one that is subtracted."""
    pairs = []
    for piece in text.split(";" if ";" in text else ",") if text else ():
        row, colon, other = (part.strip() for part in piece.partition(":"))
        pairs.append((row, other if colon else row))
    return pairs


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
