"""Shows what a prepared data set holds: counts beside the known ones, sizes, folds, overlaps, and pictures.

    python -m datasets.overview --dataset=coco20i
    python -m datasets.overview --dataset=mydata --tfds_dir=/disk/built --out=mydata_overview

Photos of any number are counted from their records; only overlaps read masks, of 1,000 photos at most.
From another folder than the clone's, start it as python CLONE/datasets/overview.py.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # by its path: the clone takes the place of this folder
    sys.path[: not sys.flags.safe_path] = [str(Path(__file__).resolve().parents[1])]

import datasets
from datasets.prepared import PreparedList
from datasets.statistics.contact_sheet import contact_sheet
from datasets.statistics.counting import Counted, count, overlaps
from datasets.statistics.overview_text import class_headings, class_rows, overview
from datasets.statistics.size_figure import size_figure
from fsjax import cli
from fsjax.errors import InputError
from fsjax.files import make_writable, replacing

FLAGS = {
    "dataset": "The name of the prepared data set, or shapes.",
    "tfds_dir": "The folder for built data sets; by default data.",
    "out": "The folder for the pictures and the table of classes; by default runs/overview_ and the name.",
}
SHEET, SIZES, CLASSES = "contact_sheet.png", "sizes.png", "classes.csv"


def program(argv: list[str]) -> None:
    """Prints the overview of a data set, and draws it."""
    flags, _ = cli.parse(argv, __doc__ or "", FLAGS, fields=False)
    if not flags.dataset:
        raise InputError("Name a data set with --dataset: what prepare called it, or shapes.")
    out = Path(flags.out or f"runs/overview_{flags.dataset}")
    place, about = datasets.described(Path(flags.tfds_dir or "data").expanduser().absolute(), flags.dataset)
    make_writable(out)
    # The usual lists come first, because the first one decides what is sorted and drawn.
    names = list(dict.fromkeys([*about["usual"], *about["lists"]]))
    sources = [PreparedList(place, about, name, ()) for name in names]
    counted = [count(source) for source in sources]
    found = overlaps(sources, counted)
    _write_classes(out / CLASSES, about, counted)
    drawn = _drawn(out, sources, counted)
    print("\n".join(overview(about, counted, found, str(out / CLASSES))))
    print("\n".join(["", "Pictures:", *(f"  {path}" for path in drawn)]))


def _drawn(out: Path, sources: Sequence[PreparedList], counted: Sequence[Counted]) -> list[Path]:
    """Draws the pictures, and returns where they are."""
    drawn = [out / SIZES]
    size_figure(out / SIZES, counted[:2], sources[0].class_names, sources[0].name)
    full = next((i for i, one in enumerate(counted) if len(one.classes)), None)
    if full is not None:
        contact_sheet(out / SHEET, sources[full], counted[full])
        drawn.insert(0, out / SHEET)
    return drawn


def _write_classes(path: Path, about: Mapping[str, Any], counted: Sequence[Counted]) -> None:
    """Writes the table of all classes."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(class_headings(about["folds"], counted))
        writer.writerows(class_rows(about["class_names"], about["folds"], counted))


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
