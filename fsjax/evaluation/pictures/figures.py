"""Pictures: a sheet of episodes and the learning curve.

Matplotlib is slow to import and is imported only when one is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsjax.episode import IGNORED
from fsjax.files import replacing

WAY_COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Colours of way 1, 2, ... that colour-blind eyes tell apart (Okabe and Ito); they repeat after six."""

MAP_COLORS = "magma"
INK, FAINT, ACCENT = "#222222", "#9a9a9a", "#0072B2"
CELL = 1.55  # inches
DPI = 160


@dataclass(frozen=True)
class Picture:
    """One episode to be shown: the first support of each way and one query.

    All arrays have their valid sizes; a mask may be of another size than its photo.

    Attributes:
      title: what the row is called, e.g. the names of its classes, a line each.
      supports: for each way the photo, uint8 RGB [H, W, 3], and its mask, [H, W]: 0, 1..N, 255.
      query: photo, uint8 RGB [H, W, 3].
      truth: mask of the query, 0, 1..N, 255.
      foreground: its probability over the query, [h, w], 0 to 1.
      predictions: name of the result (e.g. "fusion 1") to its mask, 0..N.
    """

    title: str
    supports: Sequence[tuple[np.ndarray, np.ndarray]]
    query: np.ndarray
    truth: np.ndarray
    foreground: np.ndarray
    predictions: Mapping[str, np.ndarray]


def episode_sheet(path: Path, pictures: Sequence[Picture]) -> None:
    """Writes a PNG with a row for each episode, all of as many ways and predictions.

    Columns: support of each way with its mask, query, truth, the foreground's probability, predictions, each
    with the IoU that it reaches on this one query (in percent, averaged over the ways that occur).

    Args:
      path: of the PNG.
      pictures: at least one.
    """
    ways = len(pictures[0].supports)
    supports = ["support"] if ways == 1 else [f"support of way {way + 1}" for way in range(ways)]
    columns = [*supports, "query", "truth", "probability", *pictures[0].predictions]
    figure, axes = grid([picture.title for picture in pictures], columns)
    color_bar(figure, axes[-1][ways + 2])
    for picture, row in zip(pictures, axes, strict=True):
        for axis, (photo, mask) in zip(row[:ways], picture.supports, strict=True):
            show_masked(axis, photo, mask)
        query, truth, foreground, *predictions = row[ways:]
        query.imshow(picture.query)
        show_masked(truth, picture.query, picture.truth)
        _show_foreground(foreground, picture)
        for axis, mask in zip(predictions, picture.predictions.values(), strict=True):
            show_masked(axis, picture.query, mask)
            axis.set_xlabel(f"IoU {_iou(mask, picture.truth):.0f}", fontsize=7, color=INK, labelpad=2)
    save(figure, path)


def learning_curve(path: Path, records: Sequence[dict]) -> None:
    """Writes a PNG of the loss and of the learning rate.

    Args:
      path: of the PNG.
      records: lines of metrics.jsonl, each with "step", "loss" and "learning_rate"; at least one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots(2, sharex=True, height_ratios=[3, 1])
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


def grid(rows: Sequence[str], columns: Sequence[str], cell: float = CELL) -> tuple:
    """Lays out a sheet.

    Args:
      rows: their names, at the left; a name may have several lines.
      columns: their names, at the top.
      cell: side of the square cells in inches.

    Returns:
      The figure and its axes [rows, columns], without ticks and frames; half an inch is free below them.
    """
    from matplotlib.figure import Figure

    left = 0.16 + 0.13 * max(name.count("\n") + 1 for name in rows)
    top, bottom, right, gap = 0.28, 0.5, 0.06, 0.2  # inches
    width = left + cell * len(columns) + right
    height = top + (cell + gap) * len(rows) - gap + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    sides = (left / width, bottom / height, 1 - right / width, 1 - top / height)
    figure.subplots_adjust(*sides, wspace=0.05, hspace=gap / cell)
    font = {"color": INK, "ha": "center", "va": "center"}
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


def _show_foreground(axis, picture: Picture) -> None:
    height, width = picture.query.shape[:2]
    axis.imshow(picture.foreground, extent=(0, width, height, 0), cmap=MAP_COLORS, vmin=0, vmax=1)


def show_masked(axis, photo: np.ndarray, mask: np.ndarray) -> None:
    """Shows a photo, pale where no way is, with each way tinted and outlined and void hatched.

    Args:
      axis: of matplotlib.
      photo: uint8 RGB [H, W, 3].
      mask: 0, 1..N, 255, of any size.
    """
    from matplotlib.colors import to_rgb

    height, width = photo.shape[:2]
    extent = (0, width, height, 0)
    grey = photo.mean(axis=-1, keepdims=True)
    axis.imshow((0.55 * (0.7 * grey + 0.3 * photo) + 0.45 * 255).astype(np.uint8))
    axis.imshow(np.dstack([photo, 255 * _at_size(_is_way(mask), height, width)]))
    rows, columns = np.indices(mask.shape)
    stripes = np.where((rows + columns) // 3 % 2, 0.25, 0.75)[..., None].repeat(3, axis=-1)
    axis.imshow(np.dstack([stripes, 0.9 * (mask == IGNORED)]), extent=extent, interpolation="nearest")
    for way in np.unique(mask[_is_way(mask)]):
        color = WAY_COLORS[(int(way) - 1) % len(WAY_COLORS)]
        tint = np.broadcast_to(to_rgb(color), (*mask.shape, 3))
        axis.imshow(np.dstack([tint, 0.3 * (mask == way)]), extent=extent, interpolation="nearest")
    outline(axis, mask, height, width)
    axis.set(xlim=(0, width), ylim=(height, 0))


def outline(axis, mask: np.ndarray, height: int, width: int) -> None:
    """Outlines each way of a mask, on a photo of this size in pixels."""
    from matplotlib.patheffects import Normal, withStroke

    y, x = (
        (np.arange(length + 2) - 0.5) * side / length
        for length, side in zip(mask.shape, (height, width), strict=True)
    )
    for way in np.unique(mask[_is_way(mask)]):
        color = WAY_COLORS[(int(way) - 1) % len(WAY_COLORS)]
        line = axis.contour(x, y, np.pad(mask == way, 1).astype(float), [0.5], colors=color, linewidths=1.3)
        line.set_path_effects([withStroke(linewidth=2.6, foreground="white"), Normal()])


def _is_way(mask: np.ndarray) -> np.ndarray:
    return (mask > 0) & (mask < IGNORED)


def _at_size(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the mask's nearest pixels at another size, uint8."""
    rows = (np.arange(height) + 0.5) * mask.shape[0] / height
    columns = (np.arange(width) + 0.5) * mask.shape[1] / width
    return mask[rows.astype(int)[:, None], columns.astype(int)[None]].astype(np.uint8)


def _iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean IoU in percent over the ways of the truth or the prediction; void is left out."""
    prediction = np.where(truth == IGNORED, 0, prediction)
    ious = []
    for way in np.unique(np.concatenate([truth[_is_way(truth)], prediction[_is_way(prediction)]])):
        hit, either = (truth == way) & (prediction == way), (truth == way) | (prediction == way)
        ious.append(hit.sum() / either.sum())
    return 100 * float(np.mean(ious)) if ious else 100.0


def color_bar(figure, axis, low: float = 0.0, high: float = 1.0) -> None:
    """Puts a slim colour bar under a cell, for values from `low` to `high`."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    cell = axis.get_position()
    inch = 1 / figure.get_size_inches()[1]
    inset = 0.06 * cell.width
    place = [cell.x0 + inset, cell.y0 - 0.22 * inch, cell.width - 2 * inset, 0.07 * inch]
    colors = ScalarMappable(Normalize(low, high), MAP_COLORS)
    bar = figure.colorbar(colors, cax=figure.add_axes(place), orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6.5, length=2, pad=1.5, color=FAINT)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Returns the running mean over a twenty-fifth of the values, fewer at the ends."""
    window = np.ones(2 * (len(values) // 50) + 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def save(figure, path: Path) -> None:
    """Writes a figure as a PNG."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
