"""Folders of classes: a photo and the mask of one object each, as in FSS-1000."""

from pathlib import Path
from typing import NamedTuple

from datasets import archives
from datasets.folders import pairs
from datasets.folders.found import Found, composed, list_files, sha256_of
from datasets.folders.label_masks import IMAGES, MASKS, is_images_and_masks
from datasets.records import Labelled
from fsjax.data import mask_files, photo_files
from fsjax.errors import InputError


class Task(NamedTuple):
    """What is needed to read one photo."""

    id: str
    class_id: int
    folder: Path
    photo: str
    mask: str


def looks_so(folder: Path) -> bool:
    """Says whether a folder in a folder holds pictures, or folders images and masks."""
    return any(is_images_and_masks(sub) or pairs.picture_names(sub) for sub in pairs.subfolders(folder))


def find(folder: Path) -> Found:
    """Returns the photos of a folder that has a folder for each class.

    Args:
        folder: has CLASS/NAME.jpg with CLASS/NAME.png (or CLASS/NAME_mask.png), or CLASS/images/NAME.jpg
            with CLASS/masks/NAME.png. A photo's id is CLASS/NAME.

    Raises:
        InputError: a class has no photos, or as `datasets.folders.pairs` says.
    """
    classes = _classes(folder)
    tasks = tasks_of(folder)
    files = [(task.folder, name) for task in tasks for name in (task.photo, task.mask)]
    return Found(
        title="Class folders",
        class_names=[name for name, _ in classes],
        ids=[task.id for task in tasks],
        tasks=tasks,
        read=labelled,
        shown=[(task.class_id,) for task in tasks],
        content=sha256_of(files, "looking at photos and masks"),
        lists=list_files(folder),
    )


def tasks_of(folder: Path) -> list[Task]:
    """Returns what is needed to read the photos of a folder, see `find`.

    Raises:
        InputError: as there.
    """
    return [
        Task(f"{name}/{pair.id}", class_id, pair.folder, pair.photo, pair.mask)
        for class_id, (name, sub) in enumerate(_classes(folder), 1)
        for pair in _pairs(sub)
    ]


def labelled(task: Task) -> Labelled:
    """Returns a photo with the mask of its one object.

    Raises:
        InputError: photo or mask is damaged, they differ in size, or the mask marks nothing.
    """
    where, mask_where = str(task.folder / task.photo), str(task.folder / task.mask)
    photo = photo_files.stored(archives.read(task.folder, task.photo), where)
    mask = mask_files.object_of(archives.read(task.folder, task.mask), mask_where)
    mask_files.check_fits(mask.shape, mask_where, photo, where)
    return Labelled(task.id, photo.encoded, photo.size, {task.class_id: mask})


def _classes(folder: Path) -> list[tuple[str, Path]]:
    return sorted((composed(sub.name), sub) for sub in pairs.subfolders(folder))


def _pairs(folder: Path) -> list[pairs.Pair]:
    found = pairs.side_by_side(folder, IMAGES, MASKS) if is_images_and_masks(folder) else pairs.mixed(folder)
    if not found:
        raise InputError(
            f"{folder} has no photos ({pairs.KINDS}) with masks: add some, or delete the folder."
        )
    return found
