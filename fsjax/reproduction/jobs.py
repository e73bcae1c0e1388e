"""What is run for the papers' tables: trainings and evaluations, each an ordinary command."""

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TRAIN, EVAL = "train.py", "eval.py"


@dataclass(frozen=True)
class Training:
    """A run of train.py, which evaluates what it trained under its configuration's own settings.

    Attributes:
      name: for people: "prnet pascal5i fold 0".
      config: the configuration, as --config has it.
      fold: that is held out.
      fields: "--config.FIELD=VALUE" each.
      ways: of an episode of its own evaluation.
      shots: likewise.
      backbone: the training whose backbone it takes over and freezes.
    """

    name: str
    config: str
    fields: tuple[str, ...] = ()
    fold: int = 0
    ways: int = 1
    shots: int = 1
    backbone: "Training | None" = None

    @property
    def pictures(self) -> tuple[str, ...]:
        """Files that are needed beside its results."""
        return ()

    @property
    def after(self) -> "Training | None":
        """What has to end before it begins."""
        return self.backbone

    def folder(self, workdir: Path) -> Path:
        """Returns the run's folder, in which its own evaluation is, too."""
        backbone = self.backbone.folder(Path()).name if self.backbone else ""
        return workdir / "runs" / _folder_name(self.name, self.config, self.fields, backbone)

    def argv(self, workdir: Path) -> list[str]:
        """Returns the command line behind `python`, in the clone's folder."""
        weights = [f"--config.model.weights={self.backbone.folder(workdir)}"] if self.backbone else []
        arguments = [f"--config={self.config}", f"--workdir={self.folder(workdir)}"]
        return [TRAIN, *arguments, *self.fields, *weights]


@dataclass(frozen=True)
class Evaluation:
    """A run of eval.py on what a training left.

    Attributes:
      name: for people: "PRNet PASCAL-5i fold 0, 5-shot".
      training: of what is evaluated.
      fields: in which it departs from the training's own evaluation; one without any is that.
      pictures: names of files that it leaves beside its results.
    """

    name: str
    training: Training
    fields: tuple[str, ...]
    pictures: tuple[str, ...] = ()

    @property
    def after(self) -> Training:
        """What has to end before it begins."""
        return self.training

    def folder(self, workdir: Path) -> Path:
        """Returns the folder of its results."""
        run = self.training.folder(workdir).name
        return workdir / "evaluations" / _folder_name(self.name, run, self.fields)

    def argv(self, workdir: Path) -> list[str]:
        """Returns the command line behind `python`."""
        folders = [f"--workdir={self.training.folder(workdir)}", f"--out={self.folder(workdir)}"]
        return [EVAL, *folders, *self.fields]


@dataclass(frozen=True)
class Untrained:
    """A run of eval.py on pretrained weights as they are.

    Attributes:
      name: for people: "PRNet dinov2-small COCO-20i fold 0, 1-shot".
      config: the configuration, as --config has it.
      fields: "--config.FIELD=VALUE" each.
      fold: that is tested.
    """

    name: str
    config: str
    fields: tuple[str, ...]
    fold: int = 0

    @property
    def pictures(self) -> tuple[str, ...]:
        """Files that are needed beside its results."""
        return ()

    @property
    def after(self) -> None:
        """What has to end before it begins: nothing."""
        return None

    def folder(self, workdir: Path) -> Path:
        """Returns the folder of its results."""
        return workdir / "evaluations" / _folder_name(self.name, self.config, self.fields)

    def argv(self, workdir: Path) -> list[str]:
        """Returns the command line behind `python`."""
        return [EVAL, f"--config={self.config}", f"--out={self.folder(workdir)}", *self.fields]


Job = Training | Evaluation | Untrained


def evaluated(
    training: Training,
    name: str,
    *fields: str,
    ways: int | None = None,
    shots: int | None = None,
    pictures: tuple[str, ...] = (),
) -> Job:
    """Returns what evaluates a training: itself, where nothing differs from its own evaluation.

    Args:
      training: it.
      name: of the evaluation.
      fields: "--config.FIELD=VALUE" each.
      ways: of an episode; the training's by default.
      shots: likewise.
      pictures: names of files that are needed beside the results.
    """
    asked = (("ways", ways, training.ways), ("shots", shots, training.shots))
    sizes = [f"--config.eval.{part}={value}" for part, value, own in asked if value not in (None, own)]
    changed = (*sizes, *fields)
    return Evaluation(f"{training.name}, {name}", training, changed, pictures) if changed else training


def command(job: Job, workdir: Path) -> str:
    """Returns the command that repeats a job, for a shell."""
    return shlex.join(["python", *job.argv(workdir)])


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Returns jobs and all that they come after, each once, trainings before what needs them."""
    ordered: dict[Job, None] = {}
    for job in jobs:
        chain: list[Job] = [job]
        while (before := chain[-1].after) is not None:
            chain.append(before)
        ordered |= dict.fromkeys(reversed(chain))
    return list(ordered)


def _folder_name(name: str, *decisive: object) -> str:
    """Returns a readable name that differs wherever what decides the results does."""
    digest = hashlib.sha256(repr(decisive).encode()).hexdigest()[:8]
    return f"{'_'.join(name.replace('/', ' ').replace(',', '').split())}_{digest}"
