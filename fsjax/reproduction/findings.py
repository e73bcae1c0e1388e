"""What the results of a sweep's jobs say of the cells of a plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from fsjax.evaluation.metrics import Counts, count, mean_over
from fsjax.evaluation.report import selected_in_words
from fsjax.evaluation.results import Results
from fsjax.models import build
from fsjax.reproduction.curves import MEAN, Point
from fsjax.reproduction.jobs import Job
from fsjax.reproduction.layout import Found
from fsjax.reproduction.plans import Cell, Plan
from fsjax.reproduction.published import PublishedTable
from fsjax.reproduction.scales import FOLDS
from fsjax.reproduction.sweep import results

INTERVALS = {"mean_iou": "ci95", "binary_iou": "binary_ci95"}
DEVIATIONS = {"mean_iou": "std", "binary_iou": "binary_std"}


class Findings:
    """The results of all jobs of a sweep, each checked once, and its episodes counted once where needed."""

    def __init__(self, workdir: Path, fold_count: int = len(FOLDS)):
        """Begins without any.

        Args:
          workdir: of the sweep.
          fold_count: how many folds the data have.
        """
        self._workdir, self._fold_count = workdir, fold_count
        self._headers: dict[Job, dict[str, Any]] = {}
        self._counted: dict[tuple[Job, str, str], Counts] = {}
        self._last: tuple[Job, Results] | None = None  # its records are large: one at a time

    def of(self, cell: Cell) -> Found | None:
        """Returns a cell's number; None if something of it is missing."""
        if cell.parameters:
            return self._parameters(cell.jobs[0])
        found = [self._score(job, cell) for job in cell.jobs]
        if None in found:
            return None
        return self._mean([cell]) if cell.over_folds else found[0]

    def table(self, plan: Plan, table: PublishedTable) -> dict[tuple[str, str], Found]:
        """Returns the numbers that there are, by row and column, and the means of whole sets of folds."""
        found = {place: self.of(cell) for place, cell in plan.cells.items()}
        for place, cells in means(plan, table).items():
            if len(cells) == self._fold_count and all(self.of(cell) for cell in cells):
                found[place] = self._mean(cells)
        return {place: one for place, one in found.items() if one is not None}

    def panels(self, plan: Plan, folds: Sequence[int]) -> dict[str, dict[str, list[Point]]]:
        """Returns the curves of a figure: one a fold, and the mean where all folds are there.

        Args:
          plan: of a figure.
          folds: that the mean is taken over.
        """
        panels: dict[str, dict[str, list[Point]]] = {}
        for (panel, curve, x), cell in plan.cells.items():
            points = panels.setdefault(panel, {}).setdefault(curve, [])
            found = self.of(cell)
            if found is not None:
                points.append(Point(x, found.value, *(found.interval or ())))
        if len(folds) > 1:
            for curves in panels.values():
                curves[MEAN] = _mean(list(curves.values()))
        return panels

    def marks(self, *cells: Cell) -> list[str]:
        """Returns what is to be said below a table of the number of a cell, or of several."""
        return list(dict.fromkeys(mark for cell in cells for mark in self._marks(cell)))

    def _marks(self, cell: Cell) -> list[str]:
        few = cell.over_folds and len(cell.jobs) < self._fold_count
        said = [f"Over {len(cell.jobs)} of {self._fold_count} folds."] if few else []
        for job in cell.jobs:
            header = self.header(job)
            rows = header.get("rows", ())
            most = max((row["episodes"] for row in rows), default=0)
            own = next((row["episodes"] for row in rows if row["name"] == cell.row), most)
            said += [f"On {own:,} of {most:,} episodes, the first of each run."] if own < most else []
            selected, trained = header.get("selected_classes"), header.get("trained_classes")
            said += [selected_in_words(selected)] if selected else []
            said += [f"Trained on {', '.join(trained)}: no test on new classes."] if trained else []
        return said

    def mixtures(self, jobs: Sequence[Job]) -> list[str]:
        """Returns what is to be said where results were made by several versions of fsjax or of the data."""
        headers = [header for header in map(self.header, jobs) if header]
        made = {header["provenance"].get("fsjax", "unknown") for header in headers}
        said = [f"Made by several versions of fsjax: {', '.join(sorted(made))}."] if len(made) > 1 else []
        for name in sorted({header["data_set"] for header in headers}):
            versions = {header["version"] for header in headers if header["data_set"] == name}
            said += [f"On several versions of {name}: {', '.join(sorted(versions))}."] * (len(versions) > 1)
        return said

    def header(self, job: Job) -> dict[str, Any]:
        """Returns results.json of a job, {} where there is none."""
        if job not in self._headers:
            self._headers[job] = results(job, self._workdir) or {}
        return self._headers[job]

    def _mean(self, cells: Sequence[Cell]) -> Found:
        """Returns the mean of what is one score a fold, with the interval over all folds' episodes."""
        cell, jobs = cells[0], [job for cell in cells for job in cell.jobs]
        scores = mean_over([self._counts(job, cell) for job in jobs])
        interval = scores[INTERVALS[cell.score]]
        return Found(
            scores[cell.score],
            interval=tuple(interval) if interval else None,
            comparable=len(jobs) == len(FOLDS),
        )

    def _counts(self, job: Job, cell: Cell) -> Counts:
        key = job, cell.row, cell.void
        if key not in self._counted:
            read = self._results(job)
            counted = read.counted | ({"void": cell.void} if cell.void else {})
            self._counted[key] = count(read.row(cell.row), read.class_names, **counted)
        return self._counted[key]

    def _results(self, job: Job) -> Results:
        if self._last is None or self._last[0] != job:
            self._last = job, Results.read(job.folder(self._workdir))
        return self._last[1]

    def _score(self, job: Job, cell: Cell) -> Found | None:
        rows = {row["name"]: row for row in self.header(job).get("rows", ())}
        if cell.row not in rows:
            return None
        row = rows[cell.row]
        if cell.void:
            counting = self.header(job)["protocol"]["counting"]
            row = next(s for s in row["scores"] if (s["void"], s["counting"]) == (cell.void, counting))
        if row[cell.score] is None:
            return None
        interval = row[INTERVALS[cell.score]]
        return Found(row[cell.score], row[DEVIATIONS[cell.score]], tuple(interval) if interval else None)

    def _parameters(self, job: Job) -> Found | None:
        """Returns how many parameters a trained method has, its frozen backbone included."""
        header = self.header(job)
        if not header:
            return None
        method = build.method(ConfigDict(header["config"]["model"]))
        variables = jax.eval_shape(method.init, jax.random.key(0))
        parameters = variables["backbone"]["params"], variables["head"]
        return Found(sum(leaf.size for leaf in jax.tree.leaves(parameters)))


def means(plan: Plan, table: PublishedTable) -> dict[tuple[str, str], list[Cell]]:
    """Returns the cells of the folds that each mean of a table is taken over, by row and column."""
    columns = [column for column in table.columns if column.kind == "mean"]
    places = {
        (row, mean.key): [(row, fold.key) for fold in table.folds(mean)]
        for row in table.reproduced
        for mean in columns
    }
    return {
        mean: [plan.cells[place] for place in folds if place in plan.cells] for mean, folds in places.items()
    }


def _mean(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Returns the mean of curves at those places where all of them have a point."""
    heights: dict[float, list[float]] = {}
    for point in (point for curve in curves for point in curve):
        heights.setdefault(point.x, []).append(point.y)
    return [Point(x, sum(y) / len(y)) for x, y in heights.items() if len(y) == len(curves)]


def losses(metrics: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Returns the mean loss of the first and of the last tenth of a training's steps; None without any."""
    values = [line["loss"] for line in metrics]
    part = max(1, len(values) // 10)
    return (sum(values[:part]) / part, sum(values[-part:]) / part) if values else None
