"""Photos to be segmented, by the names that what is written of them will have."""

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.folders.found import composed
from datasets.supports import places
from fsjax.data.pictures import SUFFIXES, UNREAD
from fsjax.errors import InputError

KINDS = "PNG, JPEG, WebP, TIFF, BMP, GIF or PPM"


class Query(NamedTuple):
    """A photo to be segmented.

    Attributes:
        path: of its file.
        name: unlike every other's, also where the case is not heeded: the path below the named folder
            without the suffix, which is kept where two photos differ in nothing else. Folders in it are
            parted by /.
    """

    path: Path
    name: str


def list_queries(place: str, *, leave_out: Path | None = None, masks: Collection[Path] = ()) -> list[Query]:
    """Returns photos in the order of their names, numbers in them by value; none is opened.

    Args:
        place: a folder, which is searched with all folders in it, a glob pattern, or files with commas
            between them. Hidden files are not seen; in a folder or by a pattern also what is no picture by
            its name.
        leave_out: a folder whose files are no queries, as where the answers go.
        masks: files that are no queries unless they are named one by one, as the masks of supports in the
            same folder.

    Raises:
        InputError: there is no such place, or no picture in it.
    """
    found = places.place_of(place, "--query")
    paths = [
        path
        for path in (found.files if found.folder is None else places.all_below(found.folder))
        if path in found.named or path.suffix.lower() in SUFFIXES + UNREAD
    ]
    known = set(map(os.path.realpath, masks))
    paths = [path for path in paths if path in found.named or os.path.realpath(path) not in known]
    if leave_out is not None and paths:
        apart = os.path.realpath(leave_out)  # links may lead there
        paths = [path for path in paths if not Path(os.path.realpath(path.parent)).is_relative_to(apart)]
        if not paths:
            raise InputError(f"All photos of {place} lie in {leave_out}, where the answers go: name another.")
    if not paths:
        raise InputError(f"There is no picture in {place}: name a folder with photos ({KINDS}), or files.")
    paths = sorted(paths, key=_by_numbers)
    return [Query(path, name) for path, name in zip(paths, names_of(paths, found.folder), strict=True)]


def names_of(paths: Sequence[Path], folder: Path | None) -> list[str]:
    """Returns the names of pictures in a folder, by default the one that all lie in; see `Query`."""
    whole = [os.path.abspath(path) for path in paths]  # without .., which would lead out of where they go
    above = os.path.abspath(folder) if folder else os.path.commonpath([os.path.dirname(w) for w in whole])
    below = [composed(Path(w).relative_to(above).as_posix()) for w in whole]
    stems = [name.removesuffix(path.suffix) for name, path in zip(below, paths, strict=True)]
    often = Counter(stem.casefold() for stem in stems)
    names = []
    taken: set[str] = set()
    for name, stem in zip(below, stems, strict=True):
        wanted = name if often[stem.casefold()] > 1 else stem
        names.append(wanted)
        number = 1
        while names[-1].casefold() in taken:
            number += 1
            names[-1] = f"{wanted}_{number}"
        taken.add(names[-1].casefold())
    return names


def _by_numbers(path: Path) -> list[tuple[bool, int, str]]:
    """Returns what sorts photo2 before photo10."""
    parts = re.split(r"(\d+)", composed(path.as_posix()).casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part]
