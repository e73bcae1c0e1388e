"""What is kept of a segmentation, some hundred kilobytes a photo, and the files that are made of it."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from fsjax.prediction.encoding import indexed, jpeg, png
from fsjax.segmenter import Segmentation
from fsjax.segmenter.overlay import overlay

SHOWN = 1600
"""Pixels of the longer side of overlays, at most."""

COLUMNS = ("photo", "class", "found", "presence", "area", "share", "similarity", "confidence")


@dataclass(frozen=True)
class ClassFound:
    """What was found of one class, whatever presence is asked for.

    Attributes:
      name: of the class.
      presence: 0 to 1; None of a method that cannot say.
      similarity: mean cosine, -1 to 1; None likewise.
      confidence: mean probability, 0 to 1.
      area: pixels.
    """

    name: str
    presence: float | None
    similarity: float | None
    confidence: float
    area: int

    def counts(self, min_presence: float) -> bool:
        """Says whether the class counts as there."""
        return self.area > 0 and (self.presence is None or self.presence >= min_presence)


@dataclass(frozen=True)
class Found:
    """What is kept of a segmentation.

    Attributes:
      mask: an indexed PNG, as large as the photo.
      maps: of each class its probability as a grey PNG, 0 to 255.
      cosines: of each class the cosine of the features of every cell of the network with the painted ones' as
        a grey PNG, 0 where it is 0 or less, 255 where it is 1; none of a method that cannot say.
      classes: what was found of each.
    """

    mask: bytes
    maps: tuple[bytes, ...]
    cosines: tuple[bytes, ...]
    classes: tuple[ClassFound, ...]

    @classmethod
    def of(cls, found: Segmentation) -> "Found":
        """Returns what is kept."""
        scores = zip(
            found.classes, map(_finite, found.presence), map(_finite, found.similarity),
            found.confidence.tolist(), found.area.tolist(), strict=True,
        )  # fmt: skip
        cosines = _greys(found.cosines) if np.isfinite(found.cosines).all() else ()
        classes = tuple(ClassFound(*score) for score in scores)
        return cls(indexed(found.mask), _greys(found.working[..., 1:]), cosines, classes)

    @property
    def weight(self) -> int:
        """The memory that it takes, nearly."""
        return len(self.mask) + sum(map(len, (*self.maps, *self.cosines)))

    def labels(self, min_presence: float) -> UInt8[np.ndarray, "H W"]:
        """Returns the mask without the classes whose presence is below this."""
        kept = np.array([True, *(found.counts(min_presence) for found in self.classes)])
        labels = values_of(self.mask)
        return np.where(kept[labels], labels, 0).astype(np.uint8)

    def overlay(self, photo: UInt8[np.ndarray, "H W 3"], min_presence: float) -> bytes:
        """Returns the photo with what was found tinted and outlined, a JPEG, made smaller if it is large."""
        size = shown_size(photo.shape[0], photo.shape[1])
        small = Image.fromarray(photo).resize(size, Image.Resampling.BOX)
        mask = Image.fromarray(self.labels(min_presence)).resize(size, Image.Resampling.NEAREST)
        return jpeg(overlay(np.asarray(small), np.asarray(mask)))

    def heat(self, label: int) -> bytes:
        """Returns the probability of class 1, 2, ..., as a PNG from dark blue, 0, to yellow, 1."""
        return _colored(Image.open(io.BytesIO(self.maps[label - 1])))

    def similarity(self, label: int) -> bytes:
        """Returns the cosine of class 1, 2, ... in the same colours, 0 or less to 1."""
        return _colored(self._enlarged(self.cosines[label - 1]))

    def similarities(self) -> list[bytes]:
        """Returns the cosine of each class, if there is one, as a grey PNG as large as its probability's."""
        return [png(self._enlarged(grey)) for grey in self.cosines]

    def _enlarged(self, grey: bytes) -> Image.Image:
        size = Image.open(io.BytesIO(self.maps[0])).size
        return Image.open(io.BytesIO(grey)).resize(size, Image.Resampling.BILINEAR)

    def rows(self, photo: str, min_presence: float) -> Iterator[tuple[Any, ...]]:
        """Yields the lines of summary.csv."""
        pixels = values_of(self.mask).size
        for found in self.classes:
            there = found.counts(min_presence)
            area = found.area if there else 0
            scores = (area / pixels, found.similarity, found.confidence)
            yield (
                photo, found.name, "yes" if there else "no", _four(found.presence), area,
                *map(_four, scores),
            )  # fmt: skip


def archive(files: Iterable[tuple[str, bytes]], rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Returns a zip archive.

    Args:
      files: their names and what they hold; what is compressed already is stored as it is.
      rows: of summary.csv.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        for name, content in files:
            packed.writestr(name, content)
        packed.writestr("summary.csv", table.getvalue(), zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def values_of(encoded: bytes) -> UInt8[np.ndarray, "H W"]:
    """Returns the labels in an indexed PNG."""
    return np.asarray(Image.open(io.BytesIO(encoded)))


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Returns the width and height at which a photo is shown."""
    scale = min(1.0, SHOWN / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _greys(values: Float[np.ndarray, "h w N"]) -> tuple[bytes, ...]:
    """Returns a grey PNG for each class."""
    levels = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return tuple(png(Image.fromarray(levels[..., n])) for n in range(levels.shape[-1]))


def _colored(picture: Image.Image) -> bytes:
    colors = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    picture.putpalette(colors.ravel().tolist())
    return png(picture)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
