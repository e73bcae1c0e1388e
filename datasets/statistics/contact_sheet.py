"""The contact sheet: photos of a data set with all their objects, each class in a colour."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from datasets.statistics.counting import Counted, classes_of
from datasets.statistics.tables import shortened
from fsjax.data.source import Source
from fsjax.evaluation.pictures import figures

COLUMNS, ROWS = 6, 4
SIDE = 2.1
"""Of a photo's place, in inches."""

COLORS = (
    *figures.WAY_COLORS, "#F0E442", "#8C564B", "#7B4FB5", "#E31A1C", "#00CED1", "#66A61E", "#8A8A8A",
    "#FF8FB1",
)  # fmt: skip
"""Of the classes; classes that are in one photo of the sheet differ, as long as there are enough."""

_PIXELS = 480
_LISTED = 6
_ID, _LEGEND = 0.16, 0.55  # inches above and below a photo


def contact_sheet(path: Path, source: Source, counted: Counted) -> None:
    """Writes a PNG of up to 24 photos, chosen so that as many classes as possible are seen.

    Args:
        path: of the PNG.
        source: a list of the data set with at least one object.
        counted: the same list.
    """
    # Photos of one shape stand side by side, which leaves the fewest gaps.
    heights, widths = counted.sizes.T
    positions = sorted(chosen(counted, COLUMNS * ROWS), key=lambda p: heights[p] / widths[p])
    areas = {position: source.areas(position) for position in positions}
    shown = {p: sorted(classes_of(source, p), key=lambda c: -areas[p][c - 1]) for p in positions}
    colors = coloring(list(shown.values()))
    title = (
        f"{source.name}, list {source.split}: {len(positions)} of {len(source.ids):,} photos, "
        f"{len(colors):,} of {counted.C:,} classes"
    )
    figure, axes = _laid_out([min(1, heights[p] / widths[p]) for p in positions], title)
    for axis, position in zip(axes, positions, strict=True):
        _show(axis, source, position, shown[position], colors)
    figures.save(figure, path)


def chosen(counted: Counted, most: int) -> list[int]:
    """Returns the positions of photos, each the one that shows the most of what was seen least before it.

    A class counts the less the oftener it is on the photos before, so that rare classes are not left out;
    of equal photos the one with the larger objects is taken, and objects under 1% of a photo hardly count.
    """
    weights = np.sqrt(np.minimum(counted.shares, 0.25))
    seen, taken = np.zeros(counted.C), []
    free = np.ones(len(counted.ids), bool)
    for _ in range(min(most, len(np.unique(counted.photos)))):
        worth = np.bincount(
            counted.photos, weights / (1 + 8 * seen[counted.classes - 1]) ** 2, minlength=len(free)
        )
        best = int(np.where(free, worth, -1).argmax())
        taken.append(best)
        free[best] = False
        seen[counted.classes[counted.photos == best] - 1] += 1
    return taken


def coloring(photos: Sequence[Sequence[int]]) -> dict[int, str]:
    """Returns a colour for each class id, another one than those of the classes in the same photos.

    Args:
        photos: the class ids of each photo.
    """
    neighbours: dict[int, set[int]] = {}
    for classes in photos:
        for c in classes:
            neighbours.setdefault(c, set()).update(classes)
    used = dict.fromkeys(COLORS, 0)
    colors: dict[int, str] = {}
    for c in sorted(neighbours, key=lambda c: (-len(neighbours[c]), c)):
        taken = {colors[other] for other in neighbours[c] if other in colors}
        color = min(COLORS, key=lambda color: (color in taken, used[color]))
        colors[c] = color
        used[color] += 1
    return colors


def _laid_out(heights: Sequence[float], title: str) -> tuple[Figure, list[Axes]]:
    """Returns a figure with a place for each photo and its legend.

    Args:
        heights: of the photos, in units of `SIDE`.
        title: over all.
    """
    margin, top = 0.12, 0.36
    rows = [heights[start : start + COLUMNS] for start in range(0, len(heights), COLUMNS)]
    width = max(len(rows[0]), 3) * (SIDE + margin) + margin
    height = top + sum(max(row) * SIDE + _ID + _LEGEND for row in rows) + margin
    figure = Figure(figsize=(width, height))
    font = {"fontsize": 10, "fontweight": "bold", "color": figures.INK, "va": "center"}
    figure.text(margin / width, 1 - 0.5 * top / height, title, **font)
    axes, bottom = [], height - top
    for row in rows:
        tall = max(row) * SIDE
        bottom -= _ID + tall
        for column in range(len(row)):
            left = margin + column * (SIDE + margin)
            axis = figure.add_axes((left / width, bottom / height, SIDE / width, tall / height))
            axis.set(xticks=[], yticks=[], anchor="S")
            axis.spines[:].set_visible(False)
            axes.append(axis)
        bottom -= _LEGEND
    return figure, axes


def _show(
    axis: Axes, source: Source, position: int, classes: Sequence[int], colors: Mapping[int, str]
) -> None:
    photo, mask = _small(source.image(position), source.mask(position, classes, None))
    own = [colors[c] for c in classes]
    figures.show_masked(axis, photo, mask, own)
    handles = [
        Line2D(
            [], [], ls="none", marker="s", ms=5, color=color, label=shortened(source.class_names[c - 1], 19)
        )
        for c, color in list(zip(classes, own, strict=True))[:_LISTED]
    ]
    if len(classes) > _LISTED:
        handles[-1:] = [Line2D([], [], ls="none", label=f"and {len(classes) - _LISTED + 1} more")]
    axis.set_title(shortened(source.ids[position], 34), fontsize=6, color=figures.FAINT, pad=2, loc="left")
    axis.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=2, fontsize=7, frameon=False,
        labelcolor=figures.INK, handletextpad=0.1, columnspacing=0.6, borderaxespad=0.1, borderpad=0.1,
        handlelength=1.2, labelspacing=0.25,
    )  # fmt: skip


def _small(
    photo: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"]
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Returns a photo and its mask at the size at which they are drawn."""
    scale = _PIXELS / max(mask.shape)
    if scale >= 1:
        return photo, mask
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(small), np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
