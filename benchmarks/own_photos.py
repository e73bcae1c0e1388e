"""How well a few photos of a class find it in all others, and what the presence score is worth.

    python -m benchmarks.own_photos --config=configs/prnet_animals.py --shots=1,3,5 --draws=3 \
        --config.model.weights=resnet50_conv1_to_layer3.npz

For each class that the configuration's folds name, or of --classes, supports are drawn; the queries are all
other photos that show the class, and as many that do not. Printed are the IoU over the photos that show it,
the share of both kinds in which something is found, with and without the default presence, and how often a
photo that shows the class has a higher presence than one that does not (ROC AUC).
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import datasets
from fsjax import cli
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.experiment.settings import variables_before_training
from fsjax.models import build
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.prediction import MIN_PRESENCE
from fsjax.progress import Progress
from fsjax.segmenter import Segmentation, Segmenter

FLAGS = {
    "config": "The configuration, with backbone weights.",
    "shots": "Numbers of supports, with commas between them; by default 1,3,5.",
    "draws": "How often supports are drawn; by default 3.",
    "classes": "Names of classes with commas between them; by default those of the folds.",
}
SWITCHES = {"adapt": "Tunes the weights to the supports, as eval.adapt says; much slower."}

LEAST = 2048
"""Pixels of the class in a support."""


class Seen(NamedTuple):
    """What is found in one query."""

    shows: bool
    found: bool
    presence: float
    shared: int  # pixels of mask and truth
    either: int


def program(argv: list[str]) -> None:
    """Measures each class and prints the table."""
    flags, fields = cli.parse(argv, __doc__, FLAGS, SWITCHES)
    if not flags.config:
        raise InputError("Name the configuration with --config.")
    shots, (draws,) = _numbers("shots", flags.shots or "1,3,5"), _numbers("draws", flags.draws or "3")
    config = cli.configured(flags.config, fields)
    source = datasets.load(config.data)["test"]
    names = flags.classes.split(",") if flags.classes else _of_folds(source)
    if unknown := set(names) - set(source.class_names):
        raise InputError(f"--classes names {min(unknown)}: choose from {', '.join(source.class_names)}.")
    method = build.method(config.model)
    segmenter = Segmenter.configured(config, method, variables_before_training(config, method, source))
    adapt = AdaptSettings(**config.eval.adapt) if flags.adapt else None
    areas = np.stack([source.areas(position) for position in range(len(source.ids))])
    features: dict[int, Any] = {}
    print("| class | shots | photos | IoU | found, of those with it | of those without | AUC |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    every: dict[int, list[list[Seen]]] = {K: [] for K in shots}
    with Progress("measuring", len(names) * len(shots), "row") as progress:
        for name in names:
            class_id = list(source.class_names).index(name) + 1
            for K in shots:
                seen = []
                for draw in range(draws):
                    seen += _draw(segmenter, source, areas, class_id, K, draw, adapt, features)
                every[K].append(seen)
                print(f"| {name} | {K} | {_line(seen)} |", flush=True)
                progress.update()
    for K in shots:
        print(f"| mean | {K} | {_mean(every[K])} |")


def _numbers(name: str, text: str) -> list[int]:
    """Returns the numbers of a flag, each from 1 on."""
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1 or (name == "draws" and len(numbers) > 1):
        raise InputError(f"--{name} is {text!r}: say {FLAGS[name][0].lower()}{FLAGS[name][1:]}")
    return numbers


def _of_folds(source: Source) -> list[str]:
    return [source.class_names[class_id - 1] for fold in source.folds for class_id in fold]


def _draw(
    segmenter: Segmenter,
    source: Source,
    areas: np.ndarray,
    class_id: int,
    shots: int,
    draw: int,
    adapt: AdaptSettings | None,
    features: dict[int, Any],
) -> list[Seen]:
    """Returns what supports that are drawn find in the photos of a class, and in as many without it."""
    rng = np.random.default_rng([class_id, shots, draw])
    of_class = areas[:, class_id - 1]
    supports = rng.permutation(np.flatnonzero(of_class >= LEAST))[:shots]
    if len(supports) < shots:
        raise InputError(f"{source.class_names[class_id - 1]} has fewer than {shots} photos: leave it out.")
    fitted = segmenter.fit(
        [source.image(p) for p in supports.tolist()],
        [source.mask(p, [class_id], 1) for p in supports.tolist()],
        adapt=adapt,
    )
    queries = np.setdiff1d(np.flatnonzero(of_class), supports)
    without = rng.permutation(np.flatnonzero(of_class == 0))[: len(queries)]
    seen = []
    for position in [*queries.tolist(), *without.tolist()]:
        photo = source.image(position)
        if adapt is not None or position not in features:
            features[position] = fitted.segmenter.features([photo])
        (found,) = fitted.found([photo], features[position])
        seen.append(_compared(found, source.mask(position, [class_id], None)))
    return seen


def _compared(found: Segmentation, truth: np.ndarray) -> Seen:
    marked, known = found.mask == 1, truth != 255
    shared, either = marked & (truth == 1), (marked | (truth == 1)) & known
    presence = float(found.presence[0])
    return Seen(bool((truth == 1).any()), bool(marked.any()), presence, int(shared.sum()), int(either.sum()))


def _scores(seen: Sequence[Seen]) -> list[float]:
    """Returns IoU, shares found with and without the default presence, and AUC, each 0 to 1."""
    having, lacking = ([one for one in seen if one.shows == shows] for shows in (True, False))
    iou = sum(one.shared for one in having) / sum(one.either for one in having)
    shares = [
        np.mean([one.found and one.presence >= least for one in part])
        for part in (having, lacking)
        for least in (0.0, MIN_PRESENCE)
    ]
    more = np.subtract.outer([one.presence for one in having], [one.presence for one in lacking])
    return [iou, *map(float, shares), float(np.mean((more > 0) + (more == 0) / 2))]


def _line(seen: Sequence[Seen]) -> str:
    return f"{sum(one.shows for one in seen)} + {sum(not one.shows for one in seen)} | {_text(_scores(seen))}"


def _mean(every: Sequence[Sequence[Seen]]) -> str:
    total = sum(map(len, every))
    return f"{total} | {_text(np.mean([_scores(seen) for seen in every], axis=0).tolist())}"


def _text(scores: Sequence[float]) -> str:
    iou, having, having_least, lacking, lacking_least, auc = scores
    kept = f"{100 * having:.0f}, {100 * having_least:.0f} | {100 * lacking:.0f}, {100 * lacking_least:.0f}"
    return f"{100 * iou:.1f} | {kept} | {auc:.2f}"


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
