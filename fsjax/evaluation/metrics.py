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
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Int64, UInt8

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


class _Matrices(NamedTuple):
    """The confusion matrices of a row's E episodes of T queries, read once for all policies."""

    matrices: np.ndarray  # int64 [E, T, N + 2, N + 1]
    columns: np.ndarray  # int64 [E, 1 + N], of background and the ways among those of `Counts`
    runs: np.ndarray  # int64 [E]
    classes: int  # C


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
      InputError: there is no record, a class is not of the fold, or the episodes differ in how many ways or
        queries they have.
    """
    return _count(_matrices(records, classes), void, counting)


def _matrices(records: Sequence[Record], classes: Mapping[int, str]) -> _Matrices:
    """Reads the records; raises what `count` does."""
    if not records:
        raise InputError("There are no episodes to score; evaluate at least one episode a row.")
    column = {class_id: position for position, class_id in enumerate(classes, start=1)}
    for record in records:
        unknown = set(record["class_ids"]) - column.keys()
        if unknown:
            raise InputError(
                f"Episode {record['index']} of row {record['row']!r} is of class {min(unknown)}, not of the "
                f"scored classes {sorted(column)}; score it with the fold it was drawn from."
            )
    columns = [[0, *(column[class_id] for class_id in record["class_ids"])] for record in records]
    try:
        matrices = np.asarray([record["confusion"] for record in records], np.int64)
    except ValueError as error:
        raise InputError(
            f"The episodes of row {records[0]['row']!r} differ in how many ways or queries they have; "
            "evaluate again."
        ) from error
    runs = np.asarray([record["run"] for record in records], np.int64)
    return _Matrices(matrices, np.asarray(columns, np.int64), runs, len(classes))


def _count(of: _Matrices, void: str, counting: str) -> Counts:
    """Returns what `count` does."""
    shape = len(of.runs), 1 + of.classes
    intersections, unions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    of_queries = _query_counts(of.matrices, void, counting)
    for sums, pixels in zip((intersections, unions), of_queries, strict=True):
        np.put_along_axis(sums, of.columns, pixels.sum(axis=1), axis=1)
    return Counts(intersections, unions, of.runs)


def _query_counts(
    matrices: Int64[np.ndarray, "episodes queries rows columns"], void: str, counting: str
) -> tuple[Int64[np.ndarray, "episodes queries columns"], Int64[np.ndarray, "episodes queries columns"]]:
    """Returns intersection and union of background and the ways in each query."""
    labelled = matrices[..., :-1, :].copy()
    if void == "background":
        labelled[..., 0, :] += matrices[..., -1, :]
    intersection = np.diagonal(labelled, axis1=-2, axis2=-1)
    in_truth = labelled.sum(axis=-1)
    union = in_truth + labelled.sum(axis=-2) - intersection
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
    return _summaries(records, classes, [(void, counting)])[0]


def scores(records: Sequence[Record], classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """Returns what `summarize` does under every policy for void and every counting.

    The records are read once, and the episodes redrawn once.

    Args:
      records: lines of episodes.jsonl, of one row.
      classes: id and name of each class of the fold.

    Returns:
      Of each {"void", "counting"} and the scores.

    Raises:
      InputError: as `count`.
    """
    policies = list(itertools.product(TABLE["eval.void"].choices, TABLE["eval.counting"].choices))
    found = _summaries(records, classes, policies)
    return [
        {"void": void, "counting": counting, **one}
        for (void, counting), one in zip(policies, found, strict=True)
    ]


def _summaries(
    records: Sequence[Record], classes: Mapping[int, str], policies: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Returns what `summarize` does under each policy, (void, counting)."""
    matrices = _matrices(records, classes)
    counts = [_count(matrices, *policy) for policy in policies]
    names = list(classes.values())
    return [_summary(*one, names) for one in zip(counts, resampled(counts, _both_ious), strict=True)]


def _summary(
    counts: Counts, replicates: Float[np.ndarray, "replicates 2"], names: Sequence[str]
) -> dict[str, Any]:
    """Returns what `summarize` does, from the counts and the replicates of mean-IoU and binary-IoU."""
    intersections, unions = sums_by_run(counts)
    of_runs = _both_ious(intersections, unions)
    mean, binary = (_over_runs(of_runs[:, i], replicates[:, i]) for i in range(2))
    class_ious = known_mean(ratio(intersections[:, 1:], unions[:, 1:]), axis=0)
    per_class = {name: percent(iou) for name, iou in zip(names, class_ious, strict=True)}
    per_run = zip(mean["per_run"], binary["per_run"], strict=True)
    return {
        "mean_iou": mean["score"], "ci95": mean["ci95"], "std": mean["std"],
        "binary_iou": binary["score"], "binary_ci95": binary["ci95"], "binary_std": binary["std"],
        "per_class": per_class,
        "per_run": [{"mean_iou": mean_iou, "binary_iou": binary_iou} for mean_iou, binary_iou in per_run],
        "missing_classes": [name for name, iou in per_class.items() if iou is None],
        "episodes": len(counts.runs), "runs": len(intersections),
    }  # fmt: skip


def _over_runs(of_runs: np.ndarray, replicates: np.ndarray) -> dict[str, Any]:
    """Returns the mean of a score over the runs, its interval and its deviation."""
    return {
        "score": percent(known_mean(of_runs)),
        "per_run": list(map(percent, of_runs)),
        "ci95": interval(replicates),
        "std": percent(np.std(of_runs)) if len(of_runs) > 1 else None,
    }


def mean_over(evaluations: Sequence[Counts]) -> dict[str, Any]:
    """Returns the mean of several evaluations' scores, in percent, such as a table's mean over its folds.

    The evaluations are of different episodes, so each is redrawn by itself; a replicate of the mean is the
    mean of one replicate of each. The interval is that of the mean of these very folds: it tells how sure the
    mean is over the episodes, not how far folds differ.

    Args:
      evaluations: at least one; classes, runs and episodes may be others in each.

    Returns:
      {"mean_iou", "ci95": [low, high], "binary_iou", "binary_ci95": [low, high]}. A score that one of the
      evaluations lacks is None. Of one evaluation they are those of `summarize`.
    """
    replicates = np.stack([resampled([c], _both_ious, seed=s)[0] for s, c in enumerate(evaluations)])
    alone = [known_mean(_both_ious(*sums_by_run(counts)), axis=0) for counts in evaluations]
    found: dict[str, Any] = {}
    for i, (name, interval_name) in enumerate((("mean_iou", "ci95"), ("binary_iou", "binary_ci95"))):
        known = [one for one in (percent(ious[i]) for ious in alone) if one is not None]
        whole = len(known) == len(evaluations)
        found[name] = sum(known) / len(known) if whole else None
        found[interval_name] = interval(replicates[..., i].mean(axis=0)) if whole else None
    return found


def resampled(
    rows: Sequence[Counts], score: Callable[..., np.ndarray] | None = None, *, seed: int = 0
) -> Float[np.ndarray, "rows replicates ..."]:
    """Bootstraps the mean-IoU, or another score, of rows; each run's episodes are redrawn with replacement.

    The rows hold the same episodes in the same order and runs, and are redrawn alike. How often each episode
    is drawn is multinomial, so a replicate is one weighted sum of counts. It is averaged over the runs that
    define it.

    Args:
      rows: with as many columns in each.
      score: of intersections and unions, [..., columns] each, to [...] or, of several scores, [..., scores].
      seed: of the draws. Equal ones are drawn for equal numbers of episodes a run.
    """
    score = score or _mean_iou
    runs, lengths = np.unique(rows[0].runs, return_counts=True)
    ious = []
    for run, times in zip(runs, _draws(tuple(lengths.tolist()), REPLICATES, seed), strict=True):
        chosen = rows[0].runs == run
        columns = np.concatenate([x[chosen] for c in rows for x in (c.intersections, c.unions)], axis=1)
        # Sums of pixels are whole numbers that a float64 holds exactly, whatever their order.
        sums = (times.astype(float) @ columns.astype(float)).reshape(len(times), len(rows), 2, -1)
        ious.append([score(*np.ascontiguousarray(sums[:, row].swapaxes(0, 1))) for row in range(len(rows))])
    return known_mean(np.asarray(ious), axis=0)


@lru_cache(maxsize=4)  # rows of an evaluation have the same runs, and so have the folds of a table
def _draws(lengths: tuple[int, ...], replicates: int, seed: int) -> list[UInt8[np.ndarray, "replicates run"]]:
    """Returns for each run, of so many episodes, how often each episode is drawn in each replicate."""
    rng = np.random.default_rng(seed)
    # An episode is drawn once on average: 256 times is less likely than 1 in 10^500.
    return [rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.uint8) for n in lengths]


def mean_iou(counts: Counts) -> np.ndarray:
    """Returns the mean over the fold's classes that occur, then over the runs, as a fraction; or NaN."""
    return known_mean(_mean_iou(*sums_by_run(counts)))


def sums_by_run(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Returns intersections and unions summed over each run's episodes, in pixels, int64 [runs, columns]."""
    of_run = np.unique(counts.runs)[:, None] == counts.runs[None, :]
    return of_run @ counts.intersections, of_run @ counts.unions


def _mean_iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Returns the mean over the classes that occur: [..., 1 + C] to [...]."""
    return known_mean(ratio(intersections[..., 1:], unions[..., 1:]))


def _binary_iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Returns the mean of the background's IoU and that of all classes pooled: [..., 1 + C] to [...]."""
    pooled = [np.stack([x[..., 0], x[..., 1:].sum(axis=-1)], axis=-1) for x in (intersections, unions)]
    return known_mean(ratio(*pooled))


def _both_ious(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Returns mean-IoU and binary-IoU: [..., 1 + C] to [..., 2]."""
    return np.stack([score(intersections, unions) for score in (_mean_iou, _binary_iou)], axis=-1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides pixels by pixels, 0 or more, of any shape; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def known_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Averages what is not NaN along an axis; NaN where nothing is left."""
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
