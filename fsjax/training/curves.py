"""Curves of a run: JSON lines, which are the truth, and TensorBoard files beside them."""

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from fsjax.files import replacing


class Curves:
    """Appends a line a step to `workdir/metrics.jsonl`; a context manager.

    Opening drops the lines of steps after `start`, which a killed run wrote behind its last checkpoint, so
    that a resumed run's file is the file of a run that was never killed.

    Args:
      workdir: the run's folder.
      start: the step from which training goes on.
    """

    def __init__(self, workdir: str | Path, start: int):
        self._path = Path(workdir) / "metrics.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._keep_until(start)
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(Path(workdir) / "tensorboard"), purge_step=start + 1)
        self._waiting: list[dict[str, Any]] = []
        self.loss = math.nan  # of the last step that was written

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def _keep_until(self, start: int) -> None:
        kept = [line for line in read_metrics(self._path.parent) if line["step"] <= start]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def add(self, step: int, metrics: dict[str, jax.Array], **more: Any) -> None:
        """Keeps a step's metrics, stacked over devices, without waiting for them to be computed."""
        self._waiting.append({"step": step, **metrics, **more})

    def flush(self) -> None:
        """Writes the steps that were kept, once they are computed.

        Raises:
          FloatingPointError: when a loss is not finite.
        """
        for metrics in self._waiting:
            line = {name: _number(value) for name, value in metrics.items()}
            if not math.isfinite(line["loss"]):
                raise FloatingPointError(
                    f"The loss of step {line['step']} is {line['loss']}: "
                    "lower train.learning_rate and begin anew in another --workdir."
                )
            self._file.write(json.dumps(line) + "\n")
            for name in line.keys() - {"step"}:
                self._board.add_scalar(f"train/{name}", line[name], line["step"])
            self.loss = line["loss"]
        self._file.flush()
        self._waiting.clear()


def _number(value: Any) -> int | float:
    """Returns a step's number; a metric stacked over devices is the same on each."""
    return value if isinstance(value, int) else float(np.asarray(value).flat[0])


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl; a last line that was cut off is left out."""
    path = Path(workdir) / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
