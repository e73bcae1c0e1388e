"""What the library asks of a data set; `datasets/` opens the real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.episode import IGNORED

LISTED, SHRINKS = 1, 2
"""Bits of `Source.eligible`."""


@runtime_checkable
class Source(Protocol):
    """Random access to labelled photos. Positions count from 0, class ids from 1."""

    name: str  # the data set, e.g. "shapes": a part of hashes and manifests
    version: str  # changes whenever an image or a label does
    title: str  # what reports call the data, e.g. "VOC folder: 6 classes"
    split: str  # the name of the list, e.g. "trainaug"
    class_names: Sequence[str]  # class_names[c - 1] is the name of class id c
    folds: Sequence[Sequence[int]]  # the class ids that each fold holds out
    ids: Sequence[str]  # the id of the image at each position
    cache_dir: Path  # a folder of this data set in which the class index may be kept

    def image(self, position: int) -> np.ndarray:
        """Returns the photo, uint8 RGB [H, W, 3]."""

    def mask(self, position: int, class_ids: Sequence[int], way: int | None) -> np.ndarray:
        """Returns the labels of one photo for an episode's classes.

        In COCO one pixel can belong to several objects. A class that is asked for never loses pixels to one
        that is not. Of two that are, a support's pixel belongs to the way that it supports; else the class
        with fewer pixels in the photo wins.

        Args:
            position: of the photo.
            class_ids: the classes that are asked for, each once.
            way: what the photo is a support of, 1 to N; None for a query. Of no account where pixels have
                one label.

        Returns:
            uint8 [H, W] as large as the photo: n for class_ids[n - 1], 0 for all else, 255 void.
        """

    def size(self, position: int) -> tuple[int, int]:
        """Returns the photo's height and width in pixels, without decoding it."""

    def areas(self, position: int) -> np.ndarray:
        """Returns int32 [C]: the pixels of class ids 1..C in the stored labels, without decoding them."""

    def eligible(self, position: int) -> np.ndarray:
        """Returns uint8 [C], bits of class ids 1..C, without decoding the labels.

        `LISTED` is set where the list has the photo for the class, `SHRINKS` where the class's mask, resized
        to 1/32, sums to more than 2, which is the rule of OSLSM's lists.
        """


@runtime_checkable
class Reducing(Protocol):
    """A source that can decode a photo at a part of its size, and hands it over without a copy."""

    def picture(self, position: int, least: tuple[int, int]) -> Image.Image:
        """Returns the photo as an RGB picture of Pillow's.

        Args:
            position: of the photo.
            least: height and width in pixels. A photo may be decoded at 1/2, 1/4 or 1/8 of its size as long
                as neither side comes out smaller.
        """


def relabel(labels: UInt8[np.ndarray, "h w"], class_ids: Sequence[int]) -> UInt8[np.ndarray, "h w"]:
    """Returns `Source.mask` where every pixel has one label.

    Args:
        labels: the class id of each pixel, 0 background, 255 void.
        class_ids: the classes that are asked for; class_ids[n - 1] becomes n, other classes 0.

    >>> relabel(np.array([[0, 3, 8, 15, 255]], np.uint8), [15, 8])
    array([[  0,   0,   2,   1, 255]], dtype=uint8)
    """
    table = np.zeros(256, np.uint8)
    table[list(class_ids)] = np.arange(1, len(class_ids) + 1)
    table[IGNORED] = IGNORED
    return table[labels]
