"""One annotation file in COCO's format, with people's own photos and categories."""

import functools
from collections.abc import Mapping
from pathlib import Path

from datasets import archives, coco20i
from datasets.coco20i import Crowd, Task
from datasets.folders import labelme
from datasets.folders.found import Found, list_files
from datasets.folders.pairs import picture_names
from datasets.plans import Count
from datasets.records import Labelled
from fsjax.data import mask_files, photo_files
from fsjax.errors import InputError


def looks_so(folder: Path) -> bool:
    """Says whether a folder has an annotation file, and photos beside it or in images or images.zip."""
    beside = (folder / "images").is_dir() or (folder / "images.zip").exists() or picture_names(folder)
    return bool(beside) and any(folder.glob("*.json")) and not labelme.looks_so(folder)


def only_file(folder: Path) -> str:
    """Returns the name of the one annotation file in a folder.

    Raises:
        InputError: there are several.
    """
    files = sorted(path.name for path in folder.glob("*.json"))
    if len(files) > 1:
        raise InputError(
            f"{folder} has the annotation files {', '.join(files)}: leave one, and name the photos for "
            "training in train.txt and those for testing in test.txt."
        )
    return files[0]


def find(folder: Path, crowd: Crowd = "skip") -> Found:
    """Returns the photos of an annotation file that show something.

    Args:
        folder: has one file *.json, and the photos in images, in images.zip, or beside it.
        crowd: see `datasets.coco20i.piece`.

    Raises:
        InputError: there are several such files, or as `datasets.coco20i.piece` says.
    """
    file = only_file(folder)
    plan = coco20i.piece(folder, crowd=crowd)
    shown = [sorted(_shown(task)) for task in plan.tasks]
    kept = sorted({class_id for ids in shown for class_id in ids})
    numbers = {class_id: number for number, class_id in enumerate(kept, 1)}
    unseen = len(plan.class_names) - len(kept)
    return Found(
        title=f"COCO annotations ({file})",
        class_names=[plan.class_names[class_id - 1] for class_id in kept],
        ids=plan.ids,
        tasks=plan.tasks,
        read=functools.partial(labelled, numbers=numbers),
        shown=[tuple(numbers[class_id] for class_id in ids) for ids in shown],
        content=plan.version,
        lists=list_files(folder),
        counts=[Count("categories that no photo shows, left out", unseen)] if unseen else [],
    )


def labelled(task: Task, *, numbers: Mapping[int, int]) -> Labelled:
    """Returns a photo with a mask for every category that it shows.

    Args:
        task: the photo and its annotations.
        numbers: the class id of each category that some photo shows, by its place in the file.

    Raises:
        InputError: the photo is damaged, of another size than its annotations, or one of these cannot be
            drawn.
    """
    where = str(task.images / task.file)
    photo = photo_files.stored(archives.read(task.images, task.file), where)
    mask_files.check_fits(task.size, f"The annotation of {task.file}", photo, where)
    shown, void = coco20i.masks_of(task)
    return Labelled(task.id, photo.encoded, photo.size, {numbers[c]: mask for c, mask in shown.items()}, void)


def _shown(task: Task) -> set[int]:
    return {class_id for class_id, is_crowd, _ in task.objects if not is_crowd or task.crowd == "include"}
