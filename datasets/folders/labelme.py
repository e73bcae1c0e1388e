"""LabelMe's annotations: a file NAME.json for each photo, with outlines and what each is of."""

import base64
import binascii
import json
import math
import os
import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets import archives
from datasets.coco20i import coco_json
from datasets.folders import pairs
from datasets.folders.found import Found, composed, list_files, sha256_of
from datasets.records import Labelled
from fsjax.data import mask_files, photo_files, pictures
from fsjax.errors import InputError

BACKGROUND, IGNORE = "_background_", "__ignore__"
"""Labels that are no classes, as LabelMe's own programs have them."""

_MARK, _HEAD = re.compile(rb'"shapes"\s*:\s*\['), 2**16
"""What an annotation file is known by, and in how many of its first bytes."""

_SIDES = 64
"""Of a polygon that is drawn for a circle; of a large one it has more."""


class Outlined(NamedTuple):
    """What an annotation file says.

    Attributes:
        file: it is.
        photo: the photo's file beside it; None where the photo lies in the annotation file.
        size: the photo's height and width in pixels, upright.
        shapes: the outlines by their labels, as `Shape`s, but for those of the background.
    """

    file: Path
    photo: Path | None
    size: tuple[int, int]
    shapes: Mapping[str, Sequence["Shape"]]

    @property
    def where(self) -> str:
        """The photo lies."""
        return str(self.photo or self.file)

    @property
    def labels(self) -> list[str]:
        """The classes that it shows, in the order of their names."""
        return sorted(self.shapes.keys() - {IGNORE})


class Shape(NamedTuple):
    """One outline: a polygon, or a mask that stands in the file.

    Attributes:
        polygon: x and y in turns, in pixels; of a mask its upper left corner.
        mask: encoded, or empty.
    """

    polygon: tuple[float, ...]
    mask: bytes = b""


class Task(NamedTuple):
    """What is needed to read one photo."""

    id: str
    file: Path
    class_ids: Mapping[str, int]


def is_annotation(path: Path) -> bool:
    """Says whether a file looks as LabelMe writes them."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.search(file.read(_HEAD)) is not None


def looks_so(folder: Path) -> bool:
    """Says whether a folder holds such files."""
    return any(is_annotation(path) for path in files_of(folder))


def find(folder: Path) -> Found:
    """Returns the photos of a folder that LabelMe's files outline something in.

    Args:
        folder: has NAME.json for each photo, and the photo beside it or in it.

    Raises:
        InputError: a file is not LabelMe's, or `read` says so.
    """
    every = read_all(folder)
    kept = [outlined for outlined in every if outlined.labels]
    names = sorted({label for outlined in kept for label in outlined.labels})
    class_ids = {name: class_id for class_id, name in enumerate(names, 1)}
    files = [file for outlined in every for file in (outlined.file, outlined.photo) if file is not None]
    return Found(
        title="LabelMe annotations",
        class_names=names,
        ids=[outlined.file.stem for outlined in kept],
        tasks=[Task(outlined.file.stem, outlined.file, class_ids) for outlined in kept],
        read=labelled,
        shown=[tuple(class_ids[label] for label in outlined.labels) for outlined in kept],
        content=sha256_of([(file.parent, file.name) for file in files], "looking at photos and outlines"),
        lists=list_files(folder),
        left_out={outlined.file.stem for outlined in every if not outlined.labels},
    )


def labelled(task: Task) -> Labelled:
    """Returns a photo with a mask for every label that it shows.

    Raises:
        InputError: the photo or the annotation file is damaged, they differ in size, or an outline cannot be
            drawn.
    """
    outlined = read(task.file)
    photo = photo_files.stored(photo_of(outlined), outlined.where)
    mask_files.check_fits(outlined.size, str(outlined.file), photo, outlined.where)
    masks, void = masks_of(outlined)
    shown = {task.class_ids[label]: mask for label, mask in masks.items()}
    return Labelled(task.id, photo.encoded, photo.size, shown, void)


def read_all(folder: Path) -> list[Outlined]:
    """Returns what all annotation files in a folder say.

    Raises:
        InputError: as `read`.
    """
    return [read(path) for path in files_of(folder)]


def read(file: Path) -> Outlined:
    """Returns what an annotation file says.

    Raises:
        InputError: it is damaged, not LabelMe's, or its photo is missing; or a shape is neither polygon,
            rectangle, circle nor mask.
    """
    fields = _fields(file)
    height, width = (fields.get(name) for name in ("imageHeight", "imageWidth"))
    if not all(type(side) is int and side > 0 for side in (height, width)):  # True is no length
        raise InputError(f"{file} has no imageHeight and imageWidth: save it with LabelMe again.")
    if height * width > pictures.MOST_PIXELS:
        raise InputError(f"{file} is of a photo with over {pictures.MOST_PIXELS:,} pixels: make it smaller.")
    shapes: dict[str, list[Shape]] = {}
    for entry in fields["shapes"]:
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"{file} has a shape without a label: give it one in LabelMe.")
        if label != BACKGROUND:
            shapes.setdefault(composed(label.strip()), []).append(_shape(entry, label, file))
    photo = _photo_beside(file, fields.get("imagePath"))
    if photo is None and not fields.get("imageData"):
        raise InputError(f"{file} has no photo {fields.get('imagePath')} beside it: put it there.")
    return Outlined(file, photo, (height, width), shapes)


def photo_of(outlined: Outlined) -> bytes:
    """Returns the encoded photo that an annotation file is of.

    Raises:
        InputError: it is missing, or what the file has in its place is damaged.
    """
    if outlined.photo is not None:
        return pictures.encoded_of(outlined.photo)
    return _unpacked(_fields(outlined.file).get("imageData"), "photo", outlined.file)


def masks_of(outlined: Outlined) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Returns the pixels of every label, bool [H, W], and those to be ignored, if there are any.

    Polygons are drawn by pycocotools, as COCO's are; shapes of one label are united, whatever their group.

    Raises:
        InputError: a shape cannot be drawn.
    """
    masks = {}
    for label, shapes in outlined.shapes.items():
        try:
            masks[label] = _union(shapes, outlined.size, outlined.file)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{outlined.file} has, for {label!r}, {error}: mend it in LabelMe.") from error
    void = masks.pop(IGNORE, None)
    return masks, void


def files_of(folder: Path) -> list[Path]:
    """Returns the annotation files in a folder, by their names."""
    return [path for path in pairs.visible(folder) if path.suffix.lower() == ".json"]


def _fields(file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(archives.text_of(file))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON, or was cut short: save it with LabelMe again.") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("shapes"), list):
        raise InputError(f"{file} is no annotation of LabelMe's, which has shapes: leave it out.")
    return fields


def _photo_beside(file: Path, named: Any) -> Path | None:
    """Returns the photo in the annotation file's folder that it names, else one that is called like it."""
    name = named.replace("\\", "/").rpartition("/")[2] if isinstance(named, str) else ""
    if name and os.path.exists(file.parent / name):  # which knows every name, however long
        return file.parent / name
    beside = sorted(path for path in file.parent.glob("*.*") if path.stem == file.stem)
    return next((path for path in beside if path.suffix.lower() in pairs.SUFFIXES), None)


def _shape(entry: Mapping[str, Any], label: str, file: Path) -> Shape:
    kind, points = entry.get("shape_type") or "polygon", entry.get("points")
    where = f"{file} has, for {label!r}, a {kind}"
    if not _are_points(points):
        raise InputError(f"{where} whose points are not pairs of numbers: draw it again in LabelMe.")
    if kind == "mask" and points:
        x, y = points[0]
        return Shape((x, y), _unpacked(entry.get("mask"), f"mask of {label!r}", file))
    if kind == "circle" and len(points) == 2:
        return Shape(_circle(*points))
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return Shape((left, top, right, top, right, bottom, left, bottom))
    if kind in ("polygon", "rectangle", "rotation") and len(points) >= 3:
        return Shape(tuple(coordinate for point in points for coordinate in point))
    if kind in ("polygon", "rectangle", "rotation", "circle", "mask"):
        raise InputError(f"{where} of {len(points)} points: draw it again in LabelMe.")
    raise InputError(f"{where}, which has no area: draw a polygon, a rectangle or a circle in its place.")


def _are_points(points: Any) -> bool:
    return isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and all(_is_coordinate(value) for value in point)
        for point in points
    )


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= coco_json.FARTHEST  # NaN is not


def _circle(centre: Sequence[float], rim: Sequence[float]) -> tuple[float, ...]:
    """Returns a polygon as large as a circle, of which LabelMe keeps the centre and a point of the rim."""
    radius = math.dist(centre, rim)
    sides = max(_SIDES, math.ceil(2 * radius))
    step = 2 * math.pi / sides
    radius *= math.sqrt(step / math.sin(step))  # for a polygon on the rim has less area
    return tuple(
        coordinate
        for n in range(sides)
        for coordinate in (centre[0] + radius * math.cos(n * step), centre[1] + radius * math.sin(n * step))
    )


def _union(shapes: Sequence[Shape], size: tuple[int, int], file: Path) -> np.ndarray:
    polygons = tuple(array("d", shape.polygon).tobytes() for shape in shapes if not shape.mask)
    union = coco_json.union([polygons], size) if polygons else np.zeros(size, bool)
    for shape in shapes:
        if shape.mask:
            _paste(union, shape, file)
    return union


def _paste(union: np.ndarray, shape: Shape, file: Path) -> None:
    """Adds a mask of a part of the photo, whose upper left corner is known."""
    mask = np.asarray(pictures.decoded(shape.mask, f"A mask in {file}"))
    x, y = (int(coordinate) for coordinate in shape.polygon)
    if mask.ndim != 2 or x < 0 or y < 0:
        raise ValueError("a mask that is not grey or leads out of the photo")
    part = union[y : y + mask.shape[0], x : x + mask.shape[1]]
    part |= mask[: part.shape[0], : part.shape[1]] > 0


def _unpacked(text: Any, what: str, file: Path) -> bytes:
    try:
        encoded = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        encoded = b""
    if not encoded:
        raise InputError(f"{file} holds a {what} that is not in base64: save it with LabelMe again.")
    return encoded
