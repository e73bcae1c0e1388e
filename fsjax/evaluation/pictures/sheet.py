"""The picture sheets: photos with everything that a method made of them, drawn from arrays alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer, Shaped
from matplotlib.axes import Axes

from fsjax.episode import IGNORED
from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.branches import branch_sheet
from fsjax.evaluation.pictures.cycles import CyclePicture, cycle_sheet
from fsjax.evaluation.pictures.fusion import fusion_sheet, stage_sheet
from fsjax.evaluation.pictures.shown import Mask, Shown, show_prediction, show_truth, support_columns
from fsjax.models.dpnet.explanation import Explanation
from fsjax.models.prnet.explanation import FusionExplanation


def draw(folder: Path, shown: Sequence[Shown], names: Sequence[str], final: str) -> None:
    """Draws episodes.png, and the sheets of a method that says how it came to its answers.

    PRNet's are fusion.png (its Figure 4) and stages.png (Figure 1), DPNet's cycles.png (its Figure 3) and,
    where it has both branches, branches.png (Figure 4).

    Args:
      folder: of the PNGs.
      shown: the episodes in their order, all of as many ways; with none, nothing is drawn.
      names: of the outputs whose masks are drawn.
      final: the output whose probabilities are drawn.
    """
    if shown:
        episode_sheet(folder / "episodes.png", shown, names, final)
    if any(isinstance(one.explanation, FusionExplanation) for one in shown):
        fusion_sheet(folder / "fusion.png", shown, names)
        stage_sheet(folder / "stages.png", shown, final)
    cycles = [
        cycle_picture(one, one.explanation) for one in shown if isinstance(one.explanation, Explanation)
    ]
    if cycles:
        cycle_sheet(folder / "cycles.png", cycles)
        if len(names) > 1:
            branch_sheet(folder / "branches.png", shown, names)


def episode_sheet(path: Path, shown: Sequence[Shown], names: Sequence[str], final: str) -> None:
    """Writes a PNG with a row for each query.

    Columns: support of each way with its mask, query, truth where any is known, the foreground's probability,
    and each output's mask with the IoU that it reaches on this one query (in percent, averaged over the ways
    that occur).

    The arguments are those of `draw`, with at least one query.
    """
    ways, known = len(shown[0].supports), any(one.truth is not None for one in shown)
    columns = [*support_columns(ways), "query", *["truth"] * known, "probability", *names]
    figure, axes = figures.grid([one.title for one in shown], columns)
    figures.color_bar(figure, axes[-1][columns.index("probability")])
    for one, row in zip(shown, axes, strict=True):
        cells = iter(row)
        for photo, mask in one.supports:
            figures.show_masked(next(cells), photo, mask)
        next(cells).imshow(one.query)
        if known:
            show_truth(next(cells), one)
        _show_foreground(next(cells), one, final)
        for axis, name in zip(cells, names, strict=True):
            show_prediction(axis, one, name)
    figures.save(figure, path)


def _show_foreground(axis: Axes, one: Shown, final: str) -> None:
    height, width = one.query.shape[:2]
    foreground = _foreground(one.logits[final])
    axis.imshow(foreground, extent=(0, width, height, 0), cmap=figures.MAP_COLORS, vmin=0, vmax=1)


def cycle_picture(one: Shown, found: Explanation) -> CyclePicture:
    """Takes the comparison of the first support with the query out of its padding."""
    (support, support_mask), *_ = one.supports
    maps = {name: np.asarray(values) for name, values in found._asdict().items()}
    forward, backward = maps["forward"], maps["backward"]
    support_cells, query_cells = maps["support_cells"], maps["query_cells"]
    return CyclePicture(
        title=one.title_of(1),
        support=support,
        support_mask=_of_first_way(support_mask),
        query=one.query,
        truth=None if one.truth is None else _of_first_way(one.truth),
        forward=_cut(_renumber(forward, backward.shape[1], query_cells[1]), support_cells).reshape(-1),
        backward=_cut(_renumber(backward, forward.shape[1], support_cells[1]), query_cells),
        foreground=_cut(maps["foreground"], support_cells),
        similarity=_cut(maps["similarity"], query_cells),
        confidence=_cut(maps["confidence"], query_cells),
        selected=_cut(maps["selected"], query_cells),
        aligned=bool(maps["aligned"]),
    )


def _of_first_way(mask: Mask) -> Mask:
    """Returns the mask with other ways as background."""
    return np.where((mask == 1) | (mask == IGNORED), mask, 0)


def _renumber(
    indices: Int[np.ndarray, "h w"], width: int, valid_width: int | np.integer
) -> Int[np.ndarray, "h w"]:
    """Counts cells row by row of a grid without its padding."""
    rows, columns = np.divmod(indices, width)
    return rows * valid_width + columns


def _cut(array: Shaped[np.ndarray, "h w"], size: Integer[np.ndarray, "2"]) -> Shaped[np.ndarray, "_ _"]:
    return array[: size[0], : size[1]]


def _foreground(logits: Float[np.ndarray, "h w classes"]) -> Float[np.ndarray, "h w"]:
    """Returns the probability that a pixel is of any way."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return 1 - odds[..., 0] / odds.sum(-1)
