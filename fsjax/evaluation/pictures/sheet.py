"""The picture sheets: photos with everything that a method made of them, drawn from arrays alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer, Shaped, UInt8
from matplotlib.axes import Axes

from fsjax.episode import IGNORED
from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.cycles import CyclePicture, cycle_sheet
from fsjax.models.dpnet.explanation import Explanation

Photo = UInt8[np.ndarray, "H W 3"]
Mask = Integer[np.ndarray, "H W"]


@dataclass(frozen=True)
class Shown:
    """One query with the supports that it was segmented by. No array is padded but the explanation's maps.

    Attributes:
      classes: names of the ways.
      supports: of each way one photo, RGB, and its mask of the same or another size: 0, 1..N, 255.
      query: photo, RGB.
      truth: its mask, 0, 1..N, 255, of any size; None where nobody knows it.
      logits: of each output, [h, w, N + 1] on the pixels of the truth, or of the query without one.
      explanation: how the cells of the first way's support were compared with the query's; None of a method
        that compares none.
    """

    classes: Sequence[str]
    supports: Sequence[tuple[UInt8[np.ndarray, "_ _ 3"], Integer[np.ndarray, "_ _"]]]
    query: Photo
    truth: Integer[np.ndarray, "_ _"] | None
    logits: Mapping[str, Float[np.ndarray, "_ _ classes"]]
    explanation: Explanation | None = None

    @property
    def title(self) -> str:
        """The names of the classes, a line each."""
        return "\n".join(name.replace("_", " ") for name in self.classes)


def draw(folder: Path, shown: Sequence[Shown], names: Sequence[str], final: str) -> None:
    """Draws episodes.png and, where cells were compared, cycles.png.

    Args:
      folder: of the PNGs.
      shown: a row each, all of as many ways; with none, nothing is drawn.
      names: of the outputs whose masks are drawn.
      final: the output whose probabilities are drawn.
    """
    if shown:
        episode_sheet(folder / "episodes.png", shown, names, final)
    cycles = [cycle_picture(one, one.explanation) for one in shown if one.explanation is not None]
    if cycles:
        cycle_sheet(folder / "cycles.png", cycles)


def episode_sheet(path: Path, shown: Sequence[Shown], names: Sequence[str], final: str) -> None:
    """Writes a PNG with a row for each query.

    Columns: support of each way with its mask, query, truth where any is known, the foreground's probability,
    and each output's mask with the IoU that it reaches on this one query (in percent, averaged over the ways
    that occur).

    The arguments are those of `draw`, with at least one query.
    """
    ways, known = len(shown[0].supports), any(one.truth is not None for one in shown)
    supports = ["support"] if ways == 1 else [f"support of way {way + 1}" for way in range(ways)]
    columns = [*supports, "query", *["truth"] * known, "probability", *names]
    figure, axes = figures.grid([one.title for one in shown], columns)
    figures.color_bar(figure, axes[-1][columns.index("probability")])
    for one, row in zip(shown, axes, strict=True):
        cells = iter(row)
        for photo, mask in one.supports:
            figures.show_masked(next(cells), photo, mask)
        next(cells).imshow(one.query)
        if known:
            _show_truth(next(cells), one)
        _show_foreground(next(cells), one, final)
        for axis, name in zip(cells, names, strict=True):
            _show_prediction(axis, one, name)
    figures.save(figure, path)


def _show_truth(axis: Axes, one: Shown) -> None:
    if one.truth is None:
        axis.text(
            0.5, 0.5, "not known", transform=axis.transAxes, fontsize=7, color=figures.FAINT, ha="center"
        )
    else:
        figures.show_masked(axis, one.query, one.truth)


def _show_foreground(axis: Axes, one: Shown, final: str) -> None:
    height, width = one.query.shape[:2]
    foreground = _foreground(one.logits[final])
    axis.imshow(foreground, extent=(0, width, height, 0), cmap=figures.MAP_COLORS, vmin=0, vmax=1)


def _show_prediction(axis: Axes, one: Shown, name: str) -> None:
    mask = one.logits[name].argmax(-1)
    figures.show_masked(axis, one.query, mask)
    if one.truth is not None:
        reached = f"IoU {_iou(mask, one.truth):.0f}"
        axis.set_xlabel(reached, fontsize=7, color=figures.INK, labelpad=2)


def cycle_picture(one: Shown, found: Explanation) -> CyclePicture:
    """Takes the comparison of the first support with the query out of its padding."""
    (support, support_mask), *_ = one.supports
    maps = {name: np.asarray(values) for name, values in found._asdict().items()}
    forward, backward = maps["forward"], maps["backward"]
    support_cells, query_cells = maps["support_cells"], maps["query_cells"]
    return CyclePicture(
        title=one.title.partition("\n")[0],
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


def _iou(prediction: Mask, truth: Mask) -> float:
    """Returns the mean IoU in percent over the ways of the truth or the prediction; void is left out."""
    prediction = np.where(truth == IGNORED, 0, prediction)
    ious = []
    for way in np.unique(np.concatenate([x[figures.is_way(x)] for x in (truth, prediction)])):
        hit, either = (truth == way) & (prediction == way), (truth == way) | (prediction == way)
        ious.append(hit.sum() / either.sum())
    return 100 * float(np.mean(ious)) if ious else 100.0
