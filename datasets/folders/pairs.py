"""Photos and the masks that belong to them, by their files' names."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.folders.found import composed
from fsjax.data.pictures import SUFFIXES
from fsjax.errors import InputError

KINDS = "PNG, JPEG, WebP, TIFF, BMP or GIF"

MASK = "_mask"
"""What may stand behind a photo's name in that of its mask."""


class Pair(NamedTuple):
    """A photo and its mask.

    Attributes:
        id: of the photo.
        folder: that both lie in.
        photo: its name there.
        mask: its name there.
    """

    id: str
    folder: Path
    photo: str
    mask: str


def visible(folder: Path) -> list[Path]:
    """Returns what lies in a folder, in the order of names, but for hidden things.

    Raises:
        InputError: a name is not in UTF-8.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    check_utf8(paths)
    return paths


def check_utf8(paths: Iterable[Path]) -> None:
    """Makes sure that files' names can be written down.

    Raises:
        InputError: one is not in UTF-8.
    """
    for path in paths:
        if any("\ud800" <= letter <= "\udfff" for letter in path.name):  # how Python reads such bytes
            raise InputError(f"The name of the file {str(path)!a} is not in UTF-8: rename it.")


def subfolders(folder: Path) -> list[Path]:
    """Returns the visible folders in a folder."""
    return [path for path in visible(folder) if path.is_dir()]


def picture_names(folder: Path, *, below: bool = False) -> list[str]:
    """Returns the names of the pictures in a folder, and in those below it if asked; pipes included."""
    names = []
    for path in visible(folder):
        if path.is_dir():
            if below and not path.is_symlink():  # one could lead back up
                names += [f"{path.name}/{name}" for name in picture_names(path, below=True)]
        elif path.suffix.lower() in SUFFIXES:
            names.append(path.name)
    return names


def side_by_side(folder: Path, photos: str, masks: str, *, every: bool = True) -> list[Pair]:
    """Returns the pairs of a folder that keeps photos and masks in folders of their own.

    Args:
        folder: that has both.
        photos: the name of the photos' folder.
        masks: the name of the masks' folder; a mask is called like its photo, `_mask` may follow.
        every: whether every photo must have a mask.

    Raises:
        InputError: for a mask without a photo or with two, and a photo with two masks or none.
    """
    photo_of = _one_each(by_id(photos, picture_names(folder / photos, below=True)), folder)
    found = by_id(masks, picture_names(folder / masks, below=True))
    mask_of = _one_each(_without_suffix(found, photo_of), folder)
    for id, mask in mask_of.items():
        if id not in photo_of:
            raise InputError(
                f"{folder / mask} has no photo {folder / photos / id} ({KINDS}): add it, or leave the mask "
                "out."
            )
    if every:
        for id, photo in photo_of.items():
            if id not in mask_of:
                raise InputError(
                    f"{folder / photo} has no mask {folder / masks / id}.png: add it, or leave the photo out."
                )
    return [Pair(id, folder, photo_of[id], mask_of[id]) for id in photo_of if id in mask_of]


def mixed(folder: Path, *, every: bool = True) -> list[Pair]:
    """Returns the pairs of a folder that keeps photos and masks together.

    A mask is called like its photo with `_mask` behind it, or just like it and is the one that is a PNG.

    Args:
        folder: that has both.
        every: whether every photo must have a mask.

    Raises:
        InputError: for a file that is in no pair, if so asked, and for more than two of one name.
    """
    return matched(folder, by_id("", picture_names(folder)), every=every)


def matched(folder: Path, named: Mapping[str, Sequence[str]], *, every: bool = True) -> list[Pair]:
    """Returns the pairs among files, see `mixed`.

    Args:
        folder: that they lie in.
        named: the files' names there by what they are without suffix, see `by_id`.
        every: whether every photo must have a mask.

    Raises:
        InputError: as `mixed`.
    """
    pairs = []
    for id, names in named.items():
        if id.removesuffix(MASK) != id and id.removesuffix(MASK) in named:
            continue
        names = [*names, *named.get(id + MASK, ())]
        if len(names) > 1:
            pairs.append(_pair(id, folder, names, id + MASK in named))
        elif every or id.endswith(MASK):
            raise InputError(
                f"{folder / names[0]} is alone: put its {_lacking(names[0])} beside it, or leave it out."
            )
    return pairs


def _pair(id: str, folder: Path, names: Sequence[str], suffixed: bool) -> Pair:
    pngs = [name for name in names if name.lower().endswith(".png")]
    mask = names[-1] if suffixed else pngs[0] if len(pngs) == 1 else None
    if len(names) > 2 or mask is None:
        place = "There are" if folder == Path() else f"{folder} has"  # files that are named one by one
        raise InputError(
            f"{place} {', '.join(names)}: which is the mask of which photo? Call a mask {id}.png or "
            f"{id}{MASK}.png, and leave one photo."
        )
    return Pair(id, folder, next(name for name in names if name != mask), mask)


def _lacking(name: str) -> str:
    png = name.lower().endswith(".png")
    return f"photo or its mask ({name[:-4]}{MASK}.png)" if png else f"mask ({name.rpartition('.')[0]}.png)"


def by_id(below: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the names with a folder's before them, by what they are without suffix."""
    named: dict[str, list[str]] = defaultdict(list)
    for name in names:
        named[composed(name.rpartition(".")[0])].append(f"{below}/{name}" if below else name)
    return named


def _without_suffix(named: Mapping[str, Sequence[str]], photos: Collection[str]) -> dict[str, list[str]]:
    """Returns masks by their photos' ids."""
    masks: dict[str, list[str]] = defaultdict(list)
    for id, names in named.items():
        masks[id if id in photos else id.removesuffix(MASK)] += names
    return masks


def _one_each(named: Mapping[str, Sequence[str]], folder: Path) -> dict[str, str]:
    for names in named.values():
        if len(names) > 1:
            raise InputError(
                f"{folder / names[0]} and {folder / names[1]} have one name: leave one out, or rename it."
            )
    return {id: names[0] for id, names in named.items()}
