"""SBD, the Semantic Boundaries Dataset: masks of 11,355 of VOC's photos, as MATLAB's files."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from jaxtyping import UInt8

from datasets import archives
from fsjax.errors import InputError
from fsjax.progress import Progress

ARCHIVE = "benchmark.tgz"
FOLDER = "benchmark_RELEASE/dataset"
PARTS = {"train": 8_498, "val": 2_857}
"""The photos that each of SBD's two lists is known to have."""

PHOTOS = sum(PARTS.values())

_LARGEST = 2**20  # bytes of one .mat; they have some ten thousand
_WANTED = re.compile(r"(?:^|.*/)dataset/((?:train|val)\.txt|cls/[^/]+\.mat)")


@dataclass(frozen=True)
class Sbd:
    """What SBD holds.

    Attributes:
        place: the archive or the folder.
        lists: the ids of its own lists, "train" and "val".
        masks: of each id the bytes of its .mat; all together some ninety million.
    """

    place: Path
    lists: Mapping[str, Sequence[str]]
    masks: Mapping[str, bytes]


def find(folder: Path) -> Sbd | None:
    """Reads SBD's benchmark.tgz, from end to end, or the unpacked folder benchmark_RELEASE, if it is there.

    Raises:
        InputError: it is damaged, cut short, or another archive.
    """
    if (folder / FOLDER).is_dir():
        return _read(folder / FOLDER, _unpacked(folder / FOLDER))
    if (folder / ARCHIVE).exists():
        return _read(folder / ARCHIVE, _packed(folder / ARCHIVE))
    return None


def is_there(folder: Path) -> bool:
    """Says whether a folder has SBD, packed or unpacked."""
    return (folder / FOLDER).is_dir() or (folder / ARCHIVE).exists()


def labels(mat: bytes, where: str) -> UInt8[np.ndarray, "h w"]:
    """Returns the class ids that a .mat of SBD's folder cls holds: 0 background, 1 to 20.

    Raises:
        InputError: it is damaged, or another file.
    """
    try:
        found = scipy.io.loadmat(io.BytesIO(mat), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # MATLAB's format has many ways to be damaged, and SciPy as many errors
        raise InputError(f"{where} is damaged, or none of SBD's masks: fetch the archive again.") from error
    if found.ndim != 2 or found.dtype != np.uint8:
        raise InputError(f"{where} holds no mask of class ids: fetch SBD's {ARCHIVE} again.")
    return found


def _read(place: Path, files: Iterator[tuple[str, bytes]]) -> Sbd:
    lists: dict[str, list[str]] = {}
    masks: dict[str, bytes] = {}
    with Progress(f"reading {place}", PHOTOS, "mask") as progress:
        for name, content in files:
            if len(content) > _LARGEST:
                raise InputError(f"{name} in {place} is too large for one of SBD's: fetch it again.")
            if name.endswith(".mat"):
                masks[name.removesuffix(".mat")] = content
                progress.update()
            else:
                lists[name.removesuffix(".txt")] = content.decode("ascii", "replace").split()
    for part in PARTS:
        if part not in lists:
            raise InputError(f"{place} has no dataset/{part}.txt: it was cut short, or is not SBD's.")
        for id in lists[part]:
            if id not in masks:
                raise InputError(f"{place} has no mask of {id}, which it lists: it was cut short.")
    return Sbd(place, lists, masks)


def _packed(archive: Path) -> Iterator[tuple[str, bytes]]:
    for name, content in archives.stream(archive, lambda name: _WANTED.fullmatch(name) is not None):
        yield name.rpartition("/")[2], content


def _unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in (*folder.glob("*.txt"), *sorted(folder.glob("cls/*.mat"))):
        yield path.name, archives.read(folder, path.relative_to(folder).as_posix())
