"""Says where a row of an evaluation fails: by the size of objects, by class, by what else the queries show.

    python -m fsjax.analyze runs/prnet_shapes_fold0
    python -m fsjax.analyze runs/again --row=fusion0 --out=runs/again/fusion0

The folder's results.json and episodes.jsonl are read, and nothing else: no data set is needed. Written are
failures.csv, a line for every class looked for in every query, the worst first, with sizes and ids,
by_size.csv, by_class.csv and so on, and failures.png. IoUs of groups are pooled: their pixels are summed over
a run's episodes before they are divided. Intervals are 95%, of a bootstrap over episodes.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation import failure_files, failures
from fsjax.evaluation.pictures.failure_sheet import failure_sheet
from fsjax.evaluation.results import Results
from fsjax.files import make_writable
from fsjax.models.dpnet.dpnet import DPNet
from fsjax.models.prnet.prnet import PRNet

FLAGS = {
    "row": "The row; by default the method's final one.",
    "out": "The folder for what is written; by default the evaluation's own.",
}
FINAL = (PRNet.final, DPNet.final)


def program(argv: list[str]) -> None:
    """Analyses a row, and prints the groups."""
    flags, folders = cli.parse(argv, __doc__, FLAGS, fields=False, places=True)
    if len(folders) != 1:
        raise InputError("Name the folder of an evaluation's results, one.")
    results = Results.read(folders[0])
    row = flags.row or _final(results)
    records, class_names = results.row(row), results.class_names
    cases = failures.find_cases(records, class_names, **results.counted)
    groups = failures.group(cases, list(class_names.values()))
    out = Path(flags.out or folders[0])
    make_writable(out)
    failure_files.write(out, cases, groups)
    title = f"{results.header.get('title') or results.header['data_set']}, {row}, {len(records):,} episodes"
    failure_sheet(out / "failures.png", title, cases, groups)
    print("\n".join(_lines(groups)))
    print(f"Tables and the picture failures.png are in {out}.")


def _final(results: Results) -> str:
    """Returns the row of an evaluation that is looked at by default."""
    names = list(results.records)
    for name in (*FINAL, *names[: len(names) == 1]):
        if name in names:
            return name
    raise InputError(f"Name a row of {results.folder} with --row: choose from {', '.join(names)}.")


def _lines(groups: Mapping[str, Sequence[failures.Group]]) -> list[str]:
    """Returns the groups as aligned text."""
    lines = []
    width = max(len(one.name) for found in groups.values() for one in found)
    for by, found in groups.items():
        heading = f"{by.replace('_', ' ') + (', %' if by == failures.SIZE else ''):<{max(width, 17)}}"
        lines += [f"{heading}  {'IoU':>5}  {'95% interval':>13}  {'cases':>7}"]
        for one in found:
            low, high = one.ci95 or (None, None)
            between = "-" if low is None or high is None else f"{low:.1f} to {high:.1f}"
            iou = "-" if one.iou is None else f"{one.iou:.1f}"
            lines.append(f"{one.name:<{max(width, 17)}}  {iou:>5}  {between:>13}  {one.cases:>7,}")
        lines.append("")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
