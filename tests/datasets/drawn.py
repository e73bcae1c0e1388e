"""A prepared data set of rectangles that overlap, whose every mask the tests know."""

import io

import numpy as np
from PIL import Image

from datasets.building import build
from datasets.plans import Plan
from datasets.records import Labelled

NAMES = ("ant", "bee", "cat hairs", "dog")
FOLDS = ((1, 2), (3, 4))
LISTS = {
    "first": [*(f"p{i}" for i in range(8)), ("p8", (2,)), ("p9", (1, 3))],
    "second": [f"p{i}" for i in range(6, 12)],
}


def masks_of(number):
    """The height and width of a photo, and bool [H, W] of each class id that it shows."""
    rng = np.random.default_rng([7, number])
    height, width = (int(side) for side in rng.integers(40, 140, 2))
    shown = [1, 2] if number in (8, 9) else sorted(rng.choice([1, 2, 3], rng.integers(1, 4), replace=False))
    masks = {}
    for c in map(int, shown + [3] * (number == 9)):
        top, left = (int(place) for place in rng.integers(0, 30, 2))
        masks[c] = np.zeros((height, width), bool)
        masks[c][top : top + int(rng.integers(5, 90)), left : left + int(rng.integers(5, 90))] = True
    return (height, width), masks


def read(number):
    """A photo of noise with its masks."""
    size, masks = masks_of(number)
    photo = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(noise).save(photo, "PNG")
    return Labelled(f"p{number}", photo.getvalue(), size, masks)


def prepare(tfds_dir, name="drawn", **changes):
    """Builds the data set, or one with other fields of its plan."""
    fields = {
        "kind": "folders", "title": "drawn photos", "version": "v1", "class_names": NAMES,
        "folds": {"halves": FOLDS}, "ids": [f"p{i}" for i in range(12)], "tasks": range(12), "read": read,
        "lists": LISTS, "usual": ("first", "second"), **changes,
    }  # fmt: skip
    return build(Plan(**fields), name, tfds_dir, workers=0)
