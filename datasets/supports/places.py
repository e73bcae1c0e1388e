"""What a user names: a folder, a glob pattern, or a list of files with commas between them."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.folders import pairs
from fsjax.data.pictures import UNREAD
from fsjax.errors import InputError


class Place(NamedTuple):
    """What a user names.

    Attributes:
        folder: if it is one; else None.
        files: otherwise, in the order of their naming, those of a pattern in the order of names.
        named: those that are named one by one.
    """

    folder: Path | None
    files: tuple[Path, ...] = ()
    named: frozenset[Path] = frozenset()


def place_of(text: str, what: str) -> Place:
    """Returns what a user names.

    Args:
        text: a folder, a file, a glob pattern (with ** for folders in folders), or files with commas between
            them; the name of something that exists is never taken for a pattern or a list.
        what: it is for, e.g. "--support".

    Raises:
        InputError: there is no such folder or file, no file fits the pattern, or a name is not in UTF-8.
    """
    if not text.strip() or "\0" in text:
        raise InputError(f"{what} is {text!r}: name a folder, or files.")
    whole = Path(text).expanduser()
    if os.path.isdir(whole):
        return Place(whole)
    if os.path.lexists(whole):
        return Place(None, (whole,), frozenset([whole]))
    parts = [part.strip() for part in text.split(",") if part.strip()]
    files: dict[Path, bool] = {}
    for part in parts:
        for path, is_named in _expanded(part, what, alone=len(parts) == 1):
            files[path] = files.get(path, False) or is_named
    return Place(None, tuple(files), frozenset(path for path, is_named in files.items() if is_named))


def all_below(folder: Path) -> list[Path]:
    """Returns the visible files of a folder and of those below it, pipes and the like included.

    Raises:
        InputError: a folder must not be read, or a name is not in UTF-8.
    """
    found = []
    for path in entries(folder):
        if path.is_dir():
            if not path.is_symlink():  # one could lead back up
                found += all_below(path)
        else:
            found.append(path)
    return found


def entries(folder: Path) -> list[Path]:
    """Returns what lies in a folder, in the order of names, but for hidden things.

    Raises:
        InputError: it must not be read, or a name is not in UTF-8.
    """
    try:
        return pairs.visible(folder)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({error.strerror}): give leave to read it, or name another folder."
        ) from error


def check_unread(paths: Sequence[Path]) -> None:
    """Makes sure that there are no photos among files that nothing here can read.

    Raises:
        InputError: there is one.
    """
    for path in paths:
        if path.suffix.lower() in UNREAD:
            raise InputError(f"{path} is of a kind that is not read: save it as JPEG, or leave it out.")


def _expanded(part: str, what: str, *, alone: bool) -> list[tuple[Path, bool]]:
    """Returns the files that a name or a pattern means, and whether it is a name."""
    path = Path(part).expanduser()
    if os.path.isdir(path):
        raise InputError(f"{what} has the folder {path} among files: name one folder alone, or its files.")
    if os.path.lexists(path):
        return [(path, True)]
    if glob.has_magic(part):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        found = [path for path in found if not path.is_dir() and "__MACOSX" not in path.parts]
        if found:
            pairs.check_utf8(found)
            return [(path, False) for path in found]
        raise InputError(f"{what} is {part!r}, which no file fits: mend the pattern.")
    kind = "neither a folder nor a file" if alone else "no file"
    raise InputError(f"There is {kind} {path}, which {what} names: mend the name.")
