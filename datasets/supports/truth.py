"""The true masks of queries, read one at a time when they are asked for."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from datasets.folders import coco_file, label_masks, labelme, pairs
from datasets.folders.pairs import Pair
from datasets.supports import layouts, places
from datasets.supports.layouts import OBJECT, Entry, Layout
from datasets.supports.reading import layout_of, painted
from fsjax.data.pictures import SUFFIXES
from fsjax.errors import InputError

WHAT = "--truth"

_BY_VALUE = re.compile(r"class_(\d+)")

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TrueMask:
    """What a query really shows.

    Attributes:
        path: of the mask's file, or of the annotations.
        entry: reads it.
        numbers: of the classes by what they are called there.
    """

    path: Path
    entry: Entry
    numbers: Mapping[str, int]

    def read(self, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
        """Returns the mask: 0 background, n class n, 255 ignored.

        Args:
            size: the query's height and width, upright.

        Raises:
            InputError: the mask is missing, damaged or of another size.
        """
        masks, void = self.entry.masks()
        for mask in (*masks.values(), *(() if void is None else (void,))):
            if mask.shape != size:
                sizes = " and the query ".join(f"{height}x{width}" for height, width in (mask.shape, size))
                raise InputError(f"{self.path} is {sizes} pixels (height x width): make them equal.")
        return painted(masks, void, self.numbers, size)


@dataclass(frozen=True, eq=False)
class Truth(Mapping[str, TrueMask]):
    """The true masks by their queries' names.

    Attributes:
        masks: of the queries that have one, in the queries' order.
        without: the queries that have none.
    """

    masks: Mapping[str, TrueMask]
    without: tuple[str, ...]

    def __getitem__(self, name: str) -> TrueMask:
        return self.masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.masks)

    def __len__(self) -> int:
        return len(self.masks)


def read_truth(place: str, classes: Sequence[str], names: Sequence[str]) -> Truth:
    """Returns the true masks of queries; their values are looked at, but none is kept.

    A mask is its query's by its name, with or without `_mask`, in a folder like the query's; one in any
    folder is, too, where no other is called so. A value n is class n, or `class_n` if the classes are called
    so, or what line n of the folder's classes.txt says; white is the class if there is one alone.

    Args:
        place: a folder of masks, a glob pattern or files with commas between them, or a folder in one of the
            layouts of `datasets.supports.read_supports`, whose classes have the supports' names.
        classes: the supports'.
        names: the queries', see `datasets.supports.Query`.

    Raises:
        InputError: there is no such place, no mask of a query in it, or two of one name; a mask is no
            picture, damaged or far too large, or it is not clear what it marks; or it shows a class that the
            supports do not have.
    """
    layout = _with_photos(place) or _masks_alone(place, len(classes), names)
    found = _matched({entry.name: entry for entry in layout.entries}, names)
    if not found:
        raise InputError(
            f"No mask in {place} is called like a query, as {names[0]}.png: mend the names, or leave "
            f"{WHAT} out."
        )
    masks = {name: TrueMask(e.mask_path, e, _numbers(e, classes)) for name, e in found.items()}
    return Truth(masks, tuple(name for name in names if name not in found))


def _with_photos(text: str) -> Layout | None:
    """Returns the layout of a folder with photos and masks, None of one with masks alone."""
    folder = places.place_of(text, WHAT).folder
    if folder is None:
        return None
    places.entries(folder)  # a sentence where it must not be read
    if any(folder.glob("*.json")) and not labelme.looks_so(folder):
        return layouts.of_coco(folder, coco_file.only_file(folder))
    apart = [folder, *pairs.subfolders(folder)]
    if any(label_masks.is_images_and_masks(f) or label_masks.is_voc(f) for f in apart):
        return layout_of(text, WHAT)
    ids = Counter(_id(path, folder).removesuffix(pairs.MASK) for path in _pictures(text))
    return layout_of(text, WHAT) if labelme.looks_so(folder) or max(ids.values(), default=0) > 1 else None


def _masks_alone(text: str, known: int, names: Sequence[str]) -> Layout:
    """Returns the masks of queries, their classes called by their values where no file names them."""
    folder = places.place_of(text, WHAT).folder
    masks: dict[str, Path] = {}
    known_names = set(names)
    for path in _pictures(text):
        id = _id(path, folder)
        id = id if id in known_names else id.removesuffix(pairs.MASK)
        if id in masks:
            raise InputError(f"{masks[id]} and {path} are both called like {id}: leave one out of {WHAT}.")
        masks[id] = path
    found = _matched({id: (id, path) for id, path in masks.items()}, names)
    every = [Pair(id, Path(), str(path), str(path)) for id, path in found.values()]
    return layouts.of_values(folder or (Path(every[0].mask).parent if every else Path()), every, known=known)


def _pictures(text: str) -> list[Path]:
    place = places.place_of(text, WHAT)
    files = place.files if place.folder is None else places.all_below(place.folder)
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def _id(path: Path, folder: Path | None) -> str:
    return (path.relative_to(folder).with_suffix("").as_posix()) if folder else path.stem


def _matched(found: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    """Returns what was found by the queries' names: by the same name, else by the same file's name."""
    matched = {name: found[name] for name in names if name in found}
    rest = [name for name in names if name not in matched]
    of_query = Counter(_file(name) for name in rest)
    others = [id for id in found if id not in matched]
    of_mask = Counter(_file(id) for id in others)
    by_file = {_file(id): found[id] for id in others if of_mask[_file(id)] == 1}
    for name in rest:
        if of_query[_file(name)] == 1 and _file(name) in by_file:
            matched[name] = by_file[_file(name)]
    return {name: matched[name] for name in names if name in matched}


def _file(name: str) -> str:
    """Returns a file's name without folders and the suffix of a picture."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _numbers(entry: Entry, classes: Sequence[str]) -> dict[str, int]:
    """Returns the number of each class that a mask shows."""
    numbers = {}
    by_value = any(_BY_VALUE.fullmatch(name) for name in classes)
    for name in entry.classes:
        value = _BY_VALUE.fullmatch(name)
        if name in classes:
            numbers[name] = list(classes).index(name) + 1
        elif name == OBJECT and len(classes) == 1:
            numbers[name] = 1
        elif value and not by_value and 1 <= int(value[1]) <= len(classes):
            numbers[name] = int(value[1])
        else:
            raise _foreign(entry, name, classes)
    return numbers


def _foreign(entry: Entry, name: str, classes: Sequence[str]) -> InputError:
    value = _BY_VALUE.fullmatch(name)
    what = f"the value {value[1]}" if value else "white" if name == OBJECT else f"the class {name!r}"
    known = ", ".join(classes[:10]) + (" ..." if len(classes) > 10 else "")
    return InputError(
        f"{entry.mask_path} holds {what}, and the supports show {known}: leave the mask out, or add supports."
    )
