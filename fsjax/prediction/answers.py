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
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.errors import InputError
from fsjax.files import claimed, make_writable, replacing
from fsjax.prediction import coco, page
from fsjax.segmenter import Segmentation
from fsjax.segmenter.overlay import overlay, palette

MASKS, OVERLAYS, MAPS, SUPPORTS = "masks", "overlays", "maps", "supports"
ABOUT = "prediction.json"

QUALITY = 90
"""Of overlays, which are JPEGs."""


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
      error: why the photo has no mask.
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
      folder: for the files.
      classes: the names of classes 1 to N.
      maps: whether the classes' probabilities are written, too.
      rows: what was found so far.
    """

    folder: Path
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
        place = Path(folder)
        if place.is_dir() and not (place / ABOUT).exists() and any(place.iterdir()):
            raise InputError(f"{place} holds other files: name a new folder with --out.")
        make_writable(place)
        with claimed(place):
            for part in (MASKS, OVERLAYS, MAPS, SUPPORTS):
                shutil.rmtree(place / part, ignore_errors=True)
            for name in ("index.html", "summary.csv", "annotations.json"):
                (place / name).unlink(missing_ok=True)
            _write_json(place / ABOUT, about)
            yield cls(place, classes, maps)

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
        self._save(Image.fromarray(overlay(photo, mask)), name, quality=QUALITY)
        self._supports.append({"picture": name, "lines": list(lines)})

    def add(
        self, name: str, file: str, found: Segmentation, ious: Sequence[float | None] | None = None
    ) -> None:
        """Writes what was found in a photo.

        Args:
          name: of the photo, unlike all others; folders in it are parted by /.
          file: where it is.
          found: in it.
          ious: of each class with the truth, if it is known.

        Raises:
          OSError: the disk refuses; the files of this photo are whole or absent.
        """
        mask = Image.fromarray(found.mask)
        mask.putpalette(palette())
        self._save(mask, f"{MASKS}/{name}.png")
        self._save(Image.fromarray(found.overlay), f"{OVERLAYS}/{name}.jpg", quality=QUALITY)
        for n, class_name in enumerate(self.classes if self.maps else (), 1):
            values = np.rint(255 * found.probability(n)).astype(np.uint8)
            self._save(Image.fromarray(values), f"{MAPS}/{name}.{_in_a_name(class_name)}.png")
        self._annotated.append(coco.annotated(name, file, found))
        area = found.area
        for n, class_name in enumerate(self.classes):
            self.rows.append(
                Found(
                    name, file, class_name, bool(area[n]), float(found.presence[n]), int(area[n]),
                    float(area[n] / found.mask.size), float(found.similarity[n]), float(found.confidence[n]),
                    ious[n] if ious else None,
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
        photos = len({row.name for row in self.rows if not row.error})
        found = dict.fromkeys(self.classes, 0)
        for row in self.rows:
            if not row.error:
                found[row.class_name] += row.found
        below = f" (presence of {min_presence:g} and more)" if min_presence else ""
        return [f"{name}: found in {count} of {photos} photos{below}." for name, count in found.items()]

    def finish(self, title: str, notes: Sequence[str]) -> None:
        """Writes the table, the annotations and the page.

        Args:
          title: of the page.
          notes: sentences below it.
        """
        with replacing(self.folder / "summary.csv") as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_cells(row) for row in self.rows)
        _write_json(self.folder / "annotations.json", coco.document(self._annotated, self.classes))
        with replacing(self.folder / "index.html") as temporary:
            temporary.write_text(page.of(title, notes, self._supports, self._cards(), self.classes), "utf-8")

    def _cards(self) -> list[dict[str, Any]]:
        """Returns what the page shows of each photo."""
        cards: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            files = {"overlay": f"{OVERLAYS}/{row.name}.jpg", "mask": f"{MASKS}/{row.name}.png"}
            card = cards.setdefault(
                row.name, {"name": row.name, "error": row.error, **files, "maps": [], "found": []}
            )
            if row.error:
                continue
            if self.maps:
                card["maps"].append(f"{MAPS}/{row.name}.{_in_a_name(row.class_name)}.png")
            card["found"].append({name: _finite(value) for name, value in asdict(row).items()})
        return list(cards.values())

    def _save(self, picture: Image.Image, name: str, **options: Any) -> None:
        path = self.folder / name
        with replacing(path) as temporary:
            picture.save(temporary, path.suffix[1:].replace("jpg", "jpeg"), **options)


def _cells(row: Found) -> list[Any]:
    """Returns a line of summary.csv: shares and scores with four digits, nothing where nothing is known."""
    cells = [f"{value:.4f}" if isinstance(value, float) else value for value in asdict(row).values()]
    cells[COLUMNS.index("found")] = "" if row.error else "yes" if row.found else "no"
    if row.error:
        return [*cells[:2], *[""] * (len(cells) - 3), row.error]
    return ["" if cell in (None, "nan") else cell for cell in cells]


def _finite(value: Any) -> Any:
    """Returns a value as JSON can hold it."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _in_a_name(class_name: str) -> str:
    """Returns a class's name as a part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in class_name)


def _write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1 if path.name == ABOUT else None))
