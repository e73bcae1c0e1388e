"""The figure of a data set's counts: sizes of objects, and photos of each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from datasets.statistics.counting import Counted
from datasets.statistics.overview_text import ranked
from datasets.statistics.tables import shortened
from fsjax.evaluation.pictures import figures

NAMED = 100
"""Classes whose names have room."""


def size_figure(path: Path, counted: Sequence[Counted], class_names: Sequence[str], title: str) -> None:
    """Writes a PNG with the distribution of object sizes, and the photos of each class.

    Args:
        path: of the PNG.
        counted: lists, the first of which decides the order of the classes.
        class_names: of the data set.
        title: over both.
    """
    named = len(class_names) <= NAMED
    width = min(max(7.5, 1.6 + 0.16 * len(class_names)), 17) if named else 9
    figure = Figure(figsize=(width, 6.6), layout="constrained")
    above, below = figure.subplots(2, height_ratios=[1, 1.25])
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=figures.INK)
    _sizes(above, counted)
    order = ranked(counted)
    for number, one in enumerate(counted):
        _classes(below, one, order, number, len(counted), named)
    below.set_ylabel("photos of the class")
    if named:
        names = [shortened(class_names[c], 20) for c in order]
        below.set_xticks(range(len(order)), names, rotation=90, fontsize=7)
        below.set_xlim(-0.6, len(order) - 0.4)
    else:
        below.set_xlabel(f"classes, the most frequent of {counted[0].name} first")
    if max(int(one.per_class.max(initial=0)) for one in counted) >= 200:
        below.set_yscale("symlog", linthresh=10)
        below.set_ylim(bottom=0)
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(color=figures.FAINT)
        if any(len(one.classes) for one in counted):
            axis.legend(frameon=False, fontsize=8, labelcolor=figures.INK)
    figures.save(figure, path)


def _color(number: int) -> str:
    return figures.WAY_COLORS[(number + 1) % len(figures.WAY_COLORS)]


def _sizes(axis: Axes, counted: Sequence[Counted]) -> None:
    """Draws which share of the objects has which size, on a logarithmic scale."""
    edges = np.logspace(-5, 0, 41)
    for number, one in enumerate(counted):
        shares = np.clip(one.shares, edges[0], None)
        label = f"{one.name}: {len(shares):,} objects"
        if len(shares):
            weights = np.full(len(shares), 100 / len(shares))
            axis.hist(
                shares, edges, weights=weights, histtype="step", color=_color(number), lw=1.6, label=label
            )
            axis.axvline(np.median(shares), color=_color(number), lw=1, ls=(0, (3, 2)))
    axis.set_xscale("log")
    axis.set_xlim(edges[0], 1)
    axis.set_xticks(10.0 ** np.arange(-5, 1), ["0.001%", "0.01%", "0.1%", "1%", "10%", "100%"])
    axis.set_xlabel("an object's share of its photo (dashed: the median)")
    axis.set_ylabel("objects (percent)")


def _classes(axis: Axes, one: Counted, order: Sequence[int], number: int, lists: int, named: bool) -> None:
    pairs, color = one.per_class[order], _color(number)
    label = f"{one.name}: {len(one.ids):,} photos"
    if not named:
        axis.plot(pairs, color=color, lw=1.4, label=label)
        return
    width = 0.8 / lists
    places = np.arange(len(pairs)) + (number - (lists - 1) / 2) * width
    axis.bar(places, pairs, width, color=color, label=label)
