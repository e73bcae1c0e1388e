"""COCO's annotation files: read within little memory, and turned into one mask for every category.

Polygons and runs become masks by pycocotools, from every part of an object. A file of 860,001 annotations is
read in one go, but its numbers are packed while it is parsed.
"""

import gc
import json
import logging
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from datasets import archives
from fsjax.data import pictures
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)

LARGEST = 2 * 2**30
"""Bytes of an annotation file; that of train2017 has 470 million."""

FARTHEST = 100_000
"""Pixels from a photo's corner that a polygon may reach."""


class Runs(NamedTuple):
    """Runs of pixels that are out, in, out and so on, column by column.

    Attributes:
        counts: the runs' lengths as int64, or compressed as pycocotools does.
        size: height and width in pixels.
    """

    counts: bytes | str
    size: tuple[int, int]


Outline = Runs | tuple[bytes, ...]
"""Of an object: its runs, or the coordinates of its polygons, x and y in turns, as float64."""


class Annotation(NamedTuple):
    """One object, or one crowd of objects; its outline is empty where it has none."""

    image: int | str
    category: int
    crowd: bool
    outline: Outline


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
    LOG.info("reading %s", place)  # a minute's work where it is large
    content = [archives.read(folder, name, LARGEST)]
    try:
        with _without_collecting():
            text = content.pop().decode("utf-8-sig")  # nothing holds the bytes while the text is parsed
            parsed = json.loads(text, object_hook=partial(_packed, place))
            del text
            return _joined(parsed, place)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is no JSON, or was cut short ({error}): fetch it again.") from error


def union(outlines: Sequence[Outline], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of all outlines together, as pycocotools draws them.

    Raises:
        ValueError: an outline cannot be drawn in a photo of this size; it says why.
    """
    runs = [_encoded(outline, size) for outline in outlines]
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def _encoded(outline: Outline, size: tuple[int, int]) -> dict[str, Any]:
    """Returns the compressed runs of an outline after checking it, because pycocotools does not."""
    height, width = size
    if isinstance(outline, Runs):
        compressed = isinstance(outline.counts, str)
        lengths = _run_lengths(outline.counts) if compressed else array("q", outline.counts).tolist()
        if outline.size != size or sum(lengths) != height * width or min(lengths) < 0:
            raise ValueError("runs that do not fill the photo")
        if compressed:
            return {"size": [height, width], "counts": outline.counts.encode()}
        return coco_mask.frPyObjects({"size": [height, width], "counts": lengths}, height, width)
    polygons = [np.frombuffer(polygon) for polygon in outline]
    if not all(np.abs(polygon).max() <= FARTHEST for polygon in polygons):
        raise ValueError("a polygon that leads far out of the photo")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _run_lengths(compressed: str) -> list[int]:
    """Returns the lengths in a text, 5 bits a character; from the fourth on less the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for character in compressed:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {character!r} among its runs")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # the number goes on
            continue
        value -= (bits & 16) << (shift - 4)
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("runs that were cut short")
    return lengths


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


def _packed(place: Path, fields: dict[str, Any]) -> Any:
    """Packs the outline of an annotation as soon as it is parsed."""
    if "segmentation" not in fields:
        return fields
    try:
        outline = _outline(fields["segmentation"])
    except (TypeError, OverflowError) as error:
        raise InputError(
            f"{place} has the annotation {fields.get('id')}, whose segmentation is neither polygons nor runs "
            f"({error}): fetch the file again."
        ) from error
    return Annotation(fields.get("image_id"), fields.get("category_id"), bool(fields.get("iscrowd")), outline)


def _outline(segmentation: Any) -> Outline:
    if not segmentation:
        return ()
    if isinstance(segmentation, list):
        return tuple(array("d", polygon).tobytes() for polygon in segmentation if len(polygon) >= 6)
    if not isinstance(segmentation, dict):
        raise TypeError(f"it is {segmentation!r:.40}")
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if not isinstance(counts, str):
        counts = array("q", counts).tobytes()
    return Runs(counts, tuple(size)) if counts else ()


def _joined(parsed: Any, place: Path) -> Annotated:
    parts = ("images", "annotations", "categories")
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(part), list) for part in parts):
        raise InputError(
            f"{place} is not one of COCO's instances files, which have images, annotations and categories: "
            "name another."
        )
    names = dict(_rows(parsed["categories"], {"id": int, "name": str}, "a category", place))
    kinds = {"id": int | str, "file_name": str, "height": int, "width": int}
    photos = list(_rows(parsed.pop("images"), kinds, "an image", place))
    for _, file, height, width in photos:
        if min(height, width) < 1 or height * width > pictures.MOST_PIXELS:
            raise InputError(
                f"{place} has the image {file} of {height}x{width} pixels (height x width): mend its size."
            )
    of_image = _of_image(parsed.pop("annotations"), {id for id, *_ in photos}, names, place)
    return Annotated(
        names={id: names[id] for id in sorted(names)},
        photos=[Photo(file, (height, width), tuple(of_image[id])) for id, file, height, width in photos],
    )


def _rows(entries: Sequence[Any], kinds: Mapping[str, Any], what: str, place: Path) -> Iterator[tuple]:
    """Yields the fields of entries that must have them, no two with one id."""
    seen = set()
    for entry in entries:
        row = tuple(entry.get(name) if isinstance(entry, dict) else None for name in kinds)
        for value, (name, kind) in zip(row, kinds.items(), strict=True):
            if not isinstance(value, kind):
                raise InputError(f"{place} has {what} without {name}: name a file of COCO's instances.")
        if row[0] in seen:
            raise InputError(f"{place} has {what} with the id {row[0]} twice: fetch it again.")
        seen.add(row[0])
        yield row


def _of_image(
    annotations: Sequence[Any], images: set[int | str], names: Mapping[int, str], place: Path
) -> Mapping[int | str, list[Annotation]]:
    of_image: dict[int | str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        if not isinstance(annotation, Annotation):
            raise InputError(
                f"{place} has annotations without segmentation: name a file of COCO's instances."
            )
        for what, id, known in (
            ("image", annotation.image, images),
            ("category", annotation.category, names),
        ):
            if not isinstance(id, int | str) or id not in known:
                raise InputError(
                    f"{place} has an annotation of the {what} {id}, which it does not list: fetch it again."
                )
        of_image[annotation.image].append(annotation)
    return of_image
