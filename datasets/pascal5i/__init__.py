"""PASCAL-5i: VOC 2012 with SBD's masks, its 20 classes in 4 folds of 5; or any photos in VOC's layout."""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from datasets import archives
from datasets.pascal5i import list_files, pascal_lists, sbd, voc
from datasets.pascal5i.pascal_lists import TRAINAUG, VAL
from datasets.pascal5i.sbd import Sbd
from datasets.pascal5i.voc import CLASS_NAMES, Voc
from datasets.plans import Count, Listed, Plan, digest
from datasets.records import Labelled, from_labels
from fsjax.data import pictures
from fsjax.episode import IGNORED
from fsjax.errors import InputError

FOLDS = tuple(tuple(range(5 * fold + 1, 5 * fold + 6)) for fold in range(4))
"""The class ids that each fold holds out."""


class Task(NamedTuple):
    """What is needed to read one photo.

    Attributes:
        id: of the photo.
        photo: the folder or archive with its file, and the file's name there.
        mask: the same of its mask; for one of SBD's, where it is, for sentences.
        mat: SBD's mask, because its archive cannot be read at random.
    """

    id: str
    photo: tuple[Path, str]
    mask: tuple[Path, str]
    mat: bytes | None


def plan(manual_dir: Path, *, lists: str | None = None) -> Plan:
    """Returns the plan of a folder with PASCAL-5i, or with photos and masks in VOC's layout.

    Args:
        manual_dir: has VOCtrainval_11-May-2012.tar and SBD's benchmark.tgz as downloaded; or
            VOCdevkit/VOC2012, VOC2012 or what is in it; in place of SBD a folder or zip SegmentationClassAug
            will do.
        lists: a folder of lists, taken as they are (`list_files.read`). They win over VOC's own, and without
            the latter any photos with masks will do.

    The version follows the lists, every byte of the masks, and the photos' names and sizes in bytes; it does
    not see a photo that was replaced by another one of exactly as many bytes.

    Raises:
        InputError: for files that are missing, or not what they should be.
    """
    files, added = voc.find(manual_dir), sbd.find(manual_dir)
    derived, counts = _derived(files, added)
    given = list_files.read(Path(lists).expanduser(), len(CLASS_NAMES)) if lists else {}
    if not derived and not given:
        raise _lacking(manual_dir, files)
    every = derived | given
    photos = list_files.photos_of([*derived.items(), *given.items()])
    own = {id for part in ("train", "val") for id in _set(files, f"Segmentation/{part}")}
    # SBD's outlines are others than VOC's, and must not stand in for a mask of VOC's that is lacking.
    tasks = [_task(id, name, files, None if id in own else added) for id, name in photos.items()]
    ids = [task.id for task in tasks]
    rule = functools.partial(pascal_lists.by_oslsm_rule, derived[TRAINAUG], derived[VAL]) if derived else None
    return Plan(
        kind="pascal5i",
        title="PASCAL-5i" if pascal_lists.is_benchmark(every) else f"VOC folder: {len(ids):,} photos",
        version=digest(every, ids, _content(tasks, files)),
        class_names=CLASS_NAMES,
        folds={"standard": FOLDS},
        ids=ids,
        tasks=tasks,
        read=labelled,
        lists=every,
        usual=(TRAINAUG, VAL) if derived else _usual(list(given)),
        counts=[*counts, *pascal_lists.counts(every)],
        derive=rule,
    )


def lacking(manual_dir: Path, **options: str) -> list[str]:
    """Returns the names of the archives that a folder lacks; `options` are those of `plan`."""
    names = [] if voc.is_there(manual_dir) else [voc.TAR]
    return names if sbd.is_there(manual_dir) or voc.is_augmented(manual_dir) else [*names, sbd.ARCHIVE]


def labelled(task: Task) -> Labelled:
    """Returns a photo with the class ids of its pixels.

    Raises:
        InputError: the photo or its mask is missing or damaged, they differ in size, or the mask has other
            values than 0 to 20 and 255.
    """
    photo_file, mask_file = (str(place / name) for place, name in (task.photo, task.mask))
    photo = archives.read(*task.photo)
    size = pictures.size_of_whole(photo, photo_file)
    if task.mat is None:
        labels = _indices(archives.read(*task.mask), mask_file)
    else:
        labels = sbd.labels(task.mat, mask_file)
    if labels.shape != size:
        raise InputError(
            f"{mask_file} is {labels.shape[0]}x{labels.shape[1]} and its photo {size[0]}x{size[1]} pixels "
            "(height x width): fetch both again, or make them equal."
        )
    wrong = labels[(labels > len(CLASS_NAMES)) & (labels != IGNORED)]
    if wrong.size:
        raise InputError(
            f"{mask_file} holds the value {wrong[0]}: allowed are 0 to {len(CLASS_NAMES)} and 255, so "
            "make it so, or fetch it again."
        )
    return from_labels(task.id, photo, labels)


def _indices(png: bytes, where: str) -> UInt8[np.ndarray, "h w"]:
    raw = pictures.raw_mode(pictures.opened(png, where))
    image = pictures.decoded(png, where)
    if image.mode not in ("P", "L"):
        raise InputError(f"{where} holds colours: save it as a PNG with a palette, or grey, of class ids.")
    return np.asarray(image) // np.uint8(pictures.SCALED.get(raw, 1))


def _derived(files: Voc, added: Sbd | None) -> tuple[dict[str, list[Listed]], list[Count]]:
    """Returns trainaug, val and PFENet's list, or none where something that they follow from is missing."""
    train, val, main = (
        _set(files, name) for name in ("Segmentation/train", "Segmentation/val", "Main/train")
    )
    if not (train and val and (added or files.augmented)):
        return {}, []
    more = set(added.masks) if added else set()
    if files.augmented:
        more |= set(files.augmented.stems(".png"))
    counts = [Count("VOC's train: photos", len(train), pascal_lists.PHOTOS["train"])]
    if added:
        counts.append(Count("SBD: photos", len(added.masks), sbd.PHOTOS))
        counts += [Count(f"SBD's {part}: photos", len(added.lists[part]), n) for part, n in sbd.PARTS.items()]
    lists: dict[str, list[Listed]] = {TRAINAUG: [*pascal_lists.trainaug(train, val, sorted(more))]}
    if main:
        labelled_by_others = sorted(added.masks if added else more)
        name, photos, further = pascal_lists.pfenet(
            train, val, labelled_by_others, main, is_sbd=added is not None
        )
        lists[name] = [*photos]
        counts += further
    return {**lists, VAL: [*val]}, counts


def _set(files: Voc, name: str) -> list[str]:
    """Returns the ids of one of VOC's own lists, none where it is missing."""
    if files.sets is None or not files.sets.has(f"{name}.txt"):
        return []
    where = f"VOC's ImageSets/{name}.txt"
    return list_files.ids(archives.decoded(files.sets.read(f"{name}.txt"), where), where)


def _lacking(folder: Path, files: Voc) -> InputError:
    if _set(files, "Segmentation/train") and _set(files, "Segmentation/val"):
        return InputError(
            f"{folder} has VOC's own masks only: put SBD's {sbd.ARCHIVE} there (from its authors' page, "
            "home.bharathh.info/pubs/codes/SBD), or SegmentationClassAug, or name your lists with --lists."
        )
    return InputError(
        f"{folder} has no ImageSets/Segmentation with train.txt and val.txt: put VOC's there, or name a "
        "folder with lists of your own with --lists."
    )


def _task(id: str, list_name: str, files: Voc, added: Sbd | None) -> Task:
    """Returns how a photo is read, after making sure that its files are there."""
    photo = f"{id}.jpg"
    if not files.photos.has(photo):
        raise _missing(id, list_name, "photo", files.photos.where(photo))
    at = files.photos.path, files.photos.prefix + photo
    mask = files.mask(id)
    if mask:
        place, name = mask
        return Task(id, at, (place.path, place.prefix + name), None)
    if added and id in added.masks:
        return Task(id, at, (added.place, f"cls/{id}.mat"), added.masks[id])
    masks = files.augmented or files.own
    raise _missing(id, list_name, "mask", masks.where(f"{id}.png") if masks else "SegmentationClassAug")


def _missing(id: str, list_name: str, what: str, where: str) -> InputError:
    return InputError(
        f"The list {list_name} names {id}, of which there is no {what} {where}: put it there, or take it "
        "off the list."
    )


def _content(tasks: Sequence[Task], files: Voc) -> str:
    """Returns the sha256 of all masks' files and of the sizes of all photos' files."""
    sha256 = hashlib.sha256()
    for task in tasks:
        sha256.update(f"{task.id} {files.photos.size(f'{task.id}.jpg')} ".encode())
        sha256.update(archives.read(*task.mask) if task.mat is None else task.mat)
    return sha256.hexdigest()


def _usual(names: Sequence[str]) -> tuple[str, str]:
    """Returns the lists that are trained and tested on, where only lists of one's own are there."""
    train = next((name for name in ("train", TRAINAUG) if name in names), names[0])
    return train, next((name for name in (VAL, "test") if name in names), names[-1])
