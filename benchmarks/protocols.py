"""What the field's protocols alone do to a score: one set of predictions, counted under all presets.

    python -m benchmarks.protocols --config=configs/prnet_animals.py --out=runs/protocols --episodes=300 \
        --config.model.weights=resnet50_conv1_to_layer3.npz

Episodes of the configuration are segmented once, at the photos' own sizes. For a preset that scores squares
the masks are resized to the nearest pixel. Each is then scored as `eval.py --predictions` does, and a table
is printed; the folders of --out hold the masks, the manifest and each preset's results.
"""

import sys
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

import datasets
from fsjax import cli, experiment
from fsjax.config import PROTOCOLS
from fsjax.data import manifest
from fsjax.data.images import stored_mask
from fsjax.data.resizing import resize_mask
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation.predictions import file_name
from fsjax.experiment.settings import variables_before_training
from fsjax.models import build
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter

FLAGS = {
    "config": "The configuration, with backbone weights.",
    "out": "The folder for masks and results.",
    "episodes": "How many are segmented.",
}
SCORED = ("size", "input", "label", "void", "counting")
"""Fields of a preset that decide how predictions are scored; the others decide which there are."""


def program(argv: list[str]) -> None:
    """Segments, scores, and prints the table."""
    flags, fields = cli.parse(argv, __doc__, FLAGS)
    if not (flags.config and flags.out and flags.episodes.isdecimal()):
        raise InputError("Name the configuration, a folder and a number with --config, --out and --episodes.")
    config = cli.configured(flags.config, [*fields, "--config.eval.runs=1", "--config.eval.label=original"])
    config.eval.episodes = int(flags.episodes)
    source, out = datasets.load(config.data)["test"], Path(flags.out)
    header, specs, _ = experiment.novel_episodes(config, source, "")
    episodes = out / "manifest.jsonl"
    manifest.write(episodes, header, specs, source.ids)
    _predict(_segmenter(config, source), source, specs, out)
    print("| preset | mean-IoU | 95% interval | binary-IoU |\n|---|---:|---:|---:|")
    for name, protocol in PROTOCOLS.items():
        changed = config.copy_and_resolve_references()
        for field in SCORED:
            changed.eval[field] = protocol.fields[f"eval.{field}"]
        masks = out / "masks" / _size(changed)
        results = experiment.score_predictions(changed, source, masks, episodes, out / name, name=name)
        (row,) = results.rows
        low, high = row["ci95"]
        scores = f"{row['mean_iou']:.2f} | {low:.2f} to {high:.2f} | {row['binary_iou']:.2f}"
        print(f"| `{name}` | {scores} |")


def _segmenter(config: ConfigDict, source: Source) -> Segmenter:
    method = build.method(config.model)
    return Segmenter.configured(config, method, variables_before_training(config, method, source))


def _size(config: ConfigDict) -> str:
    """Returns the folder of the masks that a preset scores."""
    return "original" if config.eval.label == "original" else str(config.eval.size)


def _predict(segmenter: Segmenter, source: Source, specs: list[EpisodeSpec], out: Path) -> None:
    """Writes the mask of every query at its photo's size, and as each square that a preset scores."""
    squares = {p.fields["eval.size"] for p in PROTOCOLS.values() if p.fields["eval.label"] == "input"}
    for folder in ("original", *map(str, squares)):
        (out / "masks" / folder).mkdir(parents=True, exist_ok=True)
    with Progress("segmenting", len(specs), "episode") as progress:
        for spec in specs:
            photos = [source.image(position) for way in spec.support for position in way]
            shown = [(position, n) for n, way in enumerate(spec.support, 1) for position in way]
            masks = [stored_mask(source, position, spec.shown, n, segmenter.inputs) for position, n in shown]
            fitted = segmenter.fit(photos, masks, [n for _, n in shown])
            for t, position in enumerate(spec.query):
                found = fitted.segment(source.image(position)).mask
                name = file_name(spec.index, t, len(spec.query))
                Image.fromarray(found).save(out / "masks" / "original" / name)
                for side in squares:
                    resized: np.ndarray = resize_mask(found, side, side)
                    Image.fromarray(resized).save(out / "masks" / str(side) / name)
            progress.update(1)


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
