"""What the reader of a layout has found in a folder, and what all layouts share."""

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import archives
from datasets.plans import Count
from datasets.records import Labelled
from fsjax.errors import InputError
from fsjax.progress import Progress


@dataclass(frozen=True)
class Found:
    """The photos of a folder that show something.

    Attributes:
        title: what the data are called.
        class_names: the name of each class id, from 1 on.
        ids: of the photos.
        tasks: of the photos, see `datasets.plans.Plan`.
        read: see there.
        shown: the class ids that each photo shows.
        content: a digest of all photos and labels.
        lists: the files with lists of photos, by the lists' names.
        left_out: the ids of photos that show nothing.
        counts: what is special to the layout.
    """

    title: str
    class_names: Sequence[str]
    ids: Sequence[str]
    tasks: Sequence[Any]
    read: Callable[[Any], Labelled]
    shown: Sequence[Sequence[int]]
    content: str
    lists: Mapping[str, Path]
    left_out: Collection[str] = ()
    counts: Sequence[Count] = ()


def composed(name: str) -> str:
    """Returns a name in Unicode's composed form: some systems' folders hold "é" as two characters."""
    return unicodedata.normalize("NFC", name)


def check_names(place: Path | str, names: Sequence[str]) -> None:
    """Makes sure that names of classes are told apart, also by systems that do not heed the case.

    Raises:
        InputError: two are not; `place` is named.
    """
    first: dict[str, str] = {}
    for name in names:
        key = composed(name).casefold()
        if first.get(key) == name:
            raise InputError(f"{place} has two classes called {name!r}: join them, or rename one.")
        if key in first:
            raise InputError(
                f"{place} has the classes {first[key]!r} and {name!r}, which some systems take for one: "
                "join them, or rename one."
            )
        first[key] = name


def sha256_of(files: Sequence[tuple[Path, str]], label: str) -> str:
    """Returns a digest of files, reading them.

    Args:
        files: each a folder, or zip, and a name in it.
        label: what is done, for the progress.

    Raises:
        InputError: one of them is missing, no ordinary file, or far too large.
    """
    sha256 = hashlib.sha256()
    with Progress(label, len(files), "file") as progress:
        for place, name in files:
            sha256.update(hashlib.sha256(archives.read(place, name)).digest())
            progress.update()
    return sha256.hexdigest()


def list_files(folder: Path, names: Sequence[str] = ("train", "val", "test")) -> dict[str, Path]:
    """Returns the files NAME.txt of a folder by their names."""
    return {name: folder / f"{name}.txt" for name in names if (folder / f"{name}.txt").exists()}
