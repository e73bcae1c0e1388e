"""Photos with masks in every layout: what they show, and how each is read."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.coco20i import coco_json
from datasets.folders import class_folders, label_masks, labelme
from datasets.folders.pairs import Pair
from fsjax.data import mask_files, mask_kinds, photo_files, pictures
from fsjax.data.photo_files import Pixels
from fsjax.episode import IGNORED
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)

MANY = 100
"""Masks, from which on it is said that they are looked at, because it takes a while."""

OBJECT = "object"
"""What the one class is called that nobody has named."""


@dataclass(frozen=True)
class Entry:
    """A photo with its mask, neither of them read.

    Attributes:
        name: of the photo.
        path: the photo's file, or the one that holds it.
        mask_path: the mask's, or that of the annotations.
        classes: that the mask shows, by name; none where annotations outline nothing.
        photo: reads the photo.
        masks: reads the mask: of each class that it shows the pixels, bool [H, W], and those to be ignored,
            None if there are none.
    """

    name: str
    path: Path
    mask_path: Path
    classes: tuple[str, ...]
    photo: Callable[[], Pixels]
    masks: Callable[[], tuple[Mapping[str, np.ndarray], np.ndarray | None]]


@dataclass(frozen=True)
class Layout:
    """All photos with masks of a place.

    Attributes:
        classes: the names of all that is shown, in the order of their numbers.
        entries: the photos.
        left_out: photos without a mask.
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    left_out: tuple[Path, ...] = ()


def of_values(
    folder: Path,
    every: Sequence[Pair],
    left_out: Sequence[Path] = (),
    usual: Sequence[str] = (),
    known: int = 0,
) -> Layout:
    """Returns the photos of masks that are told apart by their values, see `fsjax.data.mask_kinds`.

    Args:
        folder: may have classes.txt, whose line n names label n.
        every: photos and masks.
        left_out: photos without a mask.
        usual: the labels' names where there is no such file.
        known: how many labels are known to be where none has a name.

    Raises:
        InputError: a mask is no picture, damaged or far too large, it is not clear what the masks mark, or a
            label has no name.
    """
    if len(every) > MANY:
        LOG.info("looking at %d masks", len(every))
    looks = [mask_kinds.look_at(pictures.encoded_of(mask_of(pair)), str(mask_of(pair))) for pair in every]
    shown = [[value for value in look.values if value != IGNORED] for look in looks]
    names: Sequence[str] | None = label_masks.names_in(folder)
    labels = mask_kinds.labels_together(looks, len(names) if names else known)
    if labels is None:
        return _of_objects(every, _only(names, folder), left_out)
    if names is None:
        names = label_masks.fitting(usual, shown)
    else:
        label_masks.check_named(folder, names, every, shown)
    named = {label: names[label - 1] if names else f"class_{label}" for label in labels}
    entries = tuple(_of_labels(pair, held, named) for pair, held in zip(every, shown, strict=True))
    return Layout(tuple(named.values()), entries, tuple(left_out))


def of_classes(folder: Path) -> Layout:
    """Returns the photos of a folder that has a folder for each class, see `class_folders.find`.

    Raises:
        InputError: a class has no photos, or the files' names do not pair them.
    """
    tasks = class_folders.tasks_of(folder)
    names = {task.class_id: task.id.partition("/")[0] for task in tasks}
    entries = tuple(
        _of_object(Pair(task.id, task.folder, task.photo, task.mask), names[task.class_id], is_object=False)
        for task in tasks
    )
    return Layout(tuple(names[class_id] for class_id in sorted(names)), entries)


def of_labelme(files: Sequence[Path], left_out: Sequence[Path] = ()) -> Layout:
    """Returns the photos of LabelMe's annotation files.

    Args:
        files: the annotation files.
        left_out: photos, of which those that no file is of are left out.

    Raises:
        InputError: a file is not LabelMe's, or as `labelme.read` says.
    """
    every = [labelme.read(path) for path in files]
    entries = tuple(
        Entry(
            outlined.file.stem,
            outlined.photo or outlined.file,
            outlined.file,
            tuple(outlined.labels),
            partial(_photo_of, outlined),
            partial(labelme.masks_of, outlined),
        )
        for outlined in every
    )
    taken = {outlined.photo for outlined in every}
    names = {name: None for entry in entries for name in entry.classes}
    return Layout(tuple(sorted(names)), entries, tuple(path for path in left_out if path not in taken))


def of_coco(folder: Path, file: str) -> Layout:
    """Returns the photos of one annotation file of COCO's kind.

    Args:
        folder: has it, and the photos in images or beside it.
        file: its name.

    Raises:
        InputError: it is not of COCO's kind.
    """
    annotated = coco_json.read(folder, file)
    images = folder / "images" if (folder / "images").is_dir() else folder
    entries = []
    for photo in annotated.photos:
        objects = [a for a in photo.annotations if a.outline]
        shown = dict.fromkeys(annotated.names[a.category] for a in objects if not a.crowd)
        path = images / _inside(photo.file, folder / file)
        masks = partial(_outlined, photo, annotated.names, folder / file)
        name = photo.file.rpartition(".")[0] or photo.file
        entries.append(Entry(name, path, folder / file, tuple(shown), partial(read_photo, path), masks))
    held = {name for entry in entries for name in entry.classes}
    classes = tuple(dict.fromkeys(name for name in annotated.names.values() if name in held))
    return Layout(classes, tuple(entries))


def mask_of(pair: Pair) -> Path:
    """Returns the file of a pair's mask."""
    return pair.folder / pair.mask


def read_photo(path: Path) -> Pixels:
    """Returns the photo in a file.

    Raises:
        InputError: as `fsjax.data.photo_files.read_photo`.
    """
    return photo_files.pixels_of(pictures.encoded_of(path), str(path))


def _of_objects(every: Sequence[Pair], name: str, left_out: Sequence[Path]) -> Layout:
    entries = tuple(_of_object(pair, name, is_object=True) for pair in every)
    return Layout((name,), entries, tuple(left_out))


def _of_object(pair: Pair, name: str, *, is_object: bool) -> Entry:
    photo, mask = pair.folder / pair.photo, mask_of(pair)
    read = partial(_marked, mask, name, is_object=is_object)
    return Entry(pair.id, photo, mask, (name,), partial(read_photo, photo), read)


def _of_labels(pair: Pair, held: Sequence[int], named: Mapping[int, str]) -> Entry:
    photo, mask = pair.folder / pair.photo, mask_of(pair)
    classes = tuple(named[label] for label in held)
    return Entry(pair.id, photo, mask, classes, partial(read_photo, photo), partial(_labelled, mask, named))


def _only(names: Sequence[str] | None, folder: Path) -> str:
    if names is not None and len(names) > 1:
        raise InputError(
            f"{folder / label_masks.CLASSES} names {len(names)} classes, and the masks mark one "
            "object in white: number the classes in the masks from 1 on, or name one."
        )
    return names[0] if names else OBJECT


def _marked(path: Path, name: str, *, is_object: bool) -> tuple[Mapping[str, np.ndarray], None]:
    encoded = pictures.encoded_of(path)
    if not is_object:
        return {name: mask_files.object_of(encoded, str(path))}, None
    return {name: mask_kinds.marked(encoded, str(path), None) > 0}, None


def _labelled(path: Path, named: Mapping[int, str]) -> tuple[Mapping[str, np.ndarray], np.ndarray | None]:
    values = mask_kinds.marked(pictures.encoded_of(path), str(path), tuple(named))
    masks = {named[label]: values == label for label in mask_files.shown_in(values)}
    void = values == IGNORED
    return masks, void if void.any() else None


def _inside(name: str, file: Path) -> PurePosixPath:
    """Returns the name of a photo in annotations, which must not lead out of their folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise InputError(f"{file} names the photo {name!r}, which lies elsewhere: put it in images.")
    return path


def _photo_of(outlined: labelme.Outlined) -> Pixels:
    return photo_files.pixels_of(labelme.photo_of(outlined), outlined.where)


def _outlined(
    photo: coco_json.Photo, names: Mapping[int, str], file: Path
) -> tuple[Mapping[str, np.ndarray], np.ndarray | None]:
    """Returns what annotations outline; crowds are ignored, for objects may be among them or not."""
    outlines: dict[str | None, list[coco_json.Outline]] = {}
    for a in photo.annotations:
        if a.outline:
            outlines.setdefault(None if a.crowd else names[a.category], []).append(a.outline)
    try:
        masks = {name: coco_json.union(parts, photo.size) for name, parts in outlines.items()}
    except ValueError as error:
        raise InputError(f"{file} has, for {photo.file}, {error}: mend it, or fetch it again.") from error
    void = masks.pop(None, None)
    return {name: mask for name, mask in masks.items() if name is not None}, void
