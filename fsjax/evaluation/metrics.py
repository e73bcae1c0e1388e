"""Every score is a pure function of the episodes' confusion matrices (PRNet 4.1).

A record is one line of episodes.jsonl:

    {"row": name, "run": int, "index": int, "class_ids": [N ids], "support": [[image id, ...] a way],
     "shown": [the class that each way's supports show], "query": [image id, ...],
     "confusion": [one matrix a query],
     "parts": [of each query the connected parts of each way's truth], "labelled": [classes a query shows]}

The last two may be missing. A confusion matrix counts pixels, [N + 2, N + 1]: rows are the truth 0..N
and then 255 (void), columns the prediction 0..N. Way n is `class_ids[n - 1]`. Intersections and unions
are summed over a run's episodes before they are divided: a mean of per-episode IoUs would give a tiny object
the say of a large one.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt8

from fsjax.config import TABLE
from fsjax.episode import IGNORED
from fsjax.errors import InputError
from fsjax.models.layers.padding import inside

Record = dict[str, Any]

REPLICATES = 1000
"""Of the bootstrap."""


def confusion(
    prediction: Int[Array, "h w"], truth: UInt8[Array, "h w"], size: Int[Array, "2"], *, ways: int
) -> Int32[Array, "rows columns"]:
    """Counts the pixels of one query by truth and prediction, exactly, on the device.

    Args:
      prediction: values 0..N.
      truth: values 0..N and 255.
      size: the height and width that the query occupies; pixels beyond it are not counted.
      ways: N.

    Returns:
      [N + 2, N + 1]: rows for truth 0..N and 255, columns for prediction 0..N.
    """
    predicted = jnp.arange(ways + 1)
    labels = jnp.append(predicted, IGNORED).astype(truth.dtype)
    is_label = (truth[None] == labels[:, None, None]) & inside(truth.shape, size)[None]
    is_predicted = prediction[None] == predicted.astype(prediction.dtype)[:, None, None]
    return jnp.sum(is_label[:, None] & is_predicted[None], axis=(2, 3), dtype=jnp.int32)


class Counts(NamedTuple):
    """The pixel counts of E episodes from which every score is made."""

    intersections: np.ndarray  # int64 [E, 1 + C]: background, then the fold's classes in their order
    unions: np.ndarray  # int64 [E, 1 + C]
    runs: np.ndarray  # int64 [E], the run of each episode


def count(records: Sequence[Record], classes: Mapping[int, str], *, void: str, counting: str) -> Counts:
    """Returns the intersections and unions of every episode, summed over its queries.

    Args:
      records: lines of episodes.jsonl, of one row.
      classes: id and name of each class of the fold.
      void: "ignore" leaves the pixels of truth 255 out, "background" counts them as truth 0.
      counting: "strict", or "panet_compat", where a class absent from a query's truth is not counted
        for that query, so that its false positives vanish (as in PANet's released code).

    Raises:
      InputError: there is no record, or a class is not of the fold.
    """
    if not records:
        raise InputError("There are no episodes to score; evaluate at least one episode a row.")
    column = {class_id: position for position, class_id in enumerate(classes, start=1)}
    intersections = np.zeros((len(records), 1 + len(classes)), np.int64)
    unions = np.zeros_like(intersections)
    for episode, record in enumerate(records):
        unknown = set(record["class_ids"]) - set(column)
        if unknown:
            raise InputError(
                f"Episode {record['index']} of row {record['row']!r} is of class {min(unknown)}, not of the "
                f"scored classes {sorted(column)}; score it with the fold it was drawn from."
            )
        columns = [0] + [column[class_id] for class_id in record["class_ids"]]
        for matrix in record["confusion"]:
            intersection, union = _query_counts(np.asarray(matrix, np.int64), void, counting)
            intersections[episode, columns] += intersection
            unions[episode, columns] += union
    return Counts(intersections, unions, np.asarray([record["run"] for record in records], np.int64))


def _query_counts(matrix: np.ndarray, void: str, counting: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns intersection and union, int64 [N + 1] each, of background and the ways."""
    labelled = matrix[:-1].copy()
    if void == "background":
        labelled[0] += matrix[-1]
    intersection = np.diagonal(labelled)
    in_truth = labelled.sum(axis=1)
    union = in_truth + labelled.sum(axis=0) - intersection
    if counting == "panet_compat":
        union = np.where(in_truth > 0, union, 0)
    return intersection, union


def summarize(
    records: Sequence[Record], classes: Mapping[int, str], *, void: str, counting: str
) -> dict[str, Any]:
    """Returns the scores of one row of results.json, in percent.

    mean_iou is the mean over the fold's classes, then over the runs; binary_iou pools all classes into
    one foreground and averages it with the background (as PANet). std is the population deviation over the
    runs (as PANet), None for one run. A class that never occurs is left out of the means and named in
    missing_classes; per_class is the mean over the runs in which a class occurs. A score that nothing defines
    is None.

    The arguments are those of `count`.

    Returns:
      {"mean_iou", "ci95": [low, high], "std", "binary_iou", "binary_ci95": [low, high], "binary_std",
      "per_class": {class name: IoU}, "per_run": [{"mean_iou", "binary_iou"}, ...],
      "missing_classes": [class name, ...], "episodes", "runs"}.

    Raises:
      InputError: as `count`.

    >>> matrix = [[6, 2], [1, 3], [5, 0]]  # the truth's background, cat and void
    >>> record = {"run": 0, "index": 0, "class_ids": [8], "confusion": [matrix]}
    >>> summarize([record], {8: "cat"}, void="ignore", counting="strict")["per_class"]
    {'cat': 50.0}
    """
    counts = count(records, classes, void=void, counting=counting)
    intersections, unions = _sums_by_run(counts)
    mean, binary = (
        _over_runs(score(intersections, unions), resampled([counts], score)[0])
        for score in (_mean_iou, _binary_iou)
    )
    class_ious = _mean(_ratio(intersections[:, 1:], unions[:, 1:]), axis=0)
    per_class = {name: percent(iou) for name, iou in zip(classes.values(), class_ious, strict=True)}
    per_run = zip(mean["per_run"], binary["per_run"], strict=True)
    return {
        "mean_iou": mean["score"], "ci95": mean["ci95"], "std": mean["std"],
        "binary_iou": binary["score"], "binary_ci95": binary["ci95"], "binary_std": binary["std"],
        "per_class": per_class,
        "per_run": [{"mean_iou": mean_iou, "binary_iou": binary_iou} for mean_iou, binary_iou in per_run],
        "missing_classes": [name for name, iou in per_class.items() if iou is None],
        "episodes": len(records), "runs": len(intersections),
    }  # fmt: skip


def scores(records: Sequence[Record], classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """Returns what `summarize` does under every policy for void and every counting.

    Args:
      records: lines of episodes.jsonl, of one row.
      classes: id and name of each class of the fold.

    Returns:
      Of each {"void", "counting"} and the scores.
    """
    policies = itertools.product(TABLE["eval.void"].choices, TABLE["eval.counting"].choices)
    return [
        {"void": void, "counting": counting, **summarize(records, classes, void=void, counting=counting)}
        for void, counting in policies
    ]


def _over_runs(of_runs: np.ndarray, replicates: np.ndarray) -> dict[str, Any]:
    """Returns the mean of a score over the runs, its interval and its deviation."""
    return {
        "score": percent(_mean(of_runs)),
        "per_run": list(map(percent, of_runs)),
        "ci95": interval(replicates),
        "std": percent(np.std(of_runs)) if len(of_runs) > 1 else None,
    }


def resampled(
    rows: Sequence[Counts], score: Callable[..., np.ndarray] | None = None
) -> Float[np.ndarray, "rows replicates"]:
    """Bootstraps the mean-IoU, or another score, of rows; each run's episodes are redrawn with replacement.

    The rows hold the same episodes in the same order and runs, and are redrawn alike. How often each episode
    is drawn is multinomial, so a replicate is one weighted sum of counts.
    """
    rng, score = np.random.default_rng(0), score or _mean_iou
    ious = []
    for run in np.unique(rows[0].runs):
        chosen = rows[0].runs == run
        episodes = int(chosen.sum())
        times = rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=REPLICATES).astype(float)
        ious.append([score(times @ c.intersections[chosen], times @ c.unions[chosen]) for c in rows])
    return _mean(np.asarray(ious), axis=0)


def mean_iou(counts: Counts) -> np.ndarray:
    """Returns the mean over the fold's classes that occur, then over the runs, as a fraction; or NaN."""
    return _mean(_mean_iou(*_sums_by_run(counts)))


def _sums_by_run(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Returns intersections and unions summed over each run's episodes, int64 [runs, 1 + C] each."""
    of_run = np.unique(counts.runs)[:, None] == counts.runs[None, :]
    return of_run @ counts.intersections, of_run @ counts.unions


def _mean_iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Returns the mean over the classes that occur: [..., 1 + C] to [...]."""
    return _mean(_ratio(intersections[..., 1:], unions[..., 1:]))


def _binary_iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Returns the mean of the background's IoU and that of all classes pooled: [..., 1 + C] to [...]."""
    pooled = [np.stack([x[..., 0], x[..., 1:].sum(axis=-1)], axis=-1) for x in (intersections, unions)]
    return _mean(_ratio(*pooled))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Averages what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    return np.where(count > 0, np.sum(values, axis, where=known) / np.maximum(count, 1), np.nan)


def interval(values: Float[np.ndarray, " replicates"]) -> list[float | None] | None:
    """Returns the 2.5th and the 97.5th percentile of what is known, in percent; None if nothing is."""
    known = values[~np.isnan(values)]
    return [percent(value) for value in np.percentile(known, [2.5, 97.5])] if known.size else None


def percent(fraction: float | np.ndarray) -> float | None:
    """Returns a fraction in percent, None for NaN."""
    return None if np.isnan(fraction) else 100.0 * float(fraction)
