"""A paper's figure from our own numbers: PNG and SVG, and the data as CSV."""

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fsjax.errors import InputError
from fsjax.evaluation.pictures.figures import FAINT, INK, save
from fsjax.files import replacing
from fsjax.segmenter.overlay import WAY_COLORS

HEADINGS = ["panel", "series", "x", "y", "low", "high"]
MEAN = "mean"
MOST_TICKS = 12
WARNING = "#B03A00"
BAND = 0.13  # opacity


@dataclass(frozen=True)
class Point:
    """A point of a curve.

    Attributes:
      x: where.
      y: the score in percent.
      low: end of its 95% interval; None without one.
      high: the other end.
    """

    x: int | float
    y: int | float
    low: int | float | None = None
    high: int | float | None = None


Series = Mapping[str, Sequence[Point]]
"""Curves by name; one without points was not run. The curve "mean" is drawn in ink, the others in colours."""


def draw_curves(
    stem: Path, title: str, x_label: str, y_label: str, series: Series, *, header: Sequence[str] = ()
) -> None:
    """Writes a figure of one panel as stem.png and stem.svg, and its points as stem.csv.

    Args:
      stem: path of the three files without their endings; the same curves give the same bytes.
      title: above the figure.
      x_label: below the horizontal axis.
      y_label: beside the vertical axis.
      series: the curves; the legend says which were not run.
      header: sentences that are drawn on the picture, such as "120 steps: not comparable".

    Raises:
      ValueError: a point is not finite.
      InputError: the files cannot be written there.
    """
    draw_panels(stem, title, x_label, y_label, {"": series}, header=header)


def draw_panels(
    stem: Path,
    title: str,
    x_label: str,
    y_label: str,
    panels: Mapping[str, Series],
    *,
    header: Sequence[str] = (),
) -> None:
    """Writes a figure of several panels side by side, each with its own vertical scale.

    Args:
      stem: as for `draw_curves`.
      title: above the figure.
      x_label: below each panel.
      y_label: beside the first panel.
      panels: the curves of each, by what stands above it.
      header: sentences that are drawn on the picture.

    Raises:
      ValueError: a point is not finite.
      InputError: the files cannot be written there.
    """
    _check_finite(panels)
    figure = Figure(figsize=(1.6 + 5 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, series) in zip(axes, panels.items(), strict=True):
        _draw(axis, name, series)
        axis.set_xlabel(x_label, fontsize=9)
    axes[0].set_ylabel(y_label, fontsize=9)
    _write_around(figure, title, header)
    save(figure, stem.with_name(f"{stem.name}.png"))
    with rc_context({"svg.hashsalt": "fsjax"}), replacing(stem.with_name(f"{stem.name}.svg")) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    _write_points(stem.with_name(f"{stem.name}.csv"), panels)


def read_curves(path: Path) -> dict[str, dict[str, list[Point]]]:
    """Returns the curves of a CSV by panel and name; a curve that was not run has no points.

    Raises:
      InputError: the file is missing, or a line of it is damaged.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path} is no ordinary file: draw the figure again.")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): draw the figure again.") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is no CSV of curves ({error}): draw the figure again.") from error
    if lines[:1] != [HEADINGS]:
        raise InputError(f"{path} is no CSV of curves (no heading): draw the figure again.")
    panels: dict[str, dict[str, list[Point]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            panel, name, *values = line
            points = panels.setdefault(panel, {}).setdefault(name, [])
            points.extend([_point(*values)] if any(values) else [])
        except (ValueError, TypeError) as error:
            raise InputError(f"Line {number} of {path} is damaged: draw the figure again.") from error
    return panels


def _draw(axis: Axes, name: str, series: Series) -> None:
    colors = cycle(WAY_COLORS)
    for label, points in series.items():
        mean = label.lower() == MEAN
        color = INK if mean else next(colors)
        if points:
            _draw_curve(axis, label, _ordered(points), color, mean)
        else:
            axis.plot([], [], color=FAINT, linewidth=1.2, linestyle=":", label=f"{label}: not run")
    ticks = sorted({point.x for points in series.values() for point in points})
    if not ticks:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "not run", ha="center", color=FAINT, transform=axis.transAxes)
    if len(ticks) <= MOST_TICKS:
        axis.set_xticks(ticks)
    axis.set_title(name, loc="left", fontsize=9, color=INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, color=FAINT)
    handles, _ = axis.get_legend_handles_labels()
    if any(point.low is not None for points in series.values() for point in points):
        handles.append(Patch(color=FAINT, alpha=2 * BAND, linewidth=0, label="95% interval"))
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axis.legend(handles=handles, frameon=False, fontsize=8, **place)


def _draw_curve(axis: Axes, label: str, points: Sequence[Point], color: str, strong: bool) -> None:
    """Draws a curve, and a band where its points have intervals."""
    front, width = (3, 2.4) if strong else (2, 1.5)
    x, y = [point.x for point in points], [point.y for point in points]
    axis.plot(x, y, color=color, linewidth=width, marker="o", markersize=4, label=label, zorder=front)
    known = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if known:
        x, low, high = (list(values) for values in zip(*known, strict=True))
        axis.fill_between(x, low, high, color=color, alpha=BAND, linewidth=0)


def _ordered(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.x)


def _write_around(figure: Figure, title: str, header: Sequence[str]) -> None:
    """Writes the title above the panels and the header below them, wrapped to the figure's width."""
    inches = figure.get_size_inches()[0]
    text = textwrap.fill(title, int(9.5 * inches))
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    if header:
        text = "\n".join(textwrap.fill(sentence, int(16 * inches)) for sentence in header)
        figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color=WARNING)


def _check_finite(panels: Mapping[str, Series]) -> None:
    for name, points in (curve for series in panels.values() for curve in series.items()):
        for point in points:
            if not all(math.isfinite(value) for value in astuple(point) if value is not None):
                raise ValueError(f"{point} of {name} is not finite.")


def _write_points(path: Path, panels: Mapping[str, Series]) -> None:
    """Writes a line a point, and one without numbers for a curve that was not run."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADINGS)
        for panel, series in panels.items():
            for name, points in series.items():
                rows = [astuple(point) for point in _ordered(points)] or [(None,) * 4]
                writer.writerows([panel, name, *row] for row in rows)


def _point(x: str, y: str, low: str, high: str) -> Point:
    point = Point(float(x), float(y), float(low) if low else None, float(high) if high else None)
    if not all(math.isfinite(value) for value in astuple(point) if value is not None):
        raise ValueError("a number is not finite")
    return point
