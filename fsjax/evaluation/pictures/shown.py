"""One query with everything that a method made of it, and how its truth and its masks are drawn."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib.axes import Axes

from fsjax.episode import IGNORED
from fsjax.evaluation.pictures import figures
from fsjax.models.dpnet.explanation import Explanation
from fsjax.models.prnet.explanation import FusionExplanation

Photo = UInt8[np.ndarray, "H W 3"]
Mask = Integer[np.ndarray, "H W"]

_WIDEST = 22  # letters of a title's line


@dataclass(frozen=True)
class Shown:
    """One query with the supports that it was segmented by. No array is padded but the explanation's maps.

    Attributes:
      classes: names of the ways.
      supports: of each way one photo, RGB, and its mask of the same or another size: 0, 1..N, 255.
      query: photo, RGB.
      truth: its mask, 0, 1..N, 255, of any size; None where nobody knows it.
      logits: of each output, [h, w, N + 1] on the pixels of the truth, or of the query without one.
      explanation: how the method came to its answer; None of one that cannot say.
      note: why the episode is shown, e.g. "best"; "" says nothing.
    """

    classes: Sequence[str]
    supports: Sequence[tuple[UInt8[np.ndarray, "_ _ 3"], Integer[np.ndarray, "_ _"]]]
    query: Photo
    truth: Integer[np.ndarray, "_ _"] | None
    logits: Mapping[str, Float[np.ndarray, "_ _ classes"]]
    explanation: Explanation | FusionExplanation | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """The note and the names of the classes, a line or more each."""
        return self._titled(self.classes)

    def title_of(self, way: int) -> str:
        """The note and the name of one way's class."""
        return self._titled([self.classes[way - 1]])

    def _titled(self, classes: Sequence[str]) -> str:
        return "\n".join([f"({self.note})"] * bool(self.note) + [named(name) for name in classes])

    def mask(self, output: str) -> Mask:
        """Returns the mask of an output, 0..N."""
        return self.logits[output].argmax(-1)


def named(class_name: str) -> str:
    """Returns a class's name as people write it, in lines of some twenty letters."""
    return textwrap.fill(class_name.replace("_", " "), _WIDEST)


def support_columns(ways: int) -> list[str]:
    """Returns the headings of the supports of so many ways."""
    return ["support"] if ways == 1 else [f"support of way {way}" for way in range(1, ways + 1)]


def show_truth(axis: Axes, one: Shown) -> None:
    """Shows a query with its truth, or says that nobody knows it."""
    if one.truth is None:
        axis.imshow(one.query, alpha=0.35)
        height, width = one.query.shape[:2]
        words: dict[str, Any] = {"fontsize": 7, "color": figures.INK, "ha": "center", "va": "center"}
        axis.text(width / 2, height / 2, "not known", bbox={"color": "white", "alpha": 0.8}, **words)
    else:
        figures.show_masked(axis, one.query, one.truth)


def show_prediction(axis: Axes, one: Shown, output: str) -> None:
    """Shows a query with an output's mask, and the IoU on this one query where its truth is known."""
    mask = one.mask(output)
    figures.show_masked(axis, one.query, mask)
    if one.truth is not None:
        axis.set_xlabel(f"IoU {iou(mask, one.truth):.0f}", fontsize=7, color=figures.INK, labelpad=2)


def iou(prediction: Mask, truth: Mask) -> float:
    """Returns the mean IoU in percent over the ways of the truth or the prediction; void is left out."""
    prediction = np.where(truth == IGNORED, 0, prediction)
    ious = []
    for way in np.unique(np.concatenate([x[figures.is_way(x)] for x in (truth, prediction)])):
        hit, either = (truth == way) & (prediction == way), (truth == way) | (prediction == way)
        ious.append(hit.sum() / either.sum())
    return 100 * float(np.mean(ious)) if ious else 100.0


def show_answers(one: Shown, cells: Iterable[Axes], names: Sequence[str], known: bool) -> None:
    """Fills a line of cells: supports, the truth, and what each output answers.

    Args:
      one: the query.
      cells: as many as are filled.
      names: of the outputs.
      known: whether a cell is for the truth.
    """
    cells = iter(cells)
    for photo, mask in one.supports:
        figures.show_masked(next(cells), photo, mask)
    if known:
        show_truth(next(cells), one)
    for axis, name in zip(cells, names, strict=True):
        show_prediction(axis, one, name)
