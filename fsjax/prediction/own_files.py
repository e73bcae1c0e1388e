"""A folder in which nothing is replaced but what the same program wrote there earlier.

Every file is listed with its sha256 just before it is written, so that a process which is killed leaves none
unlisted. What is not listed, or was changed since, is the user's and stays as it is.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fsjax.errors import InputError
from fsjax.files import claimed, make_writable, replacing, sha256_of

LIST = ".written"
"""What predict.py calls its list."""

_CLAIM = ".claimed"

_TEMPORARY = re.compile(r"\.(.+)\.\d+\.[0-9a-f]{8}")
"""What `fsjax.files.replacing` calls files that are not whole yet."""


@dataclass(frozen=True)
class OwnFiles:
    """The files that a program writes to its folder.

    Attributes:
      folder: it.
      listed: the name of the list of these files.
    """

    folder: Path
    listed: str = LIST
    _written: set[str] = field(default_factory=set)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all.

        Args:
          name: of it, below the folder; folders in it are parted by /.
          content: of it.

        Raises:
          InputError: a file of the user's is in its place.
          OSError: the disk refuses.
        """
        path = self.folder / name
        if os.path.lexists(path):
            raise InputError(
                f"{path} is there, and this program did not write it: move it, or name a new folder."
            )
        line = json.dumps([name, hashlib.sha256(content).hexdigest()])
        try:
            with (self.folder / self.listed).open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")  # whatever the line before it was cut to by a full disk
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:  # where room is lacking, it names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        self._written.add(name)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files, those of them that were written since the folder was `emptied`."""
        for name in self._written.intersection(names):
            (self.folder / name).unlink(missing_ok=True)
            self._written.remove(name)


def check_free(folder: str | Path, listed: str = LIST) -> dict[str, str]:
    """Makes sure that a program may write to a folder.

    Args:
      folder: it.
      listed: the name of the program's list in it.

    Returns:
      The sha256 of each file that it wrote earlier by its name, whether it is still there or not.

    Raises:
      InputError: it is a file, holds files and none that the program wrote, or one of these was changed.
    """
    place = Path(folder)
    written = _earlier(place, listed)
    for name, sha256 in written.items():
        path = place / name
        if os.path.lexists(path) and not _is_file_of(path, sha256):
            raise InputError(
                f"{path} was changed since this program wrote it: move it, or name a new folder."
            )
    return written


@contextmanager
def emptied(folder: str | Path, listed: str = LIST) -> Iterator[OwnFiles]:
    """Yields a folder without what a program wrote there earlier; no other process writes there meanwhile.

    Args:
      folder: new, empty, or written to by the program earlier.
      listed: the name of the program's list in it.

    Raises:
      InputError: as `check_free`, or it cannot be written to, or another process is writing there.
    """
    place = Path(folder)
    _earlier(place, listed)  # nothing is made in other people's folders
    make_writable(place)
    with claimed(place):
        _remove(place, check_free(place, listed))
        (place / listed).write_bytes(b"")
        yield OwnFiles(place, listed)


def _earlier(place: Path, listed: str) -> dict[str, str]:
    """Returns what `check_free` does, without looking into files that were written.

    Raises:
      InputError: it is a file, or holds files and none that the program wrote.
    """
    if not place.is_dir():
        if os.path.lexists(place):
            raise InputError(f"{place} is no folder: name a new one.")
        return {}
    written = _written(place / listed)
    if not written and any(path.name not in (listed, _CLAIM) for path in place.iterdir()):
        raise InputError(f"{place} holds other files: name a new folder.")
    return written


def _remove(place: Path, names: Iterable[str]) -> None:
    """Removes files, what was to become them, and the folders that are empty then."""
    paths = {place / name for name in names}
    for path in paths:
        path.unlink(missing_ok=True)
    for parent in {path.parent for path in paths if path.parent.is_dir()}:
        for path in parent.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match and parent / match[1] in paths:
                path.unlink()
    inside = {above for path in paths for above in path.parents if place in above.parents}
    for parent in sorted(inside, key=lambda path: -len(path.parts)):
        with suppress(OSError):  # it holds files of the user's
            parent.rmdir()


def _written(file: Path) -> dict[str, str]:
    """Returns the sha256 of files in a list, by their names."""
    written = {}
    with suppress(FileNotFoundError):
        for line in file.read_bytes().splitlines():
            with suppress(ValueError, TypeError):  # it was cut short, and its file never written
                name, sha256 = json.loads(line)
                path = PurePosixPath(name)
                if path.parts and not path.is_absolute() and ".." not in path.parts:
                    written[str(path)] = sha256
    return written


def _is_file_of(path: Path, sha256: str) -> bool:
    return not path.is_symlink() and path.is_file() and sha256_of(path) == sha256
