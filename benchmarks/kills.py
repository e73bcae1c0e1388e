"""Kills trainings, evaluations, builds and ablations at random moments, and compares what is left in the end.

    python -m benchmarks.kills
    python -m benchmarks.kills --what=training,build --kills=3 --seed=1

Each is started again by the same command until it was killed so often (kill -9, and SIGTERM for training and
evaluation), then runs to its end, and must have left what an undisturbed one leaves: every file, every bit,
`seconds` aside. A training's disk is filled in the same way, which only root can do. The exit code is 1
where something differs. Linux only, and long: a start takes some 20 seconds of a core, and each case has more
than ten of them.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.same_results import differing
from benchmarks.surviving import Command, Start, Survival, survive, survive_full_disk

CLASSES = ("disc", "bar", "cross", "ring")
SIDE = 48  # pixels
FEW, MANY = 6, 150
"""Photos of each class: to train on, and to be built again and again."""

SMALL = (
    "--config.data.name=few",
    "--config.data.split=drawn",
    "--config.data.fold_count=2",
    "--config.data.min_area=none",
    "--config.data.drop_novel_images=false",
    "--config.model.backbone=small",
    "--config.model.backbone_options.widths=4,4,8",
    "--config.batch_size=2",
    "--config.train.size=32",
    "--config.train.queries=1",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=10",
    "--config.train.warmup=2",
    "--config.eval.size=32",
    "--config.eval.runs=1",
    "--config.eval.batch_size=2",
    "--config.eval.pictures=1",
)
PRNET = ("--config.train.ways=2", "--config.eval.rows=fusion0,fusion2")
DPNET = (
    "--config.model.dpnet.width=6",
    "--config.model.dpnet.dis_hidden=5",
    "--config.model.dpnet.pim_hidden=4",
    "--config.model.dpnet.rates=1",
    "--config.train.reference_batch_size=2",
)


def draw_photos(folder: Path, each: int) -> None:
    """Draws photos of each class, with masks beside them, in class folders."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for photo in range(each):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            top, left = rng.integers(2, 20, 2)
            mask[top : top + 24, left : left + 8 + 5 * number] = 255
            pixels = rng.integers(0, 90, (SIDE, SIDE, 3), np.uint8) + (mask > 0)[..., None] * np.uint8(
                40 * number
            )
            Image.fromarray(pixels).save(folder / name / f"{photo}.jpg")
            Image.fromarray(mask).save(folder / name / f"{photo}.png")


class Cases:
    """The commands, on photos and runs that are made when the first of them needs them.

    Attributes:
        folder: where all of it is.
        steps: of a training.
        episodes: of an evaluation.
    """

    def __init__(self, folder: Path, steps: int = 300, episodes: int = 200):
        self.folder, self.steps, self.episodes = folder, steps, episodes

    def build(self, photos: str = "many") -> Command:
        """Returns the command that builds a data set."""
        if not (self.folder / photos).exists():
            draw_photos(self.folder / photos, MANY if photos == "many" else FEW)
        place = f"--manual_dir={self.folder / photos}"
        return ("-m", "datasets.prepare", "--dataset=folders", place, f"--name={photos}", "--tfds_dir={out}")

    def training(self) -> Command:
        """Returns the command that trains and evaluates PRNet."""
        return ("train.py", "--config=configs/prnet_shapes_quick.py", "--workdir={out}", *self._fields(PRNET))

    def evaluation(self) -> Command:
        """Returns the command that evaluates such a run on other episodes."""
        other = ("--config.eval.seed=7", f"--config.eval.episodes={self.episodes}")
        return ("eval.py", f"--workdir={self._trained()}", "--out={out}", *other)

    def ablation(self) -> Command:
        """Returns the command that trains and evaluates DPNet with and without a part, over such a run."""
        weights = f"--config.model.weights={self._trained()}"
        fields = self._fields(DPNET)
        return ("ablate.py", "--config=configs/dpnet_shapes.py", "--out={out}", weights, *fields)

    def _fields(self, fields: Sequence[str]) -> Command:
        data = self.folder / "data"
        if not data.exists():
            _run(self.build("few"), data)
        return (
            *SMALL,
            *fields,
            f"--config.data.tfds_dir={data}",
            f"--config.compilation_cache={self.folder / 'compiled'}",
            f"--config.train.steps={self.steps}",
            f"--config.eval.episodes={self.episodes // 5}",
        )

    def _trained(self) -> Path:
        run = self.folder / "trained"
        if not run.exists():
            _run(self.training(), run)
        return run


def _run(command: Command, out: Path) -> None:
    with Start(command, out) as start:
        if wrong := start.wrong_end(0):
            sys.exit(f"{' '.join(command)} fails: {wrong[0]}")


def tried(cases: Cases, kills: int, seed: int) -> dict[str, Callable[[], Survival]]:
    """Returns what can be tried, by name."""

    def trying(command: Callable[[], Command], by: signal.Signals = signal.SIGKILL, continues: bool = True):
        place = cases.folder / command.__name__
        place.mkdir(exist_ok=True)
        return lambda: survive(command(), place, differing, kills, seed, by=by, continues=continues)

    def filling() -> Survival:
        return survive_full_disk(cases.training(), cases.folder / "training", differing, kills, seed)

    return {
        "training": trying(cases.training),
        "evaluation": trying(cases.evaluation),
        "build": trying(cases.build, continues=False),
        "ablation": trying(cases.ablation),
        "training_sigterm": trying(cases.training, by=signal.SIGTERM),
        "evaluation_sigterm": trying(cases.evaluation, by=signal.SIGTERM),
        "training_full_disk": filling,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", default="", help="which of them, as build,training; by default all.")
    parser.add_argument("--kills", type=int, default=10, help="of each.")
    parser.add_argument("--seed", type=int, default=0, help="of the moments.")
    flags = parser.parse_args(argv)
    if flags.kills < 1:
        parser.error(f"--kills is {flags.kills}: give 1 or more.")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        cases = tried(Cases(Path(folder)), flags.kills, flags.seed)
        wanted = flags.what.split(",") if flags.what else list(cases)
        if unknown := set(wanted) - set(cases):
            parser.error(f"--what has {', '.join(sorted(unknown))}: give {', '.join(cases)}.")
        for name in wanted:
            try:
                found = cases[name]()
            except PermissionError as error:
                print(f"{name}: not tried, {error.strerror}.", flush=True)
                continue
            failed |= bool(found.wrong)
            print("\n".join(told(name, found)), flush=True)
    return int(failed)


def told(name: str, found: Survival) -> list[str]:
    """Returns the lines of a table about one of what was tried."""
    lines = [f"{name}: ended {len(found.moments)} times in {found.starts} starts"]
    lines.append(f"  after seconds   {' '.join(f'{moment:.1f}' for moment in found.moments)}")
    if any(found.reached):
        lines.append(f"  at checkpoints  {' '.join(step or '-' for step in found.reached)}")
    lines += [f"  WRONG: {words}" for words in found.wrong]
    return lines if found.wrong else [*lines, "  what is left is the same"]


if __name__ == "__main__":
    sys.exit(main())
