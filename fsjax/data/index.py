"""The class index of a split: how many pixels of which class each photo shows, so that none is decoded."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.progress import Progress


@dataclass(frozen=True)
class ClassIndex:
    """What the sampler knows of every image of a split."""

    ids: Sequence[str]
    areas: Int32[np.ndarray, "n C"]  # pixels of class ids 1..C in the original labels
    sizes: Int32[np.ndarray, "n 2"]  # height and width in pixels


def build_index(source: Source) -> ClassIndex:
    """Returns the class index of a source, kept as an .npz file in its `cache_dir` from then on.

    A file that is damaged, or of other data, is made anew.
    """
    path = Path(source.cache_dir) / f"class_index_{source.split}.npz"
    digest = _digest(source)
    kept = _read(path, digest, len(source.ids), len(source.class_names))
    if kept is not None:
        return ClassIndex(source.ids, *kept)
    areas, sizes = _scan(source)
    with contextlib.suppress(OSError, InputError):  # a read-only data set is scanned anew each time
        _write(path, digest, areas, sizes)
    return ClassIndex(source.ids, areas, sizes)


def eligible(index: ClassIndex, class_id: int, min_area: int = 1) -> Int[np.ndarray, " m"]:
    """Returns the positions of the m images that show at least `min_area` pixels of a class."""
    return np.flatnonzero(index.areas[:, class_id - 1] >= max(min_area, 1))


def _digest(source: Source) -> str:
    """Returns the sha256 of what the index depends on, hashed a line at a time."""
    sha256 = hashlib.sha256()
    for line in (source.name, source.version, *source.class_names, *source.ids):
        sha256.update(f"{line}\n".encode())
    return sha256.hexdigest()


def _scan(source: Source) -> tuple[np.ndarray, np.ndarray]:
    n, C = len(source.ids), len(source.class_names)
    areas, sizes = np.empty((n, C), np.int32), np.empty((n, 2), np.int32)
    with Progress(f"class index of {source.name} {source.split}", n, "photo") as progress:
        for position in range(n):
            areas[position] = source.areas(position)
            sizes[position] = source.size(position)
            progress.update()
    return areas, sizes


def _read(path: Path, digest: str, n: int, C: int) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with path.open("rb") as file, np.load(file) as kept:
            if kept["digest"].item() != digest:
                return None
            areas, sizes = kept["areas"], kept["sizes"]
    except Exception:  # there is hardly one that zipfile does not raise of a damaged archive
        return None
    fits = (areas.shape, sizes.shape) == ((n, C), (n, 2)) and areas.dtype == sizes.dtype == np.int32
    return (areas, sizes) if fits else None


def _write(path: Path, digest: str, areas: np.ndarray, sizes: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, digest=np.array(digest), areas=areas, sizes=sizes)
