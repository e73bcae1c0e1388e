"""COCO's annotation files: read within little memory, and turned into one mask for every category.

Polygons and runs become masks by pycocotools, from every part of an object. A file of 860,001 annotations is
read in one go, but its numbers are packed while it is parsed.
"""

import gc
import json
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from datasets import archives
from fsjax.errors import InputError

LARGEST = 4 * 2**30
"""Bytes of an annotation file; that of train2017 has 470 million."""

Packed = bytes | str | tuple[bytes, ...]
"""An object's outline: polygons' coordinates, the counts of plain runs, or compressed runs."""


class Annotation(NamedTuple):
    """One object, or one crowd of objects."""

    image: int
    category: int
    crowd: bool
    outline: Packed


class Photo(NamedTuple):
    """One photo's file and its annotations, in the file's order."""

    file: str
    size: tuple[int, int]
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class Annotated:
    """What an annotation file says.

    Attributes:
        names: of the categories, by their ids in ascending order.
        photos: all of them, in the file's order, those without annotations included.
    """

    names: Mapping[int, str]
    photos: Sequence[Photo]


def read(folder: Path, name: str) -> Annotated:
    """Reads an annotation file out of a folder or an archive.

    Raises:
        InputError: it is missing, not COCO's instances, or contradicts itself.
    """
    place = folder / name
    try:
        with _without_collecting():
            parsed = json.loads(archives.read(folder, name, LARGEST), object_hook=_packed)
            return _joined(parsed, place)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place} is no JSON, or was cut short ({error}): fetch it again.") from error


def mask_of(outline: Packed, size: tuple[int, int]) -> dict[str, Any]:
    """Returns the compressed runs of an outline, as pycocotools makes them of an annotation."""
    height, width = size
    if isinstance(outline, str):
        return {"size": [height, width], "counts": outline.encode()}
    if isinstance(outline, bytes):
        counts = array("q", outline).tolist()
        return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    polygons = [array("d", polygon).tolist() for polygon in outline]
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def union(outlines: Sequence[Packed], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of all outlines together."""
    runs = [mask_of(outline, size) for outline in outlines]
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Keeps the garbage collector from walking through millions of new objects again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _packed(fields: dict[str, Any]) -> Any:
    """Packs the outline of an annotation as soon as it is parsed."""
    if "segmentation" not in fields:
        return fields
    outline = fields["segmentation"]
    packed: Any = None
    if isinstance(outline, list) and outline and all(isinstance(polygon, list) for polygon in outline):
        packed = tuple(array("d", polygon).tobytes() for polygon in outline if len(polygon) >= 6)
    elif isinstance(outline, dict) and isinstance(outline.get("counts"), list):
        packed = array("q", outline["counts"]).tobytes()
    elif isinstance(outline, dict) and isinstance(outline.get("counts"), str):
        packed = outline["counts"]
    crowd = bool(fields.get("iscrowd", 0))
    return Annotation(fields.get("image_id"), fields.get("category_id"), crowd, packed or ())


def _joined(parsed: Any, place: Path) -> Annotated:
    if not isinstance(parsed, dict) or not {"images", "annotations", "categories"} <= parsed.keys():
        raise InputError(
            f"{place} is not one of COCO's instances files, which have images, annotations and categories: "
            "name another."
        )
    if not all(isinstance(annotation, Annotation) for annotation in parsed["annotations"]):
        raise InputError(f"{place} has annotations without segmentation: name a file of COCO's instances.")
    try:
        names = {category["id"]: category["name"] for category in parsed["categories"]}
        photos = [
            (image["id"], image["file_name"], image["height"], image["width"]) for image in parsed["images"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{place} has an image or a category without {error}: name a file of COCO's instances."
        ) from error
    of_image: dict[int, list[Annotation]] = defaultdict(list)
    known = {id for id, *_ in photos}
    for annotation in parsed.pop("annotations"):
        if annotation.image not in known or annotation.category not in names:
            raise InputError(
                f"{place} has an annotation of image {annotation.image} and category {annotation.category}, "
                "one of which it does not list: fetch it again."
            )
        of_image[annotation.image].append(annotation)
    return Annotated(
        names={id: names[id] for id in sorted(names)},
        photos=[Photo(file, (height, width), tuple(of_image[id])) for id, file, height, width in photos],
    )
