"""From photos to a folder of answers: read ahead, segmented in batches, written one by one."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from errno import EDQUOT, EFBIG, ENAMETOOLONG, ENOSPC
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt8

from fsjax.data.ahead import ahead
from fsjax.data.photo_files import read_photo
from fsjax.errors import InputError
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.metrics import Record, ratio, summarize
from fsjax.prediction.answers import Answers
from fsjax.progress import Progress
from fsjax.segmenter import Fitted, Segmentation
from fsjax.tracing import PREDICTION, steps

LOG = logging.getLogger(__name__)

MIN_PRESENCE = 0.2
"""Below which a class counts as not there: at which nine of ten photos that show a class keep it, on three
classes of PASCAL VOC (cat, dog and sheep; docs/own_photos.md). Another network has another scale."""

DECODED_AHEAD = 2

_MENDS = {
    ENAMETOOLONG: "give it a shorter name",
    **dict.fromkeys((ENOSPC, EDQUOT, EFBIG), "make room on the disk"),
}
"""What helps where the system refuses to write, by its reason."""

TrueMask = Callable[[str, tuple[int, int]], UInt8[np.ndarray, "H W"] | None]


@runtime_checkable
class Query(Protocol):
    """A photo to be segmented: where it is, and what it is called."""

    @property
    def path(self) -> Any:
        """Of its file."""

    @property
    def name(self) -> str:
        """Unlike every other's."""


@dataclass(frozen=True)
class Options:
    """How photos are segmented.

    Attributes:
      output: which of the method's results; "" is its final one.
      threshold: see `Fitted.segment`.
      min_presence: see `Fitted.segment`.
      batch: photos at a time.
      strict: whether the first photo that fails ends all.
    """

    output: str = ""
    threshold: float | None = None
    min_presence: float = MIN_PRESENCE
    batch: int = 1
    strict: bool = False


def predict(
    fitted: Fitted,
    queries: Sequence[Query],
    answers: Answers,
    options: Options,
    truth: TrueMask | None = None,
) -> dict[str, Any] | None:
    """Segments photos and writes what is found; a photo that fails is noted, and the others still done.

    Args:
      fitted: what segments them.
      queries: the photos.
      answers: where what is found goes.
      options: how.
      truth: returns the true mask of a query of that name and size, 0 to N and 255, None where it has none;
        without it nothing is scored.

    Returns:
      The scores over all photos with a truth (`fsjax.evaluation.metrics.summarize`), None without any.

    Raises:
      InputError: with `options.strict`, of the first photo that fails.
    """
    with Progress("photos", len(queries), "photo") as progress:
        work = _Work(answers, options.strict, progress, truth)
        found = fitted.segment(
            work.photos(queries), options.output or None, threshold=options.threshold,
            min_presence=options.min_presence, batch=options.batch,
        )  # fmt: skip
        for one in steps(PREDICTION, found):
            work.answer(one)
    return _scores(work.records, fitted.classes)


@dataclass
class _Work:
    """Photos on their way from their files to their answers."""

    answers: Answers
    strict: bool
    progress: Progress
    truth: TrueMask | None
    records: list[Record] = field(default_factory=list)
    waiting: deque[Query] = field(default_factory=deque)

    def photos(self, queries: Sequence[Query]) -> Iterator[np.ndarray]:
        """Yields those that can be read."""
        for query, photo in ahead(_tried, queries, threads=1, depth=DECODED_AHEAD):
            if isinstance(photo, str):
                self.fail(query, photo)
            else:
                self.waiting.append(query)
                yield photo

    def answer(self, found: Segmentation) -> None:
        """Writes what was found in the first photo that waits."""
        query = self.waiting.popleft()
        matrix, wrong = None, ""
        if self.truth is not None:
            try:
                truth = self.truth(query.name, found.mask.shape)
                if truth is not None:
                    matrix = count_prediction(found.mask.astype(np.int64), truth, len(found.classes))
            except InputError as error:
                wrong = str(error)
                self.warn(wrong)
        ious = None if matrix is None else _ious(matrix)
        try:
            self.answers.add(query.name, str(query.path), found, ious, wrong)
        except (InputError, OSError, MemoryError) as error:
            self.fail(query, _unwritten(query, error))
            return
        if matrix is not None:
            self.records.append({"run": 0, "index": len(self.records), "confusion": [matrix.tolist()]})
        self.progress.update()

    def fail(self, query: Query, sentence: str) -> None:
        """Notes that a photo has no mask."""
        self.warn(sentence)
        self.answers.fail(query.name, str(query.path), sentence)
        self.progress.update()

    def warn(self, sentence: str) -> None:
        """Says what is wrong with a photo; the first one ends a strict prediction."""
        if self.strict:
            raise InputError(sentence)
        LOG.warning("%s", sentence)


def _tried(query: Query) -> tuple[Query, np.ndarray | str]:
    """Returns a photo, or why it cannot be read."""
    try:
        return query, read_photo(query.path)
    except InputError as error:
        return query, str(error)
    except MemoryError:
        return query, _too_large(query)


def _unwritten(query: Query, error: Exception) -> str:
    """Returns why what was found in a photo is not written."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return _too_large(query)
    assert isinstance(error, OSError)
    mend = _MENDS.get(error.errno or 0, "name another folder with --out")
    return f"What was found in {query.path} cannot be written ({error.strerror or error}): {mend}."


def _too_large(query: Query) -> str:
    return f"{query.path} does not fit into the memory: make it smaller, or leave it out."


def _ious(matrix: Int64[np.ndarray, "truths labels"]) -> list[float | None]:
    """Returns the IoU of each class in one photo, None where neither truth nor mask shows it."""
    known = matrix[:-1]
    shared = np.diagonal(known)
    found = ratio(shared, known.sum(1) + known.sum(0) - shared)[1:]
    return [None if np.isnan(iou) else iou for iou in found.tolist()]


def _scores(records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any] | None:
    if not records:
        return None
    ids = list(range(1, len(classes) + 1))
    whole = [{**record, "class_ids": ids} for record in records]
    return summarize(whole, dict(zip(ids, classes, strict=True)), void="ignore", counting="strict")
