"""The papers' figures of episodes: sheets that evaluations drew, and what is on them as CSV."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsjax.evaluation.chosen import choose, first_ious
from fsjax.evaluation.metrics import percent
from fsjax.evaluation.results import Results
from fsjax.files import replacing
from fsjax.reproduction.jobs import Job
from fsjax.reproduction.plans import SHEETS
from fsjax.reproduction.sweep import results

HEADINGS = ["chosen as", "run", "episode", "class", "query", "supports"]


def write_sheets(stem: Path, name: str, jobs: Sequence[Job], workdir: Path) -> list[Path]:
    """Copies the sheets of evaluations, and writes beside each a CSV of its episodes and their IoUs.

    Args:
      stem: path of the files; with several jobs a number is added.
      name: of the figure.
      jobs: the evaluations; one without results is left out.
      workdir: of the sweep.

    Returns:
      The sheets.
    """
    row, picture = SHEETS[name]
    written = []
    for number, job in enumerate(jobs, start=1):
        if results(job, workdir) is None:
            continue
        found = Results.read(job.folder(workdir))
        of_job = stem.with_name(f"{stem.name}_{number}") if len(jobs) > 1 else stem
        with replacing(of_job.with_suffix(".png")) as temporary:
            shutil.copyfile(job.folder(workdir) / picture, temporary)
        with (
            replacing(of_job.with_suffix(".csv")) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(_lines(found, row))
        written.append(of_job.with_suffix(".png"))
    return written


def _lines(found: Results, row: str) -> Iterator[list[Any]]:
    """Yields the headings, then a line for each episode of a sheet, with the IoU of every row."""
    part, classes = found.header["config"]["eval"], found.class_names
    counted = {"void": part["void"], "counting": part["counting"]}
    chosen = choose(found.row(row), part["pictures"], part["pictures_of"], **counted)
    ious = {
        name: first_ious(records, **counted)
        for name, records in found.records.items()
        if len(records) == len(found.row(row))
    }
    yield [*HEADINGS, *(f"IoU of {name}" for name in ious)]
    for place, note in chosen:
        record = found.row(row)[place]
        names = " ".join(classes[class_id] for class_id in record["class_ids"])
        supports = " ".join(image for way in record["support"] for image in way)
        cells = [_in_percent(of_row[place]) for of_row in ious.values()]
        yield [note, record["run"], record["index"], names, record["query"][0], supports, *cells]


def _in_percent(iou: float) -> str:
    """Returns an IoU with one digit, "" where it is not defined."""
    value = percent(iou)
    return "" if value is None else f"{value:.1f}"
