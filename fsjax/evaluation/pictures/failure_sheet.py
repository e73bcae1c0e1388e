"""A picture of where a row fails."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsjax.evaluation.failures import CLASS, LABELLED, PARTS, SIZE, Case, Group, group_name
from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.shown import named

DOTS = 1500  # cases that are drawn of a panel
MOST = 40  # classes that are drawn

TITLES = {
    SIZE: "by the object's size, % of the query's pixels",
    PARTS: "by the connected parts of the truth",
    LABELLED: "by the classes that the query shows",
}


def failure_sheet(
    path: Path, title: str, cases: Sequence[Case], groups: Mapping[str, Sequence[Group]]
) -> None:
    """Writes a PNG: the IoU by size, parts, labelled classes, and by class.

    Points are pooled IoUs with 95% intervals, faint dots the IoUs of single cases. Of more than `MOST`
    classes only the lowest and the highest are drawn.

    Args:
      path: of the PNG.
      title: what was evaluated.
      cases: of `failures.find_cases`.
      groups: of `failures.group`.
    """
    classes = _ranked(groups[CLASS])
    panels = [by for by in TITLES if by in groups]
    height = max(2.15 * len(panels), 0.24 * len(classes) + 0.6) + 0.5
    figure = Figure(figsize=(10.5, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=figures.INK)
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.25, 1))
    for by, axis in zip(panels, np.ravel(left.subplots(len(panels))), strict=True):
        _upright(axis, groups[by])
        _dots(axis, cases, groups[by], by)
        axis.set_title(TITLES[by], loc="left", fontsize=9, color=figures.INK)
    used = min(0.9, (0.3 * len(classes) + 0.6) / height)  # few classes leave the rest of their side empty
    axis, rest = right.subplots(2, height_ratios=(used, 1 - used))
    rest.set_axis_off()
    _lying(axis, classes)
    more = len(groups[CLASS]) - sum(one is not None for one in classes)
    hidden = f"; {more} between are not drawn" if more else ""
    axis.set_title(f"by class{hidden}", loc="left", fontsize=9, color=figures.INK)
    figures.save(figure, path)


def _upright(axis: Axes, groups: Sequence[Group]) -> None:
    """Draws pooled IoUs over the names of groups."""
    known = [(x, one) for x, one in enumerate(groups) if one.iou is not None]
    _points(lambda x, y, e: axis.errorbar(x, y, yerr=e, zorder=3, **_style()), known)
    for x, one in known:
        label: dict[str, Any] = {"fontsize": 8, "color": figures.INK, "xytext": (6, 2)}
        axis.annotate(f"{one.iou:.0f}", (x, one.iou), textcoords="offset points", zorder=4, **label)
    axis.set_xticks(range(len(groups)), [f"{one.name}\nn = {one.cases:,}" for one in groups])
    axis.set(xlim=(-0.5, len(groups) - 0.4), ylim=(0, 100))
    axis.set_ylabel("IoU, %", fontsize=8, color=figures.INK)
    _plain(axis, "y")


def _dots(axis: Axes, cases: Sequence[Case], groups: Sequence[Group], by: str) -> None:
    """Draws the IoU of single cases, spread over the width of their groups, some of them where many."""
    columns = {one.name: column for column, one in enumerate(groups)}
    places = [(columns.get(group_name(case, by) or ""), case.iou) for case in cases]
    drawn = [(column, iou) for column, iou in places if column is not None and iou is not None]
    rng = np.random.default_rng(0)
    drawn = [drawn[i] for i in rng.permutation(len(drawn))[:DOTS]]
    spread = rng.uniform(-0.3, 0.3, len(drawn))
    x = [column + aside for (column, _), aside in zip(drawn, spread, strict=True)]
    axis.scatter(x, [iou for _, iou in drawn], s=5, color=figures.FAINT, alpha=0.5, linewidths=0, zorder=2)


def _lying(axis: Axes, groups: Sequence[Group | None]) -> None:
    """Draws pooled IoUs beside the names of classes, the highest on top; None is a gap."""
    known = [(y, one) for y, one in enumerate(groups) if one is not None and one.iou is not None]
    axis.barh([y for y, _ in known], [one.iou or 0.0 for _, one in known], color="#cfe3f1", height=0.7)
    _points(lambda y, x, e: axis.errorbar(x, y, xerr=e, zorder=3, **_style()), known)
    names = ["" if one is None else f"{named(one.name)}  ({one.cases:,})" for one in groups]
    axis.set_yticks(range(len(groups)), names)
    axis.set(ylim=(-0.6, len(groups) - 0.4), xlim=(0, 100))
    axis.set_xlabel("IoU, %", fontsize=8, color=figures.INK)
    _plain(axis, "x")


def _ranked(groups: Sequence[Group]) -> list[Group | None]:
    """Returns classes by rising IoU, None in place of those in the middle that are too many."""
    known = sorted((one for one in groups if one.iou is not None), key=lambda one: one.iou or 0.0)
    unknown: list[Group | None] = [one for one in groups if one.iou is None]
    if len(known) <= MOST:
        return [*unknown, *known]
    return [*known[: MOST // 2], None, *known[-(MOST // 2) :]]


def _points(
    draw: Callable[[list[int], list[float], np.ndarray], Any], known: Sequence[tuple[int, Any]]
) -> None:
    places, values = [place for place, _ in known], [one.iou for _, one in known]
    bounds = np.asarray([one.ci95 or (one.iou, one.iou) for _, one in known]).reshape(-1, 2)
    errors = np.abs(bounds.T - np.asarray(values)[None]) if known else np.zeros((2, 0))
    draw(places, values, errors)


def _style() -> dict[str, Any]:
    return {"fmt": "o", "ms": 4.5, "color": figures.ACCENT, "elinewidth": 1.3, "capsize": 2.5}


def _plain(axis: Axes, lines: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x" if lines == "x" else "y", color="#e6e6e6", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, color=figures.FAINT)
