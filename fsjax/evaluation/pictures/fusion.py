"""Pictures of prototype fusion: what it comes to (PRNet Figure 4), and how (Figure 1)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.shown import Shown, show_answers, show_prediction, support_columns
from fsjax.models.prnet.explanation import FusionExplanation
from fsjax.segmenter.overlay import ink

SIDE = 2.1  # of a photo's place, inches
BACKGROUND = "#333333"  # its selected cells
MOST_ROWS = 100

MAPS = {"m_q1": r"$M_{q1}$", "m_q2": r"$M_{q2}$", "m_q3": r"$M_{q3}$ (Eq. 10)", "final": "final map"}
SELECTED = {"selected_1": "first selection (Eq. 8)", "selected_2": "second selection (Eq. 11)"}
STAGES = ("m_q1", "selected_1", "m_q2", "m_q3", "selected_2", "final")


def fusion_sheet(path: Path, shown: Sequence[Shown], names: Sequence[str]) -> None:
    """Writes a PNG in the layout of PRNet's Figure 4, a row for each query.

    Columns: support of each way with its mask, the query with its truth where any is known, and each output's
    mask.

    Args:
      path: of the PNG.
      shown: at least one, all of as many ways.
      names: of the outputs, "fusion0" and so on.
    """
    known = any(one.truth is not None for one in shown)
    columns = [*support_columns(len(shown[0].supports)), *["query, truth"] * known, *map(_spaced, names)]
    figure, axes = figures.grid([one.title for one in shown], columns, SIDE)
    for one, row in zip(shown, axes, strict=True):
        show_answers(one, row, names, known)
    figures.save(figure, path)


def stage_sheet(path: Path, shown: Sequence[Shown], final: str) -> None:
    """Writes a PNG of what PRNet's Figure 1 draws of fusion, a row for each way of each query.

    Columns: support, query with the outline of a known truth, the similarity maps of the way, the cells that
    either stage selects, of the way, of other ways and of the background, and the final mask. The colours of
    all maps span the cosines of the sheet. There are at most `MOST_ROWS` rows.

    Args:
      path: of the PNG.
      shown: queries with an explanation, at least one.
      final: the output whose mask is drawn.
    """
    rows = [(one, way) for one in shown for way in range(1, len(one.supports) + 1)][:MOST_ROWS]
    columns = ["support", "query", *((MAPS | SELECTED)[name] for name in STAGES), "final mask"]
    figure, axes = figures.grid([one.title_of(way) for one, way in rows], columns, SIDE)
    low, high = _span(rows)
    for place, name in enumerate(STAGES, 2):
        if name in MAPS:
            figures.color_bar(figure, axes[-1][place], low, high)
    for (one, way), row in zip(rows, axes, strict=True):
        figures.show_masked(row[0], *one.supports[way - 1])
        row[1].imshow(one.query)
        if one.truth is not None:
            figures.outline(row[1], np.where(one.truth == way, way, 0), *one.query.shape[:2])
        for axis, name in zip(row[2:], STAGES, strict=False):
            if name in MAPS:
                values = _valid(one, name)[..., way]
                axis.imshow(values, extent=_extent(one), cmap=figures.MAP_COLORS, vmin=low, vmax=high)
            else:
                _show_selected(axis, one, way, _valid(one, name))
        show_prediction(row[-1], one, final)
    _legend(figure, axes[-1][STAGES.index("selected_1") + 2], len(shown[0].supports))
    figures.save(figure, path)


def _spaced(output: str) -> str:
    """Returns fusion0 as the paper writes it."""
    return f"fusion {output[-1]}" if output.startswith("fusion") else output


def _valid(one: Shown, name: str) -> np.ndarray:
    """Returns a map [h, w, N + 1] without its padding."""
    assert isinstance(one.explanation, FusionExplanation), "only such queries are drawn"
    height, width = np.asarray(one.explanation.query_cells)
    return np.asarray(getattr(one.explanation, name))[:height, :width]


def _span(rows: Sequence[tuple[Shown, int]]) -> tuple[float, float]:
    """Returns the smallest and the largest cosine that is drawn."""
    drawn = [_valid(one, name)[..., way] for one, way in rows for name in MAPS]
    return float(min(map(np.min, drawn))), float(max(map(np.max, drawn)))


def _extent(one: Shown) -> tuple[float, float, float, float]:
    height, width = one.query.shape[:2]
    return 0.0, float(width), float(height), 0.0


def _show_selected(axis: Axes, one: Shown, way: int, selected: Bool[np.ndarray, "h w classes"]) -> None:
    """Tints the selected cells of every class on the pale query, and counts those of a way."""
    height, width = one.query.shape[:2]
    grey = one.query.mean(axis=-1, keepdims=True)
    pale = (0.4 * (0.5 * grey + 0.5 * one.query) + 0.6 * 255).astype(np.uint8)
    axis.imshow(pale, extent=_extent(one))
    for number in range(selected.shape[-1]):
        squares = _tinted(selected[..., number], number)
        axis.imshow(squares, extent=_extent(one), interpolation="nearest")
    axis.set(xlim=(0, width), ylim=(height, 0))
    counts = selected.sum((0, 1))
    words = f"class {counts[way]}, background {counts[0]} of {selected[..., 0].size} cells"
    axis.set_xlabel(words, fontsize=7, color=figures.INK, labelpad=2)


def _tinted(cells: Bool[np.ndarray, "h w"], number: int) -> Float[np.ndarray, "h w 4"]:
    color, opacity = (BACKGROUND, 0.45) if number == 0 else (ink(number), 0.8)
    return np.dstack([np.broadcast_to(to_rgb(color), (*cells.shape, 3)), opacity * cells])


def _legend(figure: Figure, axis: Axes, ways: int) -> None:
    """Says what the colours of selected cells are, below a column of them."""
    named_colors = {"the class" if ways == 1 else f"way {way}": ink(way) for way in range(1, ways + 1)}
    handles = [
        Line2D([], [], ls="none", marker="s", ms=5, color=color, label=label)
        for label, color in ({"background": BACKGROUND} | dict(list(named_colors.items())[:3])).items()
    ]
    place = axis.get_position()
    corner = ((place.x0 + place.x1) / 2, place.y0 - 0.18 / figure.get_size_inches()[1])
    spacing = {"ncols": 3, "handletextpad": 0.2, "columnspacing": 0.8, "frameon": False}
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=corner,
        fontsize=7,
        labelcolor=figures.INK,
        **spacing,
    )
