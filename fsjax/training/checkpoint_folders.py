"""The folders of a run's checkpoints: which there are, which stay, and what killed programs leave of them."""

import os
import shutil
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsjax.errors import InputError

DAMAGED = "damaged_"
"""Begins the name of a checkpoint that was put aside."""


def steps(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder; what is empty is left of one, or becomes one."""
    return sorted(int(path.name) for path in _numbered(folder) if any(path.iterdir()))


def check_ordinary(folder: Path) -> None:
    """Makes sure that there are only files and folders in a folder; whoever reads a pipe waits for ever.

    What a training that goes on deletes meanwhile does not matter.

    Raises:
      InputError: naming what else there is.
    """
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(path.stat().st_mode):
                    raise InputError(
                        f"{path} is no ordinary file: delete it, and start the same command again."
                    )


def clear(folder: Path, newest: int) -> None:
    """Removes what killed programs have left, and puts aside what hides the newest sound checkpoint.

    Args:
      folder: of the checkpoints.
      newest: the step of the newest sound one, 0 where there is none.
    """
    for path in folder.glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in _numbered(folder):
        if not any(path.iterdir()):
            path.rmdir()
        elif int(path.name) > newest:
            aside = path.with_name(f"{DAMAGED}{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)


def _numbered(folder: Path) -> list[Path]:
    there = folder.iterdir() if folder.is_dir() else ()
    return [path for path in there if path.name.isdecimal() and path.is_dir()]


@dataclass
class Kept:
    """A policy of Orbax's: which checkpoints stay, as the last one that was saved would have it."""

    steps: Collection[int] = ()
    last: int = 1

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Says of each checkpoint whether it stays."""
        latest = sorted(checkpoint.step for checkpoint in checkpoints)[-self.last :]
        return [checkpoint.step in {*self.steps, *latest} for checkpoint in checkpoints]
