"""From photos to a folder of answers: read ahead, segmented in batches, written one by one."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from fsjax.data.ahead import ahead
from fsjax.data.photo_files import read_photo
from fsjax.episode import IGNORED
from fsjax.errors import InputError
from fsjax.evaluation.metrics import Record, summarize
from fsjax.prediction.answers import Answers
from fsjax.progress import Progress
from fsjax.segmenter import Fitted, Segmentation

LOG = logging.getLogger(__name__)

MIN_PRESENCE = 0.2
"""Below which a class counts as not there: at which nine of ten photos that show a class keep it, on three
classes of PASCAL VOC (cat, dog and sheep; docs/own_photos.md). Another network has another scale."""

DECODED_AHEAD = 2


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
    truth: Callable[[str, tuple[int, int]], UInt8[np.ndarray, "H W"] | None] | None = None,
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
    waiting: deque[Query] = deque()
    records: list[Record] = []
    with Progress("photos", len(queries), "photo") as progress:

        def failed(query: Query, error: Exception) -> None:
            sentence = str(error) if isinstance(error, InputError) else _refused(query, error)
            if options.strict:
                raise InputError(sentence) from error
            LOG.warning("%s", sentence)
            answers.fail(query.name, str(query.path), sentence)
            progress.update()

        def photos() -> Iterator[np.ndarray]:
            for query, photo in ahead(_tried, queries, threads=1, depth=DECODED_AHEAD):
                if isinstance(photo, Exception):
                    failed(query, photo)
                else:
                    waiting.append(query)
                    yield photo

        found = fitted.segment(
            photos(), options.output or None, threshold=options.threshold,
            min_presence=options.min_presence, batch=options.batch,
        )  # fmt: skip
        for one in found:
            query = waiting.popleft()
            try:
                matrix = _compared(one, truth and truth(query.name, one.mask.shape))
                answers.add(query.name, str(query.path), one, None if matrix is None else _ious(matrix))
            except (InputError, OSError) as error:
                failed(query, error)
                continue
            if matrix is not None:
                records.append({"run": 0, "index": len(records), "confusion": [matrix]})
            progress.update()
    return _scores(records, fitted.classes)


def _tried(query: Query) -> tuple[Query, np.ndarray | Exception]:
    """Returns a photo, or why it cannot be read."""
    try:
        return query, read_photo(query.path)
    except (InputError, OSError, MemoryError) as error:
        return query, error


def _refused(query: Query, error: Exception) -> str:
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return f"The mask of {query.path} cannot be written{place} ({error.strerror or error}): make room."
    return f"{query.path} does not fit into the memory: make it smaller, or leave it out."


def _compared(found: Segmentation, truth: np.ndarray | None) -> list[list[int]] | None:
    """Returns the confusion matrix of a mask, as `fsjax.evaluation.metrics.confusion` has it."""
    if truth is None:
        return None
    N = len(found.classes)
    labels = np.where(truth == IGNORED, N + 1, truth).astype(np.int64)
    counts = np.bincount((labels * (N + 1) + found.mask).ravel(), minlength=(N + 2) * (N + 1))
    return counts.reshape(N + 2, N + 1).tolist()


def _ious(matrix: Sequence[Sequence[int]]) -> list[float | None]:
    """Returns the IoU of each class in one photo, None where neither truth nor mask shows it."""
    known = np.asarray(matrix)[:-1]
    shared = np.diagonal(known)[1:]
    either = known.sum(1)[1:] + known.sum(0)[1:] - shared
    return [float(a / b) if b else None for a, b in zip(shared, either, strict=True)]


def _scores(records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any] | None:
    if not records:
        return None
    ids = list(range(1, len(classes) + 1))
    whole = [{**record, "class_ids": ids} for record in records]
    return summarize(whole, dict(zip(ids, classes, strict=True)), void="ignore", counting="strict")
