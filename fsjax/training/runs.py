"""A run's folder: its configuration, what it found out, and the variables of its latest checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fsjax.config import Found
from fsjax.errors import InputError
from fsjax.models.method import Trainable
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
    """

    folder: Path
    config: ConfigDict
    found: Found
    step: int

    @classmethod
    def open(cls, folder: str | Path, step: int | None = None) -> "Run":
        """Opens a run.

        Args:
          folder: of the run.
          step: of the checkpoint; the latest by default.

        Raises:
          InputError: where there is none, or its configuration cannot be read.
        """
        with Checkpoints(folder, step=step) as checkpoints:
            config, found = checkpoints.stored()
            return cls(Path(folder), config, found, checkpoints.chosen())

    def variables(self, method: Trainable) -> Variables:
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
        if self.step < steps:
            raise InputError(
                f"{self.folder} stopped at step {self.step} of {steps}: run its training to the end before "
                "another takes its backbone."
            )
        if self.found.get("backbone_sha256"):
            return self.kept({"backbone": like})["backbone"]
        with Checkpoints(self.folder, step=self.step) as checkpoints:
            return checkpoints.variables({"backbone": like, "head": {}})["backbone"]
