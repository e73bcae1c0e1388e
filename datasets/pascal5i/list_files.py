"""Lists of photos as the field publishes them: ids, paths, pairs of a photo and a class, files per fold."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from datasets import archives
from datasets.plans import Listed
from fsjax.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".mat")


def read(folder: Path, classes: int) -> dict[str, list[Listed]]:
    """Reads every list of a folder: NAME.txt is the list NAME, and so are NAME/fold0.txt, NAME/fold1.txt ...

    A line holds an id, a photo's path, a photo's path and its mask's, or an id, two underscores and the
    number of a class, which lists the photo for that class alone. The files of folds are one list together.

    Args:
        folder: of the lists.
        classes: how many there are.

    Raises:
        InputError: there is no list, or one is no text, empty, or has a line that is none of these.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: see --lists.")
    files = {path.stem: [path] for path in sorted(folder.glob("*.txt"))}
    for path in sorted(folder.glob("*/fold*.txt")):
        files.setdefault(path.parent.name, []).append(path)
    if not files:
        raise InputError(f"{folder} holds no list: put text files NAME.txt there, one for each list NAME.")
    return {name: _joined([line for path in paths for line in _lines(path, classes)], paths[0])
            for name, paths in files.items()}  # fmt: skip


def ids(text: str, where: str) -> list[str]:
    r"""Returns the ids of a list without classes, each once.

    Args:
        text: the list's.
        where: it lies, for sentences.

    Raises:
        InputError: a line holds several photos.

    >>> ids("2007_000032\n2007_000039\n2007_000032\n", "train.txt")
    ['2007_000032', '2007_000039']
    """
    lines = {number: line for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    for number, line in lines.items():
        _check_alone(line, f"Line {number} of the list {where}")
    return list(dict.fromkeys(_id(line.split()[0]) for line in lines.values()))


def size(photos: Sequence[Listed]) -> tuple[int, int | None]:
    """Returns the photos and the pairs of a list, None for a list that has its photos for all classes."""
    pairs = [listed[1] for listed in photos if not isinstance(listed, str)]
    return len(photos), sum(map(len, pairs)) if pairs else None


def photos_of(lists: Iterable[tuple[str, Sequence[Listed]]]) -> dict[str, str]:
    """Returns the id of every photo that is in some list, with the name of the first such list."""
    found: dict[str, str] = {}
    for name, photos in lists:
        for listed in photos:
            found.setdefault(listed if isinstance(listed, str) else listed[0], name)
    return found


def _lines(path: Path, classes: int) -> list[tuple[str, int | None]]:
    """Returns the id of each line, and its class if it has one."""
    found: list[tuple[str, int | None]] = []
    for number, line in enumerate(archives.text_of(path).splitlines(), 1):
        if not line.strip():
            continue
        _check_alone(line, f"Line {number} of the list {path}")
        id, pair, label = _id(line.split()[0]).partition("__")
        if pair and not (label.isascii() and label.isdigit() and 1 <= int(label) <= classes):
            raise InputError(
                f"Line {number} of the list {path} has the class {label!r}: write 1 to {classes} behind the "
                "two underscores."
            )
        found.append((id, int(label) if pair else None))
    if not found:
        raise InputError(f"The list {path} is empty: write the id of a photo on each of its lines.")
    return found


def _check_alone(line: str, where: str) -> None:
    """Makes sure that a line holds one photo, after which nothing but its mask may come."""
    first, *others = line.split()
    if len(others) > 1 or (others and _id(others[0]) != _id(first)):
        raise InputError(f"{where} holds {first!r} and {others[0]!r}: write each photo on a line of its own.")


def _joined(lines: Sequence[tuple[str, int | None]], path: Path) -> list[Listed]:
    """Returns each photo once, in the order of the lines."""
    of_photo: dict[str, set[int | None]] = {}
    for id, label in lines:
        of_photo.setdefault(id, set()).add(label)
    without = {label is None for _, label in lines}
    if len(without) > 1:
        raise InputError(f"The list {path} has lines with a class and lines without: write all alike.")
    if without == {True}:
        return list(of_photo)
    return [(id, tuple(sorted(label for label in labels if label))) for id, labels in of_photo.items()]


def _id(path: str) -> str:
    name = PurePosixPath(path.replace("\\", "/")).name
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
    return name.removesuffix(ending)
