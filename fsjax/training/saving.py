"""When a training saves: after so many steps or minutes, whichever comes first."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from fsjax import distributed


@dataclass
class Saving:
    """Says of each step whether its checkpoint is saved, the same in all processes of a run.

    Attributes:
      every: steps between two checkpoints.
      minutes: after which there is one anyway; 0 for never. The clock is process 0's, and is looked at when a
        line of the log makes the host wait for the devices in any case.
      log_every: steps between two lines of the log.
      steps: that have a checkpoint besides, the last one among them.
      since: when there was one last, in seconds of the monotonic clock.
    """

    every: int
    minutes: int | float
    log_every: int
    steps: Collection[int]
    since: float = field(default_factory=lambda: time.monotonic())

    def due(self, step: int) -> bool:
        """Says whether the checkpoint of a step is saved; each process asks once a step, in order."""
        return step % self.every == 0 or step in self.steps or self._late(step)

    def saved(self) -> None:
        """Begins to count the minutes anew."""
        self.since = time.monotonic()

    def _late(self, step: int) -> bool:
        if not self.minutes or step % self.log_every:
            return False
        return bool(distributed.from_main(time.monotonic() - self.since >= 60 * self.minutes))
