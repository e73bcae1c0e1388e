"""Small texts that people write beside their photos: names of classes, lists of photos."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from datasets import archives
from datasets.folders.found import composed
from datasets.folders.pairs import MASK, SUFFIXES
from fsjax.errors import InputError

_SHOWN = 100
"""Characters of a line that a sentence shows."""


def lines_of(path: Path) -> list[str]:
    """Returns a text's lines without the spaces around them and without empty ones at its end.

    Raises:
        InputError: it is no ordinary file, or no text in UTF-8.
    """
    return [composed(line.strip()) for line in archives.text_of(path).rstrip().splitlines()]


def lists_of(
    files: Mapping[str, Path], every: Sequence[str], left_out: Collection[str] = ()
) -> dict[str, list[str]]:
    """Returns lists of photos by name.

    Args:
        files: a text by each list's name; a line holds a photo's id, or its file, in whatever folder; the
            mask's file may follow after a space, and after a photo's file anything.
        every: the ids of all photos.
        left_out: ids that may stand in a list, and are not in `every`.

    Raises:
        InputError: a file is no text or names no photo, or a line names none that there is.
    """
    known = {*every, *left_out}
    lists = {}
    for name, path in files.items():
        ids = dict.fromkeys(_id(line, known, path) for line in lines_of(path) if line)
        lists[name] = [id for id in ids if id not in left_out]
        if not lists[name]:
            raise InputError(f"The list {path} names no photo: write a photo's name on each line.")
    return lists


def _id(line: str, known: Collection[str], path: Path) -> str:
    """Returns the id that a line of a list means."""
    first, _, rest = line.partition(" ")
    names_two = _stem(first) != first or _file(rest).removesuffix(MASK) == _file(first)
    for text in (line, first) if names_two else (line,):
        name = text.replace("\\", "/").removeprefix("./").lstrip("/")
        stem = _stem(name)
        for id in (name, stem, stem.partition("/")[2], stem.replace("/images/", "/")):
            if id in known:
                _check_alone(id, rest if text != line else "", path)
                return id
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
    raise InputError(f"The list {path} names {shown!r}, and there is no such photo with a mask: take it out.")


def _check_alone(id: str, rest: str, path: Path) -> None:
    """Makes sure that no other photo follows on the same line."""
    for other in rest.split():
        if _stem(other) != other and _file(other).removesuffix(MASK) != id.rpartition("/")[2]:
            raise InputError(
                f"The list {path} has {id!r} and {other!r} on one line: write each on a line of its own."
            )


def _stem(name: str) -> str:
    """Returns a name without the suffix of a picture."""
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in SUFFIXES else name


def _file(path: str) -> str:
    """Returns a file's name without folders and suffix."""
    return _stem(path.strip().replace("\\", "/").rpartition("/")[2])
