"""Outlines in photos what a few other photos show outlined. It needs no training.

    python predict.py --support=SHOWN --query=PHOTOS --out=FOUND
    python predict.py --support=SHOWN --query=PHOTOS --out=FOUND --model=runs/mine --truth=MASKS

SHOWN holds photos with masks of the same names (photo.jpg with photo.png), images/ and masks/, a folder for
each class, a COCO json, or LabelMe's annotations; each may be files with commas between them, too. It may be
PHOTOS as well: masks of supports are not searched. FOUND gets masks, overlays, summary.csv, annotations.json
and index.html.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl.flags import FlagValues
from ml_collections import ConfigDict

from datasets.supports import Query, Supports, Truth, list_queries, read_supports, read_truth
from fsjax import __version__, cli, tracing
from fsjax.errors import InputError
from fsjax.models.method import check_output
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.prediction import MIN_PRESENCE, Answers, Options, check_free, check_of_supports, predict
from fsjax.segmenter import Fitted, Segmenter

FLAGS = {
    "support": "The photos that show what is to be found, with their masks.",
    "query": "The photos to find it in.",
    "out": "The folder for what is found; one of an earlier prediction is replaced.",
    "model": "A run's folder, an exported model, a file of weights, a hub's repository, or weights by name, "
    "as dinov2-base or imagenet; by default model.weights, or those of model.backbone, as --config or a "
    "--config.FIELD gives them, and without any dinov2-small (Apache-2.0), or imagenet, on ResNet-50, where "
    "that cannot be had.",
    "config": "The configuration's file, of weights; by default PRNet on their network.",
    "truth": "The photos' true masks, by their names: what is found is scored.",
    "fusion": "How often prototypes are fused, 0, 1 or 2; by default as often as the method does.",
    "scales": "Factors of the photos' size at which they are segmented, as 0.7,1,1.3.",
    "threshold": "The probability from which on a pixel belongs to a class, 0 to 1; by default it belongs to "
    "the likeliest, background included.",
    "min_presence": f"Below which presence, 0 to 1, a class counts as not there; by default {MIN_PRESENCE}.",
    "batch": "Photos at a time; by default 1 on a CPU and 8 elsewhere.",
    "profile": "A folder for a trace of photos 3 to 5 by JAX's profiler (docs/profiling.md).",
}
SWITCHES = {
    "adapt": "Tunes the weights to the supports first, as eval.adapt says (PRNet Eq. 6).",
    "maps": "Writes the probability of each class as a grey PNG, too.",
    "strict": "Stops at the first photo that cannot be read or written.",
}
NEEDED = ("support", "query", "out")
MOST_AT_A_TIME = 256
NAMED = 5
"""So many photos that are left out are named."""
STOPPED = (
    "Stopped. Photos done so far have masks and overlays in the folder of --out, and the table and "
    "index.html come at the end: the same command started again replaces these files and does all photos "
    "anew."
)


def program(argv: list[str]) -> None:
    """Fits, segments, and says what was found."""
    flags, settings = cli.parse(argv, __doc__, FLAGS, SWITCHES)
    for name in NEEDED:
        if not flags[name].value:
            raise InputError(f"--{name} is missing: it names {FLAGS[name][0].lower()}{FLAGS[name][1:]}")
    if flags.scales:
        settings = [*settings, f"--config.eval.scales={flags.scales}"]
    options = _options(flags)
    queries, supports, truth = _photos(flags)
    model, config, why = cli.chosen_model(flags.model, flags.config, settings)  # may fetch weights
    fitted = _fitted(flags, model, config, options, supports)
    checks = check_of_supports(fitted, [photo.name for photo in supports.photos])
    left_out = _left_out(supports.left_out, queries)
    for line in (*left_out, *checks.lines, *checks.warnings):
        print(line)

    about = {
        "fsjax": __version__, "command": shlex.join(argv), "model": model, "classes": supports.classes,
        "supports": [str(photo.path) for photo in supports.photos], "options": asdict(options),
        "adapted": flags.adapt, "config": config.to_dict(),
    }  # fmt: skip
    traced = tracing.tracing(flags.profile, tracing.PREDICTION)
    with traced, Answers.into(flags.out, supports.classes, about, maps=flags.maps) as answers:
        for photo, note in zip(supports.photos, checks.notes, strict=True):
            answers.show_support(photo.image, photo.mask, [photo.name, *note])
        scores = predict(fitted, queries, answers, options, _reader(truth))
        said = [*answers.counts(options.min_presence), *_scored(scores, truth)]
        title = f"{', '.join(supports.classes)} in {flags.query}"
        by = f"By {model}{', adapted' if flags.adapt else ''}. {why}".strip()
        answers.finish(title, [by, *left_out, *checks.warnings, *said])
    print("\n".join(said))
    print(f"Masks, overlays, a table and index.html are in {flags.out}.")
    _check_all_done(answers, len(queries))


def _photos(flags: FlagValues) -> tuple[list[Query], Supports, Truth | None]:
    """Returns the queries, the supports, and the queries' true masks if there are such.

    Raises:
      InputError: a place is wrong, or what is read would lie where the answers go.
    """
    check_free(flags.out)
    supports = read_supports(flags.support)
    masks = [photo.mask_path for photo in supports.photos]
    queries = list_queries(flags.query, leave_out=Path(flags.out), masks=masks)
    truth = read_truth(flags.truth, supports.classes, [q.name for q in queries]) if flags.truth else None
    _check_apart(flags.out, "--support", [photo.path for photo in supports.photos])
    _check_apart(flags.out, "--truth", [mask.path for mask in truth.values()] if truth else [])
    return queries, supports, truth


def _fitted(
    flags: FlagValues, model: str, config: ConfigDict, options: Options, supports: Supports
) -> Fitted:
    """Returns the model fitted to the supports.

    Raises:
      InputError: there is no such model, it has no such output, or it cannot be adapted.
    """
    segmenter = Segmenter.load(model, config)
    check_output(segmenter.method, options.output or None)
    return segmenter.fit(
        [photo.image for photo in supports.photos],
        [photo.mask for photo in supports.photos],
        classes=supports.classes,
        adapt=AdaptSettings(**config.eval.adapt) if flags.adapt else None,
    )


def _check_all_done(answers: Answers, count: int) -> None:
    """Makes sure that every one of so many photos was segmented, and its truth read.

    Raises:
      InputError: one was not.
    """
    failed = {row.name: row.file for row in answers.rows if row.error}
    if failed:
        first, *_ = failed.values()
        raise InputError(
            f"{len(failed)} of {count} photos failed, {first} the first: summary.csv says why; all others "
            "are done."
        )


def _left_out(without: Sequence[Path], queries: Sequence[Query]) -> list[str]:
    """Returns what is said of photos beside the supports that have no mask, and are no queries either."""
    asked = {query.path.resolve() for query in queries} if without else set()
    paths = [path for path in without if path.resolve() not in asked]
    if not paths:
        return []
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return [f"Left out of the supports, without a mask: {', '.join(map(str, paths[:NAMED]))}{more}."]


def _check_apart(out: str, flag: str, paths: Sequence[Path]) -> None:
    """Makes sure that none of some files lies where the answers go.

    Raises:
      InputError: one does.
    """
    place = Path(out).resolve()
    for path in paths:
        if path.resolve().is_relative_to(place):
            raise InputError(f"{path} of {flag} lies in {out}, where the answers go: name another --out.")


def _options(flags: FlagValues) -> Options:
    """Returns how photos are segmented.

    Raises:
      InputError: a flag is no number, or not in its range.
    """
    if flags.fusion not in ("", "0", "1", "2"):
        raise InputError(f"--fusion is {flags.fusion!r}: give 0, 1 or 2.")
    presence = _share(flags, "min_presence")
    if flags.batch and not (flags.batch.isdecimal() and 1 <= int(flags.batch) <= MOST_AT_A_TIME):
        raise InputError(f"--batch is {flags.batch!r}: give a number from 1 to {MOST_AT_A_TIME}.")
    return Options(
        output=f"fusion{flags.fusion}" if flags.fusion else "",
        threshold=_share(flags, "threshold"),
        min_presence=MIN_PRESENCE if presence is None else presence,
        batch=int(flags.batch or (1 if jax.default_backend() == "cpu" else 8)),
        strict=flags.strict,
    )


def _share(flags: FlagValues, name: str) -> float | None:
    """Returns the value of a flag from 0 to 1, None where it is not given."""
    text = flags[name].value
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise InputError(f"--{name} is {text!r}: give a number from 0 to 1.")
    return value


def _reader(truth: Truth | None) -> Callable[[str, tuple[int, int]], np.ndarray | None] | None:
    """Returns what reads the true mask of a query of some size."""
    if truth is None:
        return None
    return lambda name, size: truth[name].read(size) if name in truth else None


def _scored(scores: Mapping[str, Any] | None, truth: Truth | None) -> list[str]:
    """Returns what is said of the scores."""
    if truth is None or scores is None:
        return []
    per_class = [f"{name} {_percent(iou)}" for name, iou in scores["per_class"].items()]
    low, high = map(_percent, scores["ci95"] or (None, None))
    without = f" {len(truth.without)} photos have no truth." if truth.without else ""
    return [
        f"Mean IoU with the truth of {scores['episodes']} photos, in percent: {_percent(scores['mean_iou'])} "
        f"(95% interval over photos: {low} to {high}); {', '.join(per_class)}.{without}"
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv, stopped=STOPPED)


if __name__ == "__main__":
    sys.exit(main())
