"""A folder of photos and one of masks with labels by value: images/ and masks/, or VOC's."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets import archives
from datasets.folders import pairs
from datasets.folders.found import Found, list_files, sha256_of
from datasets.folders.pairs import Pair
from datasets.folders.texts import lines_of
from datasets.pascal5i import CLASS_NAMES as VOC_NAMES
from datasets.plans import Count
from datasets.records import Labelled
from fsjax.data import mask_files, photo_files
from fsjax.episode import IGNORED
from fsjax.errors import InputError
from fsjax.progress import Progress

IMAGES, MASKS = "images", "masks"
VOC_IMAGES, VOC_MASKS = "JPEGImages", ("SegmentationClassAug", "SegmentationClass")
VOC_LISTS = Path("ImageSets", "Segmentation")
CLASSES = "classes.txt"


def is_images_and_masks(folder: Path) -> bool:
    """Says whether a folder has images and masks."""
    return (folder / IMAGES).is_dir() and (folder / MASKS).is_dir()


def is_voc(folder: Path) -> bool:
    """Says whether a folder has VOC's photos and masks."""
    return (folder / VOC_IMAGES).is_dir() and any((folder / name).is_dir() for name in VOC_MASKS)


def find(folder: Path) -> Found:
    """Returns the photos of a folder with images/NAME.jpg and masks/NAME.png (or masks/NAME_mask.png).

    Args:
        folder: may also have classes.txt, whose line n names label n; labels without names are called
            class_1 and so on by their values.

    Raises:
        InputError: a mask holds a label that classes.txt does not name, or as `datasets.folders.pairs` and
            `fsjax.data.mask_files` say.
    """
    return _found(folder, pairs.side_by_side(folder, IMAGES, MASKS), "Images and masks", None, [])


def find_voc(folder: Path) -> Found:
    """Returns the photos of a folder in VOC's layout that have masks.

    Args:
        folder: has JPEGImages, SegmentationClassAug or SegmentationClass, and may have lists in
            ImageSets/Segmentation and classes.txt. Without that labels up to 20 are VOC's classes.

    Raises:
        InputError: as `find`.
    """
    of_masks = next(name for name in VOC_MASKS if (folder / name).is_dir())
    found = pairs.side_by_side(folder, VOC_IMAGES, of_masks, every=False)
    without = len(pairs.picture_names(folder / VOC_IMAGES, below=True)) - len(found)
    counts = [Count("photos without a mask, left out", without)] if without else []
    return _found(folder, found, f"VOC layout with {of_masks}", VOC_NAMES, counts)


def labelled(pair: Pair, *, labels: Sequence[int]) -> Labelled:
    """Returns a photo with a mask for every label that it shows.

    Args:
        pair: the photo and its mask.
        labels: the label of each class id, in ascending order.

    Raises:
        InputError: photo or mask is damaged, or they differ in size.
    """
    where, mask_where = str(pair.folder / pair.photo), str(pair.folder / pair.mask)
    photo = photo_files.stored(archives.read(pair.folder, pair.photo), where)
    values = mask_files.labels_of(archives.read(pair.folder, pair.mask), mask_where)
    mask_files.check_fits(values.shape, mask_where, photo, where)
    class_ids = np.searchsorted(labels, mask_files.shown_in(values)) + 1
    shown = {int(class_id): values == labels[class_id - 1] for class_id in class_ids}
    void = mask_files.void_of(values)
    return Labelled(pair.id, photo.encoded, photo.size, shown, void if void.any() else None)


def _found(
    folder: Path, every: Sequence[Pair], title: str, usual: Sequence[str] | None, counts: list[Count]
) -> Found:
    held = _labels(every)
    names: Sequence[str] | None = names_in(folder)
    if names is None:
        names = fitting(usual, held)
    else:
        check_named(folder, names, every, held)
    labels = sorted({label for shown in held for label in shown})
    if every and not labels:
        raise InputError(
            f"The masks in {folder} hold only 0 and 255, which are background and void: give objects other "
            "values, or, of masks in black and white, make class folders, CLASS/images and CLASS/masks."
        )
    kept = [(pair, shown) for pair, shown in zip(every, held, strict=True) if shown]
    class_id = {label: number for number, label in enumerate(labels, 1)}
    unseen = [] if names is None else [n for number, n in enumerate(names, 1) if number not in class_id]
    if unseen:
        counts = [*counts, Count("classes that no photo shows, left out", len(unseen))]
    files = [(folder, name) for pair in every for name in (pair.photo, pair.mask)]
    return Found(
        title=title,
        class_names=[f"class_{label}" if names is None else names[label - 1] for label in labels],
        ids=[pair.id for pair, _ in kept],
        tasks=[pair for pair, _ in kept],
        read=functools.partial(labelled, labels=tuple(labels)),
        shown=[tuple(class_id[label] for label in shown) for _, shown in kept],
        content=sha256_of(files, "looking at photos and masks"),
        lists=list_files(folder) | _voc_lists(folder),
        left_out={pair.id for pair, shown in zip(every, held, strict=True) if not shown},
        counts=counts,
    )


def _voc_lists(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((folder / VOC_LISTS).glob("*.txt"))}


def _labels(every: Sequence[Pair]) -> list[list[int]]:
    """Returns the labels in each mask."""
    held = []
    with Progress("looking at masks", len(every), "mask") as progress:
        for pair in every:
            values = mask_files.labels_of(archives.read(pair.folder, pair.mask), str(pair.folder / pair.mask))
            held.append(mask_files.shown_in(values))
            progress.update()
    return held


def names_in(folder: Path) -> list[str] | None:
    """Returns the names of labels 1, 2 and so on that a folder's classes.txt has, None without that file.

    Raises:
        InputError: it is no text, empty, names the background, or has an empty line.
    """
    path = folder / CLASSES
    if not path.exists():
        return None
    names = lines_of(path)
    _check_names(path, names)
    return names


def check_named(
    folder: Path, names: Sequence[str], every: Sequence[Pair], held: Sequence[Sequence[int]]
) -> None:
    """Makes sure that the labels in masks have names.

    Raises:
        InputError: one has none; its mask is named.
    """
    for pair, shown in zip(every, held, strict=True):
        for label in shown:
            if label > len(names):
                raise InputError(
                    f"{pair.folder / pair.mask} holds the value {label}, and {folder / CLASSES} ends with "
                    f"label {len(names)}: add the others' names, or mend the mask."
                )


def fitting(usual: Sequence[str] | None, held: Sequence[Sequence[int]]) -> Sequence[str] | None:
    """Returns the usual names of labels if masks hold no others."""
    return usual if all(label <= len(usual or ()) for shown in held for label in shown) else None


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"{path} is empty: name label n on line n, or delete it.")
    if names[0].strip("_").lower() == "background":
        raise InputError(f"{path} begins with {names[0]!r}, and line 1 names label 1: take that line out.")
    for number, name in enumerate(names, 1):
        if not name and number != IGNORED:
            raise InputError(f"{path} has no name on line {number}: line n names label n.")
