"""The folder of a prediction: masks, overlays, maps, a table, COCO's annotations, and a page of all.

masks/NAME.png            indexed: 0 background, n class n; as large as the photo
overlays/NAME.jpg         the photo with what was found tinted and outlined
maps/NAME.CLASS.png       where asked for: the class's probability, 0 to 255
summary.csv               a line for each photo and class
annotations.json          COCO's instances, a run-length mask for each photo and class that was found
index.html                all of it to leaf through
prediction.json           what it was made with
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.prediction import coco, page
from fsjax.prediction.encoding import distinct, indexed, jpeg, png
from fsjax.prediction.own_files import OwnFiles, emptied
from fsjax.segmenter import Segmentation
from fsjax.segmenter.overlay import overlay

MASKS, OVERLAYS, MAPS, SUPPORTS = "masks", "overlays", "maps", "supports"

LONGEST_NAME = 60
"""Letters of a class's name in that of a file."""


@dataclass(frozen=True)
class Found:
    """What was found of one class in one photo: a line of summary.csv.

    Attributes:
      name: of the photo.
      file: where it is.
      class_name: of the class.
      found: whether it is in the mask.
      presence: 0 to 1.
      area: pixels.
      share: of the photo's pixels, 0 to 1.
      similarity: mean cosine, -1 to 1.
      confidence: mean probability, 0 to 1.
      iou: with the truth, 0 to 1; None without one, or where neither shows the class.
      error: why the photo has no mask, or no IoU.
    """

    name: str
    file: str
    class_name: str = ""
    found: bool = False
    presence: float = 0.0
    area: int = 0
    share: float = 0.0
    similarity: float = 0.0
    confidence: float = 0.0
    iou: float | None = None
    error: str = ""


COLUMNS = (
    "photo", "file", "class", "found", "presence", "area", "share", "similarity", "confidence", "iou",
    "error",
)  # fmt: skip


@dataclass(eq=False)
class Answers:
    """Collects what is found and writes it; `finish` writes what is of all photos together.

    Attributes:
      files: of it.
      classes: the names of classes 1 to N.
      maps: whether the classes' probabilities are written, too.
      rows: what was found so far.
    """

    files: OwnFiles
    classes: Sequence[str]
    maps: bool = False
    rows: list[Found] = field(default_factory=list)
    _annotated: list[coco.Annotated] = field(default_factory=list)
    _supports: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def into(
        cls, folder: str | Path, classes: Sequence[str], about: Mapping[str, Any], *, maps: bool = False
    ) -> Iterator["Answers"]:
        """Yields the answers of a new prediction; no other process writes to its folder meanwhile.

        Args:
          folder: new, empty, or of an earlier prediction, whose files are replaced.
          classes: see `Answers`.
          about: what it is made with.
          maps: see `Answers`.

        Raises:
          InputError: the folder holds anything else, cannot be written to, or is being written to.
        """
        with emptied(folder) as files:
            files.write("prediction.json", json.dumps(about, ensure_ascii=False, indent=1).encode())
            yield cls(files, classes, maps)

    def show_support(
        self, photo: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"], lines: Sequence[str]
    ) -> None:
        """Writes a support with its mask, for the page.

        Args:
          photo: it.
          mask: 0 background, 1 to N the classes, 255 what is neither.
          lines: what is said below it.
        """
        name = f"{SUPPORTS}/{len(self._supports) + 1}.jpg"
        self.files.write(name, jpeg(overlay(photo, mask)))
        self._supports.append({"picture": name, "lines": list(lines)})

    def add(
        self,
        name: str,
        file: str,
        found: Segmentation,
        ious: Sequence[float | None] | None = None,
        error: str = "",
    ) -> None:
        """Writes what was found in a photo.

        Args:
          name: of the photo, unlike all others; folders in it are parted by /.
          file: where it is.
          found: in it.
          ious: of each class with the truth, if it is known.
          error: why they are not, though they were asked for.

        Raises:
          InputError: a file of the user's is in the place of one of this photo's.
          OSError: the disk refuses; none of this photo's files is left.
        """
        try:
            for path, picture in self._pictures(name, found):
                self.files.write(path, picture)
            self._annotated.append(coco.annotated(name, file, found))
        except BaseException:
            self.files.remove(self._paths(name))
            raise
        area = found.area
        for n, class_name in enumerate(self.classes):
            self.rows.append(
                Found(
                    name, file, class_name, bool(area[n]), float(found.presence[n]), int(area[n]),
                    float(area[n] / found.mask.size), float(found.similarity[n]), float(found.confidence[n]),
                    ious[n] if ious else None, error,
                )
            )  # fmt: skip

    def fail(self, name: str, file: str, error: str) -> None:
        """Notes that a photo has no mask, and why."""
        self.rows.append(Found(name, file, error=error))

    def counts(self, min_presence: float) -> list[str]:
        """Returns a sentence for each class, in how many photos it was found.

        Args:
          min_presence: below which it counts as not there.
        """
        below = f" (presence of {min_presence:g} and more)" if min_presence else ""
        sentences = []
        for name in self.classes:
            found = [row.found for row in self.rows if row.class_name == name]
            sentences.append(f"{name}: found in {sum(found)} of {len(found)} photos{below}.")
        return sentences

    def finish(self, title: str, notes: Sequence[str]) -> None:
        """Writes the table, the annotations and the page.

        Args:
          title: of the page.
          notes: sentences below it.
        """
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        writer.writerows(map(_cells, self.rows))
        self.files.write("summary.csv", table.getvalue().encode())
        self.files.write("annotations.json", coco.document(self._annotated, self.classes))
        shown = page.of(title, notes, self._supports, self._cards(), self.classes)
        self.files.write("index.html", shown.encode())

    @cached_property
    def _parts(self) -> list[str]:
        """The classes' names in those of files."""
        return _in_names(self.classes)

    def _paths(self, name: str) -> list[str]:
        """Returns the names of a photo's files: its mask, its overlay, and its maps."""
        maps = [f"{MAPS}/{name}.{part}.png" for part in self._parts] if self.maps else []
        return [f"{MASKS}/{name}.png", f"{OVERLAYS}/{name}.jpg", *maps]

    def _pictures(self, name: str, found: Segmentation) -> Iterator[tuple[str, bytes]]:
        """Yields a photo's files one at a time."""
        mask, tinted, *maps = self._paths(name)
        yield mask, indexed(found.mask)
        yield tinted, jpeg(found.overlay)
        for n, path in enumerate(maps, 1):
            yield path, png(Image.fromarray(np.rint(255 * found.probability(n)).astype(np.uint8)))

    def _cards(self) -> list[dict[str, Any]]:
        """Returns what the page shows of each photo."""
        cards: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            mask, tinted, *maps = self._paths(row.name) if row.class_name else ("", "")
            card = cards.setdefault(
                row.name,
                {"name": row.name, "error": row.error, "overlay": tinted, "mask": mask, "maps": maps},
            )
            found = card.setdefault("found", [])
            if row.class_name:
                found.append({name: _finite(value) for name, value in asdict(row).items()})
        return list(cards.values())


def _cells(row: Found) -> list[Any]:
    """Returns a line of summary.csv: shares and scores with four digits, nothing where nothing is known."""
    if not row.class_name:
        return [row.name, row.file, *[""] * (len(COLUMNS) - 3), row.error]
    values = {**asdict(row), "found": "yes" if row.found else "no"}
    return [f"{value:.4f}" if isinstance(value, float) else value for value in map(_finite, values.values())]


def _finite(value: Any) -> Any:
    """Returns a value as JSON can hold it."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _in_names(classes: Sequence[str]) -> list[str]:
    """Returns classes' names as parts of file names, no two of them equal, whatever their case."""
    letters = ([letter if letter.isalnum() or letter in "-_" else "_" for letter in name] for name in classes)
    return distinct("".join(of_name[:LONGEST_NAME]) for of_name in letters)
