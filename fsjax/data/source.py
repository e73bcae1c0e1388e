"""What the library asks of a data set; `datasets/` opens the real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Source(Protocol):
    """Random access to labelled photos. Positions count from 0, class ids from 1."""

    name: str  # the data set, e.g. "shapes"
    version: str  # changes whenever an image or a label does
    split: str  # "train" or "test"
    class_names: Sequence[str]  # class_names[c - 1] is the name of class id c
    folds: Sequence[Sequence[int]]  # the class ids that each fold holds out
    ids: Sequence[str]  # the id of the image at each position
    cache_dir: Path  # a folder of this data set in which the class index may be kept

    def image(self, position: int) -> np.ndarray:
        """Returns the photo, uint8 RGB [H, W, 3]."""

    def labels(self, position: int) -> np.ndarray:
        """Returns its class ids, uint8 [H, W]: 0 background, 255 void."""

    def size(self, position: int) -> tuple[int, int]:
        """Returns the photo's height and width without decoding it."""

    def areas(self, position: int) -> np.ndarray:
        """Returns int32 [C]: the pixels of class ids 1..C in `labels`, without decoding them."""
