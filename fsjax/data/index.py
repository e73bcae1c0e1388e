"""The class index of a split: how many pixels of which class each photo shows, so that none is decoded."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from fsjax.data.source import LISTED, SHRINKS, Source
from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.progress import Progress

MinArea = int | Literal["oslsm"]
"""Pixels of its original mask from which on an image counts for a class, or OSLSM's rule."""


@dataclass(frozen=True)
class ClassIndex:
    """What the sampler knows of every image of a split."""

    ids: Sequence[str]
    areas: Int32[np.ndarray, "n C"]  # pixels of class ids 1..C in the original labels
    flags: UInt8[np.ndarray, "n C"]  # see `Source.eligible`
    sizes: Int32[np.ndarray, "n 2"]  # height and width in pixels

    def counts(self, min_area: MinArea) -> Bool[np.ndarray, "n C"]:
        """Returns which images count for which class: those that are listed and show enough of it."""
        listed = self.flags & LISTED > 0
        if min_area == "oslsm":
            return listed & (self.flags & SHRINKS > 0) & (self.areas > 0)
        return listed & (self.areas >= max(min_area, 1))


def build_index(source: Source) -> ClassIndex:
    """Returns the class index of a source, kept as an .npz file in its `cache_dir` from then on.

    A file that is damaged, or of other data, is made anew.
    """
    path = Path(source.cache_dir) / f"class_index_{source.split}.npz"
    digest = _digest(source)
    kept = _read(path, digest, source.ids, len(source.class_names))
    if kept is not None:
        return kept
    index = _scan(source)
    with contextlib.suppress(OSError, InputError):  # a read-only data set is scanned anew each time
        _write(path, digest, index)
    return index


def _digest(source: Source) -> str:
    """Returns the sha256 of what the index depends on, hashed a line at a time."""
    sha256 = hashlib.sha256()
    for line in (source.name, source.version, *source.class_names, *source.ids):
        sha256.update(f"{line}\n".encode())
    return sha256.hexdigest()


def _scan(source: Source) -> ClassIndex:
    n, C = len(source.ids), len(source.class_names)
    areas, flags = np.empty((n, C), np.int32), np.empty((n, C), np.uint8)
    sizes = np.empty((n, 2), np.int32)
    with Progress(f"class index of {source.name} {source.split}", n, "photo") as progress:
        for position in range(n):
            areas[position] = source.areas(position)
            flags[position] = source.eligible(position)
            sizes[position] = source.size(position)
            progress.update()
    return ClassIndex(source.ids, areas, flags, sizes)


def _read(path: Path, digest: str, ids: Sequence[str], C: int) -> ClassIndex | None:
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with path.open("rb") as file, np.load(file) as kept:
            if kept["digest"].item() != digest:
                return None
            index = ClassIndex(ids, kept["areas"], kept["flags"], kept["sizes"])
    except Exception:  # there is hardly one that zipfile does not raise of a damaged archive
        return None
    arrays, n = (index.areas, index.flags, index.sizes), len(ids)
    shapes, dtypes = ((n, C), (n, C), (n, 2)), (np.int32, np.uint8, np.int32)
    fits = all(a.shape == s and a.dtype == d for a, s, d in zip(arrays, shapes, dtypes, strict=True))
    return index if fits else None


def _write(path: Path, digest: str, index: ClassIndex) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, digest=np.array(digest), areas=index.areas, flags=index.flags, sizes=index.sizes
        )
