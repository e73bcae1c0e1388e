"""Supports out of whatever layout they lie in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from datasets.folders import class_folders, coco_file, label_masks, labelme, pairs
from datasets.folders.found import check_names
from datasets.supports import layouts, places
from datasets.supports.layouts import Entry, Layout
from fsjax.data import mask_files
from fsjax.data.pictures import SUFFIXES
from fsjax.episode import IGNORED
from fsjax.errors import InputError

MOST_CLASSES = 254
"""That a mask of one byte a pixel holds, beside background and ignored pixels."""

KNOWN = (
    "NAME.jpg with NAME.png or NAME_mask.png; images and masks; CLASS/NAME.jpg with CLASS/NAME.png (or "
    "CLASS/images and CLASS/masks) for each class; NAME.jpg with LabelMe's NAME.json; one annotation file "
    "*.json of COCO's kind with images; JPEGImages and SegmentationClass"
)


@dataclass(frozen=True, eq=False)
class Support:
    """A photo that shows what is to be found, and where.

    Attributes:
        name: of the photo, unlike the other supports'.
        image: uint8 RGB [H, W, 3], upright.
        mask: uint8 [H, W]: 0 background, n the class `Supports.classes[n - 1]`, 255 ignored.
        path: the photo's file, or the annotation file that holds it.
        mask_path: the mask's, or that of the annotations.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    path: Path
    mask_path: Path


@dataclass(frozen=True, eq=False)
class Supports:
    """All supports.

    Attributes:
        classes: their names; each is shown by at least one photo.
        photos: in the order of their names, or as they are listed.
        left_out: photos beside them that have no mask.
    """

    classes: tuple[str, ...]
    photos: tuple[Support, ...]
    left_out: tuple[Path, ...] = ()


def read_supports(place: str) -> Supports:
    """Returns the supports in a folder, or among files.

    - NAME.jpg beside NAME.png or NAME_mask.png, and images/NAME.jpg with masks/NAME.png: what the values of
      all masks together mean, `fsjax.data.mask_kinds` says. A class has its name from line n of classes.txt,
      else it is class_n; one object in white is "object". VOC's layout is read so, too.
    - CLASS/NAME.jpg with CLASS/NAME.png, or CLASS/images and CLASS/masks: masks of one object each.
    - NAME.jpg with LabelMe's NAME.json: the labels, in the order of their names. `__ignore__` is ignored.
    - One annotation file of COCO's kind: its categories, in the order of their ids; crowds are ignored.

    Where two classes overlap, the one with fewer pixels in the photo wins, as in `fsjax.data.source.Source`.

    Args:
        place: a folder in one of these layouts, or a glob pattern or files with commas between them: photos
            with masks or LabelMe's files, by their names.

    Raises:
        InputError: there is no such place, no support in it, or its layout is not clear; a photo or mask is
            missing, damaged, no picture or far too large, they differ in size, or a mask marks nothing; or
            there are more than 254 classes.
    """
    layout = layout_of(place, "--support")
    # A mask that shows nothing is a mistake; a photo without outlines is one that nobody has outlined yet.
    outlined = [entry for entry in layout.entries if entry.classes or not _is_annotation(entry)]
    if not outlined:
        raise InputError(f"{place} has no photos with masks: {KNOWN}.")
    check_names(place, layout.classes)
    if len(layout.classes) > MOST_CLASSES:
        raise InputError(
            f"{place} has {len(layout.classes):,} classes, and {MOST_CLASSES} are the most: leave some out."
        )
    photos = tuple(_support(entry, layout.classes) for entry in outlined)
    for number, name in enumerate(layout.classes, 1):
        if not any((photo.mask == number).any() for photo in photos):
            raise InputError(
                f"{place} has no pixel of the class {name!r}, which other classes cover, or which is too "
                "small: outline it anew, or leave it out."
            )
    without = [entry.path for entry in layout.entries if not entry.classes and _is_annotation(entry)]
    return Supports(layout.classes, photos, (*layout.left_out, *without))


def layout_of(text: str, what: str) -> Layout:
    """Returns the photos with masks of a place, none of them read but for the masks' values.

    Args:
        text: see `read_supports`.
        what: it is for, e.g. "--support".

    Raises:
        InputError: as `read_supports`, of the place and its files' names.
    """
    place = places.place_of(text, what)
    if place.folder is None:
        return _of_files(place.files)
    folder = place.folder
    places.entries(folder)  # a sentence where it must not be read
    if label_masks.is_voc(folder):
        masks = next(name for name in label_masks.VOC_MASKS if (folder / name).is_dir())
        return _apart(folder, label_masks.VOC_IMAGES, masks, label_masks.VOC_NAMES)
    if label_masks.is_images_and_masks(folder):
        return _apart(folder, label_masks.IMAGES, label_masks.MASKS)
    beside = [folder / name for name in pairs.picture_names(folder)]
    if labelme.looks_so(folder):
        return layouts.of_labelme(labelme.files_of(folder), beside)
    if coco_file.looks_so(folder):
        return layouts.of_coco(folder, coco_file.only_file(folder))
    if beside and class_folders.looks_so(folder):
        raise InputError(
            f"{folder} has pictures and also folders with pictures, so that its layout is not clear: "
            "name the one that is meant."
        )
    if beside:
        every = pairs.mixed(folder, every=False)
        return layouts.of_values(folder, every, _rest(beside, every))
    return layouts.of_classes(folder) if class_folders.looks_so(folder) else Layout((), ())


def painted(
    masks: Mapping[str, Bool[np.ndarray, "h w"]],
    void: Bool[np.ndarray, "h w"] | None,
    numbers: Mapping[str, int],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w"]:
    """Returns classes' pixels as one mask; where they overlap the one with fewer pixels wins, then the first.

    Args:
        masks: by the classes' names.
        void: pixels to ignore where no class is.
        numbers: of the classes, 1 to 254.
        size: the mask's height and width.
    """
    labels = np.zeros(size, np.uint8)
    if void is not None:
        labels[void] = IGNORED
    for name in sorted(masks, key=lambda name: (-np.count_nonzero(masks[name]), -numbers[name])):
        labels[masks[name]] = numbers[name]
    return labels


def _is_annotation(entry: Entry) -> bool:
    return entry.mask_path.suffix.lower() == ".json"


def _support(entry: Entry, classes: Sequence[str]) -> Support:
    image = entry.photo()
    masks, void = entry.masks()
    if not any(mask.any() for mask in masks.values()):
        raise InputError(
            f"{entry.mask_path} marks nothing in {entry.path}: mark an object, or leave the photo out."
        )
    shape = next(iter(masks.values())).shape
    mask_files.check_fits(shape, str(entry.mask_path), image, str(entry.path))
    numbers = {name: number for number, name in enumerate(classes, 1)}
    mask = painted(masks, void, numbers, image.size)
    return Support(entry.name, image.values, mask, entry.path, entry.mask_path)


def _apart(folder: Path, photos: str, masks: str, usual: Sequence[str] = ()) -> Layout:
    """Returns the layout of a folder that keeps photos and masks in folders of their own."""
    every = pairs.side_by_side(folder, photos, masks, every=False)
    beside = [folder / photos / name for name in pairs.picture_names(folder / photos, below=True)]
    return layouts.of_values(folder, every, _rest(beside, every), usual)


def _of_files(files: Sequence[Path]) -> Layout:
    """Returns the layout of photos and masks, or of photos and LabelMe's files, that are named one by one."""
    annotations = [path for path in files if path.suffix.lower() == ".json"]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if annotations:
        named = {path.stem for path in annotations}
        masks = [p for p in pictures if p.stem.removesuffix(pairs.MASK) != p.stem and p.stem[:-5] in named]
        if masks:
            raise InputError(f"{masks[0]} is a mask beside an annotation file: name one of the two.")
        return layouts.of_labelme(annotations, pictures)
    places.check_unread(files)
    every = pairs.matched(Path(), _by_stem(pictures), every=True)
    return layouts.of_values(Path() if not every else (Path() / every[0].mask).parent, every)


def _by_stem(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Returns files by what they are called without folder and suffix, in the order of their naming."""
    named: dict[str, list[str]] = {}
    for path in paths:
        named.setdefault(path.stem, []).append(str(path))
    return named


def _rest(photos: Sequence[Path], every: Sequence[pairs.Pair]) -> list[Path]:
    taken = {pair.folder / name for pair in every for name in (pair.photo, pair.mask)}
    return [path for path in photos if path not in taken]
