"""What was found, as COCO's instances: one mask for each photo and class, run-length encoded."""

import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from fsjax.segmenter import Segmentation


class Annotated(NamedTuple):
    """A photo and what was found in it, without ids.

    Attributes:
      image: what the annotation file says of the photo.
      objects: what it says of each object, as JSON: lists of numbers take several times its memory.
    """

    image: dict[str, Any]
    objects: list[bytes]


def annotated(name: str, file: str, found: Segmentation) -> Annotated:
    """Returns what the annotations say of a photo.

    Args:
      name: of the photo.
      file: where it is.
      found: in it.
    """
    height, width = found.mask.shape
    objects = [_object(found, n) for n in range(1, len(found.classes) + 1) if found.area[n - 1]]
    return Annotated({"file_name": file, "name": name, "height": height, "width": width}, objects)


def document(photos: Sequence[Annotated], classes: Sequence[str]) -> bytes:
    """Returns the content of the annotation file; ids count from 1."""
    images = [{"id": number, **photo.image} for number, photo in enumerate(photos, 1)]
    categories = [{"id": n, "name": name} for n, name in enumerate(classes, 1)]
    objects = ((number, one) for number, photo in enumerate(photos, 1) for one in photo.objects)
    content = io.BytesIO()  # written to piece by piece: of thousands of photos it is large
    content.write(b'{"images": %s, "annotations": [' % _json(images))
    for id, (number, one) in enumerate(objects, 1):
        content.write(b", " if id > 1 else b"")
        content.write(b'{"id": %d, "image_id": %d, ' % (id, number))
        content.write(one.removeprefix(b"{"))
    content.write(b'], "categories": %s}' % _json(categories))
    return content.getvalue()


def runs(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """Returns the lengths of runs of pixels that are out, in, out and so on, column by column.

    >>> runs(np.array([[False, True], [True, True]]))
    [1, 3]
    >>> runs(np.array([[True, False]]))
    [0, 1, 1]
    """
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    ends = np.concatenate([[0] if pixels[0] else [], changes, [len(pixels)]]).astype(int)
    return np.diff(ends, prepend=0).tolist()


def box(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """Returns the smallest rectangle around a mask's pixels, as COCO does: left, top, width and height."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [
        int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
    ]  # fmt: skip


def _object(found: Segmentation, n: int) -> bytes:
    """Returns what the annotations say of class n in a photo, without ids."""
    mask = found.mask == n
    return _json(
        {
            "category_id": n,
            "segmentation": {"size": list(mask.shape), "counts": runs(mask)},
            "area": int(found.area[n - 1]),
            "bbox": box(mask),
            "iscrowd": 0,
            "score": round(float(found.confidence[n - 1]), 4),
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
