"""What is found in a photo: its mask, how sure that is, and how it looks."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from fsjax.segmenter.overlay import ink, overlay


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What is found in one photo.

    Attributes:
      photo: uint8 RGB [H, W, 3], upright.
      mask: uint8 [H, W], as large as the photo: 0 background, 1 to N the classes.
      classes: the names of classes 1 to N.
      presence: of each class the score of its being there, float32 [N], 0 to 1 (`fsjax.segmenter.presence`);
        NaN of a method without a network.
      similarity: of each class the mean cosine of the found pixels' features with the supports', float32
        [N], -1 to 1; NaN as well.
      working: the probabilities of background and the classes, float32 [h, w, N + 1]; smaller than a photo
        of thousands of pixels.
      cosines: of the features of every cell of the network with each class's prototype, float32 [cells high,
        cells wide, N], -1 to 1; one cell of NaN as well.
    """

    photo: UInt8[np.ndarray, "H W 3"] = field(repr=False)
    mask: UInt8[np.ndarray, "H W"] = field(repr=False)
    classes: tuple[str, ...]
    presence: Float[np.ndarray, " N"]
    similarity: Float[np.ndarray, " N"]
    working: Float[np.ndarray, "h w classes"] = field(repr=False)
    cosines: Float[np.ndarray, "high wide N"] = field(repr=False)

    @cached_property
    def area(self) -> np.ndarray:
        """The pixels of each class, int64 [N]."""
        return np.array([np.count_nonzero(self.mask == n) for n in range(1, len(self.classes) + 1)])

    @cached_property
    def confidence(self) -> np.ndarray:
        """The mean probability of each class in its pixels, float32 [N], 0 to 1; 0 where it has none."""
        mask = self.working_mask
        labels = range(1, len(self.classes) + 1)
        return np.array([_mean(self.working[..., n], mask == n) for n in labels], np.float32)

    @property
    def working_mask(self) -> np.ndarray:
        """The mask's nearest pixels at the size of `working`, uint8 [h, w]."""
        height, width = self.working.shape[:2]
        if self.mask.shape == (height, width):
            return self.mask
        return np.asarray(Image.fromarray(self.mask).resize((width, height), Image.Resampling.NEAREST))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of background and each class, float32 [H, W, N + 1], as large as the photo."""
        return np.stack([self.probability(n) for n in range(len(self.classes) + 1)], -1)

    def probability(self, label: int) -> np.ndarray:
        """Returns the probability of a label, 0 for background, float32 [H, W], as large as the photo."""
        return enlarged(self.working[..., label], self.mask.shape)

    def similarity_map(self, label: int) -> np.ndarray:
        """Returns the cosine of every pixel's features with those of class 1, 2, ..., float32 [H, W]."""
        return enlarged(self.cosines[..., label - 1], self.mask.shape)

    def at_least(self, min_presence: float) -> "Segmentation":
        """Returns it without the classes whose presence is below this; they keep that."""
        kept = ~(self.presence < min_presence)
        if kept.all():
            return self
        labels = np.arange(len(kept) + 1, dtype=np.uint8) * np.concatenate([[True], kept])
        similarity = np.where(kept, self.similarity, np.float32(0))
        return replace(self, mask=labels.astype(np.uint8)[self.mask], similarity=similarity)

    @cached_property
    def overlay(self) -> np.ndarray:
        """The photo with the classes tinted and outlined, uint8 RGB [H, W, 3]."""
        return overlay(self.photo, self.mask)

    def plot(self, axis: Any = None) -> Any:
        """Draws the overlay with the classes' names and scores, and returns matplotlib's axis.

        Args:
          axis: to draw on; by default one of a new figure.
        """
        if axis is None:
            from matplotlib.figure import Figure

            height, width = self.mask.shape
            axis = Figure(figsize=(5, max(1.0, 5 * height / width)), layout="constrained").subplots()
        axis.imshow(self.overlay)
        axis.set(xticks=[], yticks=[])
        for n, (name, presence) in enumerate(zip(self.classes, self.presence, strict=True), 1):
            text = f"{name}  presence {presence:.2f}, confidence {self.confidence[n - 1]:.2f}"
            axis.plot([], [], "s", color=ink(n), label=text if self.area[n - 1] else f"{name}  not found")
        axis.legend(loc="upper left", bbox_to_anchor=(0, 0), frameon=False, fontsize=8)
        return axis

    def _repr_png_(self) -> bytes:
        """Returns the picture that a notebook shows."""
        picture = io.BytesIO()
        Image.fromarray(self.overlay).save(picture, "PNG")
        return picture.getvalue()


def segmentation(
    photo: UInt8[np.ndarray, "H W 3"],
    logits: Float[np.ndarray, "h w classes"],
    classes: Sequence[str],
    threshold: float | None = None,
) -> Segmentation:
    """Returns what is found, without presence and what is similar.

    Args:
      photo: it.
      logits: of background and the classes.
      classes: their names.
      threshold: the probability from which on a pixel belongs to its likeliest class, 0 to 1; by default
        background is a candidate as the classes are.
    """
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = powers / powers.sum(-1, keepdims=True)
    mask = labels_of(logits if threshold is None else probabilities, photo.shape[:2], threshold)
    unknown = np.full(len(classes), np.nan, np.float32)
    return Segmentation(
        photo,
        mask,
        tuple(classes),
        unknown,
        unknown,
        probabilities,
        np.broadcast_to(unknown, (1, 1, len(classes))),
    )


def labels_of(
    values: Float[np.ndarray, "h w classes"], size: Sequence[int], threshold: float | None = None
) -> UInt8[np.ndarray, "H W"]:
    """Returns the class of every pixel of a photo.

    Args:
      values: logits of background and the classes, or with a threshold probabilities.
      size: the photo's height and width; values of a smaller one are enlarged, one class at a time.
      threshold: as in `segmentation`.
    """
    planes = (enlarged(plane, size) for plane in np.moveaxis(values, -1, 0))
    background = next(planes)
    label = np.zeros(background.shape, np.uint8)
    best = background.copy() if threshold is None else np.full(background.shape, -1, np.float32)
    for n, plane in enumerate(planes, 1):
        better = plane > best
        label[better] = n
        np.copyto(best, plane, where=better)
    if threshold is not None:
        label[best < threshold] = 0
    return label


def enlarged(values: Float[np.ndarray, "h w"], size: Sequence[int]) -> Float[np.ndarray, "H W"]:
    """Returns values resized bilinearly to a height and a width; themselves where they have that size."""
    if values.shape == tuple(size):
        return values
    picture = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _mean(values: np.ndarray, where: Bool[np.ndarray, "h w"]) -> float:
    return float(values[where].mean()) if where.any() else 0.0
