"""What a class is called in one data set and in another."""

from collections.abc import Iterable

_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""PASCAL VOC's names that differ from COCO's of the same class."""


def shared(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Returns the names whose classes are among the others, too, whether named as in VOC or in COCO.

    >>> shared(["cat", "sofa", "train"], ["couch", "cat"])
    ['cat', 'sofa']
    """
    known = {_COCO.get(name, name) for name in others}
    return [name for name in names if _COCO.get(name, name) in known]
