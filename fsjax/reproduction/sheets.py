"""The papers' figures of episodes: sheets that evaluations drew, their CSV, and a page about them."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsjax.evaluation.chosen import choose, first_ious
from fsjax.evaluation.metrics import percent
from fsjax.evaluation.results import Results
from fsjax.files import replacing
from fsjax.reproduction.jobs import command, in_order
from fsjax.reproduction.plans import SHEETS, Plan
from fsjax.reproduction.scales import METHODS
from fsjax.reproduction.sweep import results

ABOUT_IOU = (
    "IoU below a photo is that of the pixels shown, without void; the CSV's is counted as the tables are."
)
HEADINGS = ["chosen as", "run", "episode", "class", "query", "supports"]


def write_sheets(stem: Path, plan: Plan, header: Sequence[str], workdir: Path) -> None:
    """Copies the sheets of evaluations, writes a CSV of each one's episodes and IoUs, and a page about them.

    Args:
      stem: path of the files; with several evaluations a number is added.
      plan: of the figure.
      header: what the page says first.
      workdir: of the sweep.
    """
    row, picture = SHEETS[plan.name]
    method, _, figure = plan.name.partition("/figure")
    lines = [f"# {METHODS[method]}, Figure {figure}", *(f"**{line}**" for line in header), ABOUT_IOU]
    for number, job in enumerate(plan.sheets, start=1):
        sheet = (stem.with_name(f"{stem.name}_{number}") if len(plan.sheets) > 1 else stem).with_suffix(
            ".png"
        )
        if done := results(job, workdir) is not None:
            with replacing(sheet) as temporary:
                shutil.copyfile(job.folder(workdir) / picture, temporary)
            _write_csv(sheet.with_suffix(".csv"), Results.read(job.folder(workdir)), row)
        shown = f"![{job.name}]({sheet.name})" if done else "not run"
        commands = "\n".join(command(one, workdir) for one in in_order([job]))
        lines += [f"## {job.name}", shown, f"```sh\n{commands}\n```"]
    with replacing(stem.with_suffix(".md")) as temporary:
        temporary.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _write_csv(path: Path, found: Results, row: str) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_lines(found, row))


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
