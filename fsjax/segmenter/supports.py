"""What a fitted segmenter was fitted to, and photos on their way there."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from fsjax.data.images import InputSettings, mask_of_way
from fsjax.data.resizing import padded, resize_mask
from fsjax.episode import IGNORED
from fsjax.segmenter.batches import as_input
from fsjax.segmenter.presence import Known


class Sample(NamedTuple):
    """A support as the network sees it, at the top left of its arrays."""

    image: UInt8[np.ndarray, "S S 3"]
    size: Int32[np.ndarray, "2"]
    mask: UInt8[np.ndarray, "S S"]  # 0 background, 1 to N, 255 ignored

    @classmethod
    def of(
        cls, photo: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"], inputs: InputSettings
    ) -> "Sample":
        """Returns a photo and its mask at the input's size."""
        image, size = as_input(photo, inputs)
        return cls(image, size, padded(resize_mask(mask, *size.tolist()), inputs.size, inputs.size))


class Supports(NamedTuple):
    """What K photos show of N classes.

    Attributes:
      masks: as they were given, uint8 [H, W] each.
      present: bool [N, K], which photo is a support of which class.
      features: of the photos, leaves [1, K, ...].
      descriptions: of `Segmenter.describe`, leaves [1, 1, 1, N, K, ...].
      known: what `fsjax.segmenter.presence` compares photos with; None of a method without a network.
    """

    masks: Sequence[np.ndarray]
    present: Bool[np.ndarray, "N K"]
    features: Any
    descriptions: Any
    known: Known | None


def of_ways(mask: UInt8[np.ndarray, "S S"], ways: int) -> UInt8[np.ndarray, "N S S"]:
    """Returns a mask for each way: 1 the way, 0 background, 255 all else."""
    return np.stack([mask_of_way(mask, n) for n in range(1, ways + 1)])


def by_way(samples: Sequence[Sample], present: Bool[np.ndarray, "N K"]) -> tuple[np.ndarray, ...]:
    """Returns images, masks and sizes as adaptation takes them, [N, most, ...].

    A photo stands under every class that it is a support of. A class with fewer photos than another is
    filled up with ones of which every pixel is ignored.
    """
    most = int(present.sum(1).max())
    side = len(samples[0].mask)
    nothing = Sample(
        np.zeros((side, side, 3), np.uint8),
        np.full(2, side, np.int32),
        np.full((side, side), IGNORED, np.uint8),
    )
    rows = [[samples[k] for k in np.flatnonzero(of_way).tolist()] for of_way in present]
    filled = [[*row, *[nothing] * (most - len(row))] for row in rows]
    parts = ("image", "mask", "size")
    return tuple(np.stack([[getattr(one, part) for one in row] for row in filled]) for part in parts)
