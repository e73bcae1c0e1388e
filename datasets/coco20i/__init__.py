"""COCO-20i: MS COCO's 80 categories in 4 folds of 20, of 2014 or 2017, or any annotation file of its kind."""

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datasets import archives
from datasets.coco20i import coco_json, whereabouts
from datasets.coco20i.coco_json import Outline, Runs
from datasets.coco20i.whereabouts import PARTS
from datasets.plans import Count, Folds, Plan, digest, held_out, list_counts
from datasets.records import Labelled
from fsjax.data import pictures
from fsjax.errors import InputError
from fsjax.progress import Progress

Crowd = Literal["skip", "include", "void"]
"""What annotations of crowds (iscrowd) are: background, objects like others, or pixels of no account."""


CLASS_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's categories in the order of their ids, which are 1 to 90 with ten left out: class ids are 1 to 80."""

INTERLEAVED = tuple(tuple(range(fold + 1, 81, 4)) for fold in range(4))
"""The classes that each fold holds out in FWB's split, also PFENet's and DPNet's."""

CONTIGUOUS = tuple(tuple(range(20 * fold + 1, 20 * fold + 21)) for fold in range(4))
"""The classes that each fold holds out in PANet's split."""

KNOWN = {
    (2014, "train"): {"photos": 82_783, "annotations": 604_907, "photos with annotations": 82_081},
    (2014, "val"): {"photos": 40_504, "annotations": 291_875, "photos with annotations": 40_137},
    (2017, "train"): {"photos": 118_287, "annotations": 860_001, "photos with annotations": 117_266},
    (2017, "val"): {"photos": 5_000, "annotations": 36_781, "photos with annotations": 4_952},
}
"""What each part of COCO is known to hold; both years hold the same 123,287 photos."""

HOLDOUT = 0.3

KIND = "coco20i"


class Task(NamedTuple):
    """What is needed to read one photo."""

    id: str
    images: Path
    file: str
    size: tuple[int, int]
    crowd: Crowd
    objects: tuple[tuple[int, bool, Outline], ...]  # class id, whether it is a crowd, outline


def plan(
    manual_dir: Path, *, year: int | None = None, crowd: Crowd = "skip", holdout: float | None = None
) -> Plan:
    """Returns the plan of a folder with COCO, or of a piece of it.

    Args:
        manual_dir: has, for one year, train2017.zip and val2017.zip (or folders of these names), and
            annotations_trainval2017.zip, or annotations/instances_train2017.json and so on. Or it has one
            annotation file (*.json) and a folder, or zip, `images`.
        year: 2014 or 2017, where the folder has both.
        crowd: what becomes of annotations with `iscrowd`.
        holdout: of a piece of COCO, the share of photos, chosen by a hash of their ids, that are the list
            "test"; the others are the list "train". HOLDOUT by default.

    The version follows the annotations, the lists and the photos: of COCO whole the CRC-32 of those in zips
    and, to read none of them, only the size in bytes of those in folders; of a piece see `piece`.

    Raises:
        InputError: for files that are missing, or not what they should be.
    """
    chosen = whereabouts.year_of(manual_dir, year)
    if chosen and holdout is not None:
        raise InputError(f"{manual_dir} has COCO's own lists train and val: leave --holdout out.")
    if chosen is None:
        return piece(manual_dir, crowd=crowd, holdout=HOLDOUT if holdout is None else holdout)
    parts = [whereabouts.benchmark(manual_dir, chosen, part) for part in PARTS]
    names = _names(parts, manual_dir)
    tasks = {part.name: _tasks(part, crowd) for part in parts}
    lists = {part: [task.id for task in of_part] for part, of_part in tasks.items()}
    every = [task for of_part in tasks.values() for task in of_part]
    ids = [task.id for task in every]
    return Plan(
        kind=KIND,
        title=f"COCO-20i ({chosen})",
        version=digest(names, ids, lists, crowd, _drawn(every), _sums_or_sizes(every)),
        class_names=names,
        folds=_folds(names),
        ids=ids,
        tasks=every,
        read=labelled,
        lists=lists,
        usual=PARTS,
        counts=list(_counts(parts, tasks, chosen)),
    )


def piece(folder: Path, *, crowd: Crowd = "skip", holdout: float = HOLDOUT) -> Plan:
    """Returns the plan of a folder with one annotation file, whatever it is called.

    Args:
        folder: has the file (*.json) and its photos in `images`, in images.zip, or beside it. The version
            follows the annotations and every byte of the photos, however they are packed.
        crowd: see `plan`.
        holdout: see `plan`.

    Raises:
        InputError: for files that are missing, or not what they should be.
    """
    part = whereabouts.only_file(folder)
    names = list(part.annotated.names.values())
    tasks = _tasks(part, crowd)
    ids = [task.id for task in tasks]
    lists = held_out(ids, holdout)
    return Plan(
        kind=KIND,
        title=f"COCO annotations: {len(ids)} photos",
        version=digest(names, ids, lists, crowd, _drawn(tasks), _sums(tasks)),
        class_names=names,
        folds=_folds(names),
        ids=ids,
        tasks=tasks,
        read=labelled,
        lists=lists,
        usual=("train", "test"),
        counts=[*_counts([part], {part.name: tasks}, None), *list_counts(lists)],
    )


def lacking(
    manual_dir: Path, *, year: int | None = None, crowd: Crowd = "skip", holdout: float | None = None
) -> list[str]:
    """Returns the names of the archives that a folder lacks for one year; the options are those of `plan`.

    Raises:
        InputError: neither `year` nor the folder says which year, or `holdout` is given.
    """
    if holdout is not None:
        raise InputError("COCO has lists train and val of its own: leave --holdout or --download out.")
    chosen = whereabouts.year_of(manual_dir, year) or whereabouts.year_of_photos(manual_dir)
    photos = [f"{part}{chosen}" for part in PARTS]
    names = [
        f"{name}.zip"
        for name in photos
        if not any(p.exists() for p, _ in whereabouts.places_of(manual_dir, name))
    ]
    if all(whereabouts.annotations_of(manual_dir, chosen, part) for part in PARTS):
        return names
    return [f"annotations_trainval{chosen}.zip", *names]


def labelled(task: Task) -> Labelled:
    """Returns a photo with a mask for every category: the union of its objects' outlines.

    Raises:
        InputError: the photo is missing, damaged, or of another size than its annotations, or one of these
            cannot be drawn.
    """
    where = f"{task.images / task.file}"
    photo = archives.read(task.images, task.file)
    size = pictures.size_of_whole(photo, where)
    if size != task.size:
        raise InputError(
            f"{where} is {size[0]}x{size[1]} and its annotations are of {task.size[0]}x{task.size[1]} pixels "
            "(height x width): fetch both again, of one year."
        )
    masks, void = masks_of(task)
    return Labelled(task.id, photo, size, masks, void)


def masks_of(task: Task) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Returns the mask of every class id that a photo shows, bool [H, W], and its void, if there is any.

    Raises:
        InputError: an annotation cannot be drawn.
    """
    outlines: dict[int, list[Outline]] = {}
    for class_id, is_crowd, outline in task.objects:
        if not is_crowd or task.crowd == "include":
            outlines.setdefault(class_id, []).append(outline)
    crowds = [outline for _, is_crowd, outline in task.objects if is_crowd]
    try:
        masks = {class_id: coco_json.union(objects, task.size) for class_id, objects in outlines.items()}
        void = coco_json.union(crowds, task.size) if crowds and task.crowd == "void" else None
    except ValueError as error:
        raise InputError(
            f"The annotations of {task.images / task.file} have {error}: fetch the annotation file again, or "
            "mend it."
        ) from error
    return masks, void


def _names(parts: Sequence[whereabouts.Part], folder: Path) -> list[str]:
    tables = [list(part.annotated.names.values()) for part in parts]
    if any(names != tables[0] for names in tables):
        raise InputError(
            f"The annotation files in {folder} have different categories: take those of one year."
        )
    if tuple(tables[0]) != CLASS_NAMES:
        raise InputError(f"The annotations in {folder} do not have COCO's 80 categories: fetch them again.")
    return tables[0]


def _tasks(part: whereabouts.Part, crowd: Crowd) -> list[Task]:
    """Returns a task for every photo that shows something, after making sure that all are there."""
    class_ids = {category: n for n, category in enumerate(part.annotated.names, 1)}
    shown: dict[str, tuple[tuple[int, int], tuple[tuple[int, bool, Outline], ...]]] = {}
    for photo in part.annotated.photos:
        objects = tuple((class_ids[a.category], a.crowd, a.outline) for a in photo.annotations if a.outline)
        if any(crowd == "include" or not is_crowd for _, is_crowd, _ in objects):
            if photo.file in shown:
                raise InputError(f"The annotations list the photo {photo.file} twice: fetch them again.")
            shown[photo.file] = photo.size, objects
    if not shown:
        raise InputError(f"No photo of the list {part.name} shows an object: fetch the annotations again.")
    images, prefix = whereabouts.place_of(part, next(iter(shown)))
    there = archives.open_files(images).names
    missing = [file for file in shown if prefix + file not in there]
    if missing:
        raise InputError(
            f"{images} lacks {len(missing):,} of the {len(shown):,} photos of its annotations, as "
            f"{missing[0]}: take photos and annotations of one year, and all of them."
        )
    stems = [file.rpartition("/")[2].rpartition(".")[0] for file in shown]
    ids = stems if len(set(stems)) == len(stems) else list(shown)
    return [
        Task(id, images, prefix + file, size, crowd, objects)
        for id, (file, (size, objects)) in zip(ids, shown.items(), strict=True)
    ]


def _folds(names: Sequence[str]) -> dict[str, Folds]:
    return {"interleaved": INTERLEAVED, "contiguous": CONTIGUOUS} if tuple(names) == CLASS_NAMES else {}


def _drawn(tasks: Sequence[Task]) -> str:
    """Returns the sha256 of all that is drawn."""
    sha256 = hashlib.sha256()
    for task in tasks:
        sha256.update(f"{task.id!a} {task.size}".encode())
        for class_id, is_crowd, outline in task.objects:
            sha256.update(f"{class_id} {is_crowd}".encode())
            for part in (repr(outline).encode(),) if isinstance(outline, Runs) else outline:
                sha256.update(part)
    return sha256.hexdigest()


def _sums_or_sizes(tasks: Sequence[Task]) -> list[str]:
    """Returns of each photo the CRC-32 that its archive holds, or its size in bytes; none is read."""
    found = []
    for task in tasks:
        files = archives.open_files(task.images)
        checksum = files.checksum(task.file)
        found.append(f"{files.size(task.file)} bytes" if checksum is None else f"{checksum:08x}")
    return found


def _sums(tasks: Sequence[Task]) -> list[str]:
    """Returns the CRC-32 of each photo, reading those of which no archive holds it."""
    found = []
    with Progress("looking at photos", len(tasks), "photo") as progress:
        for task in tasks:
            checksum = archives.open_files(task.images).checksum(task.file)
            if checksum is None:
                checksum = zlib.crc32(archives.read(task.images, task.file))
            found.append(f"{checksum:08x}")
            progress.update()
    return found


def _counts(
    parts: Sequence[whereabouts.Part], tasks: Mapping[str, Sequence[Task]], year: int | None
) -> Iterator[Count]:
    for part in parts:
        photos = part.annotated.photos
        annotations = [annotation for photo in photos for annotation in photo.annotations]
        found = {
            "photos": len(photos),
            "annotations": len(annotations),
            "crowds": sum(annotation.crowd for annotation in annotations),
            "annotations without an outline": sum(not annotation.outline for annotation in annotations),
            "photos with annotations": sum(bool(photo.annotations) for photo in photos),
            "photos that show something": len(tasks[part.name]),
        }
        of_part = KNOWN[year, part.name] if year else {}
        for what, count in found.items():
            yield Count(f"{part.name}: {what}", count, of_part.get(what))
