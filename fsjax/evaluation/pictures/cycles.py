"""Pictures of the cycle comparison (DPNet 4.2, Figure 3), a row for each episode."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch
from matplotlib.patheffects import Normal, withStroke

from fsjax.evaluation.pictures import figures

COLUMNS = ("support", "query", "similarity map", "confidence map", "selected cells")
KEPT, REJECTED, SELECTED = "#0072B2", "#D55E00", "#56B4E9"
LINES = 24  # cycles shown in a row
SIDE = 2.4  # of a photo's place, inches


@dataclass(frozen=True)
class CyclePicture:
    """One support, one query, and what the cycle comparison made of them.

    Cells are those of the valid part of a feature map. A flat index counts a map's cells in C order.

    Attributes:
      title: what the row is called, e.g. the name of its class.
      support: photo, RGB.
      support_mask: 0, 1, 255, of any size.
      query: photo, RGB.
      truth: mask of the query, 0, 1, 255, of any size; None where nobody knows it.
      forward: for each support cell the most similar query cell, a flat index (Eq. 1); only foreground cells
        are looked at.
      backward: for each query cell the most similar support cell, a flat index (Eq. 2).
      foreground: whether a support cell is of the class.
      similarity: of each query cell, the largest cosine with a foreground support cell; not finite, and left
        blank, where there is none.
      confidence: of each query cell, the discriminator's output in [0, 1].
      selected: whether a query cell is in the pseudo-prototype.
      aligned: whether the outermost cells lie on the photo's outermost pixels (align_corners); otherwise the
        cells are equal parts of it (half-pixel centres).
    """

    title: str
    support: UInt8[np.ndarray, "H W 3"]
    support_mask: Integer[np.ndarray, "hm wm"]
    query: UInt8[np.ndarray, "h w 3"]
    truth: Integer[np.ndarray, "ht wt"] | None
    forward: Int[np.ndarray, " cells"]
    backward: Int[np.ndarray, "hq wq"]
    foreground: Bool[np.ndarray, "hs ws"]
    similarity: Float[np.ndarray, "hq wq"]
    confidence: Float[np.ndarray, "hq wq"]
    selected: Bool[np.ndarray, "hq wq"]
    aligned: bool


class Cycles(NamedTuple):
    """Cycles i -> j* -> i* as flat indices of cells (Eq. 1 and 2)."""

    start: Int[np.ndarray, " cycles"]  # support cell i, foreground: S1 in Figure 3
    middle: Int[np.ndarray, " cycles"]  # query cell j*: Q1
    end: Int[np.ndarray, " cycles"]  # support cell i*: S2
    kept: Bool[np.ndarray, " cycles"]  # whether i* is foreground, too


def cycle_sheet(path: Path, pictures: Sequence[CyclePicture]) -> None:
    """Writes a PNG with a row for each episode.

    Columns: support with its mask and query, joined by some of the cycles; similarity and confidence maps
    over the query; the cells of the pseudo-prototype on the query, with the outline of a known truth. The
    colors of the similarity map span the cosines of all rows.

    Args:
      path: of the PNG.
      pictures: at least one.
    """
    figure, axes = figures.grid([picture.title for picture in pictures], COLUMNS, SIDE)
    low, high = _span(pictures)
    figures.color_bar(figure, axes[-1][2], low, high)
    figures.color_bar(figure, axes[-1][3])
    for picture, (support, query, similarity, confidence, selected) in zip(pictures, axes, strict=True):
        figures.show_masked(support, picture.support, picture.support_mask)
        query.imshow(picture.query)
        found = cycles(picture)
        shown = sample(found, picture.foreground.shape)
        _join(support, query, picture, shown)
        label = {"fontsize": 8, "color": figures.INK, "labelpad": 3}
        support.set_xlabel(f"kept {found.kept.sum()} of {len(found.kept)}; {len(shown.kept)} drawn", **label)
        _show_map(similarity, picture, picture.similarity, low, high)
        _show_map(confidence, picture, picture.confidence, 0.0, 1.0)
        _show_selected(selected, picture)
        selected.set_xlabel(f"{picture.selected.sum()} of {picture.selected.size} cells", **label)
    _legend(figure, axes[-1][1])
    figures.save(figure, path)


def _span(pictures: Sequence[CyclePicture]) -> tuple[float, float]:
    """Returns the smallest and the largest finite cosine; 0 and 1 if all are equal or none is finite."""
    cosines = np.concatenate([picture.similarity.ravel() for picture in pictures])
    cosines = cosines[np.isfinite(cosines)]
    if len(np.unique(cosines)) < 2:
        return 0.0, 1.0
    return float(cosines.min()), float(cosines.max())


def cycles(picture: CyclePicture) -> Cycles:
    """Returns the cycles that start in the foreground, in the order of their cells (Eq. 1 and 2)."""
    start = np.flatnonzero(picture.foreground)
    middle = picture.forward[start]
    end = picture.backward.ravel()[middle]
    return Cycles(start, middle, end, picture.foreground.ravel()[end])


def sample(found: Cycles, shape: tuple[int, int], most: int = LINES) -> Cycles:
    """Returns cycles whose starts are spread evenly, kept and rejected ones in their true proportion.

    Args:
      found: cycles.
      shape: height and width of the support's map, in cells.
      most: how many may be returned, at least two; if there are both kinds, each has at least one.
    """
    total, kept = len(found.kept), int(found.kept.sum())
    if total <= most:
        return found
    share = round(most * kept / total)
    if 0 < kept < total:
        share = min(max(share, 1), most - 1)
    places = np.stack(np.unravel_index(found.start, shape), axis=-1)
    of_kinds = [
        kind[_spread(places[kind], count)]
        for kind, count in ((np.flatnonzero(found.kept), share), (np.flatnonzero(~found.kept), most - share))
    ]
    chosen = np.sort(np.concatenate(of_kinds))
    return Cycles(*(values[chosen] for values in found))


def centers(
    cells: Int[np.ndarray, " cells"], shape: tuple[int, int], photo: tuple[int, int], *, aligned: bool
) -> tuple[Float[np.ndarray, " cells"], Float[np.ndarray, " cells"]]:
    """Returns x and y of cells in pixels of their photo, the centre of its first pixel being 0.

    Args:
      cells: flat indices.
      shape: height and width of the map, in cells.
      photo: height and width of the photo, in pixels.
      aligned: see `CyclePicture`.
    """
    rows, columns = np.unravel_index(cells, shape)
    (top, down), (left, across) = (
        _first_and_pitch(count, side, aligned) for count, side in zip(shape, photo, strict=True)
    )
    return left + columns * across, top + rows * down


def _first_and_pitch(count: int, side: int, aligned: bool) -> tuple[float, float]:
    """Returns where the first of some cells along a side is, and the distance of neighbours, in pixels."""
    if aligned:
        return 0.0, (side - 1) / max(count - 1, 1)
    return (side / count - 1) / 2, side / count


def _spread(places: Int[np.ndarray, "n 2"], count: int) -> Int[np.ndarray, " chosen"]:
    """Returns which `count` places [n, 2] to take: each as far as can be from those before it."""
    chosen, distances = [], np.full(len(places), np.inf)
    for _ in range(count):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.hypot(*(places - places[chosen[-1]]).T))
    return np.asarray(chosen, int)


def _join(support: Axes, query: Axes, picture: CyclePicture, shown: Cycles) -> None:
    """Draws cycles over the photos of a support and of its query, rejected ones beneath."""
    support_shape, query_shape = picture.foreground.shape, picture.backward.shape
    on_support = partial(
        centers, shape=support_shape, photo=picture.support.shape[:2], aligned=picture.aligned
    )
    start, end = np.transpose(on_support(shown.start)), np.transpose(on_support(shown.end))
    middle = np.transpose(
        centers(shown.middle, query_shape, picture.query.shape[:2], aligned=picture.aligned)
    )
    # The query's axes are drawn after the support's: what belongs to them lies on both photos.
    for kept in (False, True):
        chosen = np.flatnonzero(shown.kept == kept)
        for i in chosen:
            for place in (start[i], end[i]):
                ends = (place, middle[i], support.transData, query.transData)
                query.add_artist(ConnectionPatch(*ends, clip_on=False, **_line(kept)))
        over: dict[str, Any] = {"clip_on": False, "zorder": 3}
        query.plot(*end[chosen].T, transform=support.transData, **over, **_ring(kept))
        query.plot(*start[chosen].T, transform=support.transData, **over, **_dot(kept))
        query.plot(*middle[chosen].T, **over, **_dot(kept))


def _line(kept: bool) -> dict[str, Any]:
    color, style = (KEPT, "solid") if kept else (REJECTED, (0, (3, 2)))
    halo = [withStroke(linewidth=1.9, foreground="white", alpha=0.7), Normal()]
    return {"color": color, "linestyle": style, "linewidth": 0.9, "path_effects": halo}


def _dot(kept: bool) -> dict[str, Any]:
    color = KEPT if kept else REJECTED
    return {"ls": "none", "marker": "o", "ms": 3.2, "mfc": color, "mec": "white", "mew": 0.5}


def _ring(kept: bool) -> dict[str, Any]:
    color = KEPT if kept else REJECTED
    return {"ls": "none", "marker": "o", "ms": 5.5, "mfc": "none", "mec": color, "mew": 1}


def _show_map(
    axis: Axes, picture: CyclePicture, values: Float[np.ndarray, "hq wq"], low: float, high: float
) -> None:
    axis.imshow(values, extent=_extent(picture), cmap=figures.MAP_COLORS, vmin=low, vmax=high)
    _frame(axis, picture)


def _show_selected(axis: Axes, picture: CyclePicture) -> None:
    axis.imshow(picture.query)
    tint = np.broadcast_to(to_rgb(SELECTED), (*picture.selected.shape, 3))
    squares = np.dstack([tint, 0.7 * picture.selected])
    axis.imshow(squares, extent=_extent(picture), interpolation="nearest")
    if picture.truth is not None:
        figures.outline(axis, picture.truth, *picture.query.shape[:2])
    _frame(axis, picture)


def _extent(picture: CyclePicture) -> tuple[float, float, float, float]:
    """Returns left, right, bottom and top of the query's map; half of aligned outermost cells juts out."""

    def edges(count: int, side: int) -> tuple[float, float]:
        first, pitch = _first_and_pitch(count, side, picture.aligned)
        return first - pitch / 2, first + (count - 0.5) * pitch

    (rows, columns), (height, width) = picture.backward.shape, picture.query.shape[:2]
    top, bottom = edges(rows, height)
    return *edges(columns, width), bottom, top


def _frame(axis: Axes, picture: CyclePicture) -> None:
    """Cuts off what juts out of the query's photo."""
    height, width = picture.query.shape[:2]
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _legend(figure: Figure, axis: Axes) -> None:
    """Puts the legend of the lines under the query of the last row."""
    handles = [
        Line2D([], [], label="kept", **_line(True)),
        Line2D([], [], label="rejected", **_line(False)),
        Line2D([], [], label="S1 and its match Q1", **_dot(True)),
        Line2D([], [], label="S2, the match of Q1", **_ring(True)),
    ]
    place = axis.get_position()
    font = {"fontsize": 8, "labelcolor": figures.INK}
    spacing = {"ncols": 2, "handlelength": 1.8, "columnspacing": 1.2, "frameon": False}
    corner = (place.x1, place.y0)
    figure.legend(handles=handles, loc="upper right", bbox_to_anchor=corner, **font, **spacing)
