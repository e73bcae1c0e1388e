"""Differences between rows with their intervals, as a forest plot."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fsjax.evaluation import report
from fsjax.evaluation.pictures import figures

WIDTH = 8.0  # inches
LINE = 0.32  # inches of a comparison
LETTERS = 135  # of a note, on a line
ABOUT = "95% bootstrap intervals over paired episodes; hollow: the interval holds 0."


def forest(path: Path, title: str, found: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
    """Writes a PNG with a line a comparison: the difference in mean-IoU, its interval and both in figures.

    Args:
      path: of the PNG.
      title: says what is subtracted from what.
      found: of `results.differences`, at least one; "folder", where it is there, is put before the row.
      notes: sentences for below the plot.
    """
    lines = textwrap.wrap(" ".join([ABOUT, *notes]), LETTERS)
    figure = Figure(figsize=(WIDTH, LINE * len(found) + 0.95 + 0.16 * len(lines)), layout="constrained")
    axis = figure.subplots()
    places = range(len(found))
    for place, one in zip(places, found, strict=True):
        if one["difference"] is not None and one["ci95"] is not None:
            low, high = one["ci95"]
            inside = "white" if low <= 0 <= high else figures.ACCENT
            axis.plot([low, high], [place, place], color=figures.ACCENT, linewidth=1.6)
            axis.plot(one["difference"], place, "o", color=figures.ACCENT, markersize=5.5, mfc=inside)
    axis.axvline(0, color=figures.INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    said = axis.twinx()
    for side, labels in ((axis, map(_label, found)), (said, map(report.difference, found))):
        side.set_ylim(len(found) - 0.4, -0.6)
        side.set_yticks(places, list(labels))
        side.tick_params(axis="y", length=0, labelsize=8, labelcolor=figures.INK)
        side.spines[["top", "left", "right"]].set_visible(False)
    axis.tick_params(axis="x", labelsize=8, color=figures.FAINT)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axis.set_axisbelow(True)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=10, fontweight="bold", color=figures.INK)
    axis.set_xlabel("difference in mean-IoU, points", fontsize=8, color=figures.INK)
    figure.supxlabel(_plain("\n".join(lines)), fontsize=7.5, color=figures.INK, x=0.01, ha="left")
    figures.save(figure, path)


def _label(one: Mapping[str, Any]) -> str:
    """Returns what a line is called; the row that is subtracted is named if its name is another."""
    folder = f"{one['folder']}: " if "folder" in one else ""
    other = "" if one["row"] == one["other_row"] else f" minus {one['other_row']}"
    return _plain(f"{folder}{one['row']}{other}")


def _plain(text: str) -> str:
    """Keeps matplotlib from reading formulas into a text."""
    return text.replace("$", r"\$")
