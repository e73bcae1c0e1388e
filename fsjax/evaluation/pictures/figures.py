"""What all pictures are drawn with, and the learning curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, withStroke

from fsjax.episode import IGNORED
from fsjax.files import replacing
from fsjax.segmenter.overlay import WAY_COLORS

MAP_COLORS = "magma"
INK, FAINT, ACCENT, SCORE = "#222222", "#9a9a9a", "#0072B2", "#D55E00"
CELL = 1.55  # inches
DPI = 160


def learning_curve(path: Path, records: Sequence[Mapping[str, Any]], select: str = "") -> None:
    """Writes a PNG of the loss, of the scores by which a checkpoint is selected, and of the learning rate.

    Args:
      path: of the PNG.
      records: lines of metrics.jsonl, each with "step", "loss" and "learning_rate", some with "selection"; at
        least one.
      select: what the scores are called, `train.select`.
    """
    measured = [(record["step"], record["selection"]) for record in records if "selection" in record]
    heights = [3, 1.6, 1] if measured else [3, 1]
    figure = Figure(figsize=(7, 6.0 if measured else 4.4), layout="constrained")
    axes = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    if measured:
        _draw_selection(axes[1], measured, select)
    steps = [record["step"] for record in records]
    losses = np.asarray([record["loss"] for record in records])
    axes[0].plot(steps, losses, color=ACCENT, alpha=0.3, linewidth=0.8, label="each record")
    axes[0].plot(steps, _smoothed(losses), color=ACCENT, linewidth=1.8, label="running mean")
    axes[0].set_ylabel("loss")
    axes[0].set_title("Training", loc="left", fontsize=11, fontweight="bold", color=INK)
    axes[0].legend(frameon=False, fontsize=8)
    axes[-1].plot(steps, [record["learning_rate"] for record in records], color=INK, linewidth=1.3)
    axes[-1].set_ylabel("learning rate")
    axes[-1].set_ylim(bottom=0)
    axes[-1].set_xlabel("step")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8, color=FAINT)
    figure.align_ylabels(axes)
    save(figure, path)


def _draw_selection(axis: Axes, measured: Sequence[tuple[int, float]], select: str) -> None:
    """Draws the scores, with a ring around the highest, of equal ones the first."""
    steps, scores = zip(*measured, strict=True)
    best = int(np.argmax(scores))
    axis.plot(steps, scores, color=SCORE, marker="o", markersize=3.5, linewidth=1.3)
    axis.scatter(
        steps[best], scores[best], s=80, facecolors="none", edgecolors=INK,
        label=f"selected: {scores[best]:.1f} at step {steps[best]:,}",
    )  # fmt: skip
    axis.set_ylabel(f"mean-IoU\n{select}")
    axis.margins(y=0.2)
    axis.legend(frameon=False, fontsize=8, loc="lower right")


def grid(
    rows: Sequence[str], columns: Sequence[str], cell: float = CELL, gap: float = 0.2, top: float = 0.28
) -> tuple[Figure, np.ndarray]:
    """Lays out a sheet.

    Args:
      rows: their names, at the left; a name may have several lines.
      columns: their names, at the top.
      cell: side of the square cells in inches.
      gap: between two rows, in inches.
      top: above them, in inches.

    Returns:
      The figure and its axes [rows, columns], without ticks and frames; half an inch is free below them.
    """
    left = 0.16 + 0.13 * max(name.count("\n") + 1 for name in rows)
    bottom, right = 0.5, 0.06  # inches
    width = left + cell * len(columns) + right
    height = top + (cell + gap) * len(rows) - gap + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    sides = (left / width, bottom / height, 1 - right / width, 1 - top / height)
    figure.subplots_adjust(*sides, wspace=0.05, hspace=gap / cell)
    font: dict[str, Any] = {"color": INK, "ha": "center", "va": "center"}
    for axis, name in zip(axes[0], columns, strict=True):
        place = axis.get_position()
        figure.text((place.x0 + place.x1) / 2, 1 - 0.5 * top / height, name, fontsize=8, **font)
    for axis, name in zip(axes[:, 0], rows, strict=True):
        place = axis.get_position()
        middle = (0.5 * left / width, (place.y0 + place.y1) / 2)
        figure.text(*middle, name, fontsize=8, fontweight="bold", rotation=90, **font)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def show_masked(
    axis: Axes,
    photo: UInt8[np.ndarray, "H W 3"],
    mask: Integer[np.ndarray, "h w"],
    colors: Sequence[str] = WAY_COLORS,
) -> None:
    """Shows a photo, pale where no way is, with each way tinted and outlined and void hatched.

    Args:
      axis: of matplotlib.
      photo: uint8 RGB [H, W, 3].
      mask: 0, 1..N, 255, of any size.
      colors: of way 1, 2, ...; they repeat.
    """
    height, width = photo.shape[:2]
    extent = (0, width, height, 0)
    grey = photo.mean(axis=-1, keepdims=True)
    axis.imshow((0.55 * (0.7 * grey + 0.3 * photo) + 0.45 * 255).astype(np.uint8))
    axis.imshow(np.dstack([photo, 255 * _at_size(is_way(mask), height, width)]))
    rows, columns = np.indices(mask.shape)
    stripes = np.where((rows + columns) // 3 % 2, 0.25, 0.75)[..., None].repeat(3, axis=-1)
    axis.imshow(np.dstack([stripes, 0.9 * (mask == IGNORED)]), extent=extent, interpolation="nearest")
    for way in np.unique(mask[is_way(mask)]):
        color = colors[(int(way) - 1) % len(colors)]
        tint = np.broadcast_to(to_rgb(color), (*mask.shape, 3))
        axis.imshow(np.dstack([tint, 0.3 * (mask == way)]), extent=extent, interpolation="nearest")
    outline(axis, mask, height, width, colors)
    axis.set(xlim=(0, width), ylim=(height, 0))


def outline(
    axis: Axes,
    mask: Integer[np.ndarray, "h w"],
    height: int,
    width: int,
    colors: Sequence[str] = WAY_COLORS,
) -> None:
    """Outlines each way of a mask, on a photo of this size in pixels."""
    y, x = (
        (np.arange(length + 2) - 0.5) * side / length
        for length, side in zip(mask.shape, (height, width), strict=True)
    )
    for way in np.unique(mask[is_way(mask)]):
        color = colors[(int(way) - 1) % len(colors)]
        line = axis.contour(x, y, np.pad(mask == way, 1).astype(float), [0.5], colors=color, linewidths=1.3)
        line.set_path_effects([withStroke(linewidth=2.6, foreground="white"), Normal()])


def is_way(mask: Integer[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns where a mask shows a way."""
    return (mask > 0) & (mask < IGNORED)


def _at_size(mask: Bool[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "H W"]:
    """Returns the mask's nearest pixels at another size, uint8."""
    rows = (np.arange(height) + 0.5) * mask.shape[0] / height
    columns = (np.arange(width) + 0.5) * mask.shape[1] / width
    return mask[rows.astype(int)[:, None], columns.astype(int)[None]].astype(np.uint8)


def color_bar(figure: Figure, axis: Axes, low: float = 0.0, high: float = 1.0) -> None:
    """Puts a slim colour bar under a cell, for values from `low` to `high`."""
    cell = axis.get_position()
    inch = 1 / figure.get_size_inches()[1]
    inset = 0.06 * cell.width
    place = (cell.x0 + inset, cell.y0 - 0.22 * inch, cell.width - 2 * inset, 0.07 * inch)
    colors = ScalarMappable(Normalize(low, high), MAP_COLORS)
    bar = figure.colorbar(colors, cax=figure.add_axes(place), orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6.5, length=2, pad=1.5, color=FAINT)


def _smoothed(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns the running mean over a twenty-fifth of the values, fewer at the ends."""
    window = np.ones(2 * (len(values) // 50) + 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
