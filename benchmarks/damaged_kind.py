"""What a fuzzing knows of a kind of file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np


class Kind(NamedTuple):
    """A kind of file, made in a folder.

    Attributes:
        files: that are damaged, one at a time.
        read: returns a digest of what is read.
        names: what a refusal names one of, beside the file's own path.
        sealed: whether a digest lies beside what is read, so that no other result is excused.
        earlier: a digest that is as good, where the reader says what it skipped.
    """

    files: list[Path]
    read: Callable[[], str]
    names: list[str]
    sealed: bool = True
    earlier: str = ""


def digest(*values: Any) -> str:
    """Returns a digest of arrays and whatever else has a repr."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(values):
        found.update(leaf.tobytes() if isinstance(leaf, np.ndarray) else repr(leaf).encode())
    return found.hexdigest()
