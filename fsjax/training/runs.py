"""A run's folder: its configuration, what it found out, and the variables of the checkpoint that counts."""

from dataclasses import dataclass
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fsjax.config import Found
from fsjax.errors import InputError
from fsjax.models.method import Networked
from fsjax.models.variables import Variables
from fsjax.training import frozen
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.step import split


@dataclass(frozen=True)
class Run:
    """What a run's checkpoint says.

    Attributes:
      folder: of the run.
      config: it was made with.
      found: what it found out; see `fsjax.config.Found`.
      step: of the checkpoint.
      named: whether somebody named the step.
    """

    folder: Path
    config: ConfigDict
    found: Found
    step: int
    named: bool = False

    @property
    def selected(self) -> bool:
        """Whether the checkpoint is the best of those that the run measured (`train.select`)."""
        return not self.named and "selection" in self.found

    @classmethod
    def open(cls, folder: str | Path, step: int | None = None) -> "Run":
        """Opens a run.

        Args:
          folder: of the run.
          step: of the checkpoint; by default the best so far where the run selects one, else the latest.

        Raises:
          InputError: where there is none, or its configuration cannot be read.
        """
        with Checkpoints(folder, step=step) as checkpoints:
            config, found = checkpoints.stored()
            reached = checkpoints.chosen()
        best = found["selection"]["step"] if step is None and "selection" in found else reached
        return cls(Path(folder), config, found, best, named=step is not None)

    def variables(self, method: Networked) -> Variables:
        """Returns the variables of the checkpoint, those that are never trained included.

        Raises:
          InputError: for another architecture, or values that are not finite.
        """
        learned, fixed = split(method, jax.eval_shape(method.init, jax.random.key(0)))
        with Checkpoints(self.folder, step=self.step) as checkpoints:
            return {**self.kept(fixed), **checkpoints.variables(learned)}

    def kept(self, like: Variables) -> Variables:
        """Returns the variables that a run keeps beside its checkpoints.

        Args:
          like: those that `split` sets apart, or their shapes; where there are none, none are returned.

        Raises:
          InputError: as `frozen.restore`.
        """
        if not like:
            return {}
        sha256 = self.found.get("backbone_sha256", "")
        return {"backbone": frozen.restore(self.folder, like["backbone"], sha256)}

    def backbone(self, like: Variables) -> Variables:
        """Returns the backbone that the run trained, or kept.

        Args:
          like: the backbone's variables, or their shapes.

        Raises:
          InputError: the training has not ended, or the backbone is another one.
        """
        steps = self.found["steps"]
        with Checkpoints(self.folder, step=self.step) as checkpoints:
            reached = checkpoints.latest_step or 0
            if reached < steps:
                raise InputError(
                    f"{self.folder} stopped at step {reached} of {steps}: run its training to the end before "
                    "another takes its backbone."
                )
            if self.found.get("backbone_sha256"):
                return self.kept({"backbone": like})["backbone"]
            return checkpoints.variables({"backbone": like, "head": {}})["backbone"]
