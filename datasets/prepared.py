"""Data sets that have been prepared: what they say of themselves, and their photos at random."""

import contextlib
import hashlib
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from datasets.records import decode_mask
from fsjax.data.source import LISTED, SHRINKS
from fsjax.episode import IGNORED
from fsjax.errors import InputError

FORMAT = "2.0.0"
"""Of the records; version 1 held one label map a photo."""

PHOTOS = "photos"


def place_of(tfds_dir: Path, name: str) -> Path:
    """Returns the folder of a data set's records.

    Raises:
        InputError: the name is none for a folder.
    """
    if not name or name.startswith(".") or set(name) & set('/\\:*?"<>|\0'):
        raise InputError(f"{name!r} is no name for a data set: give letters, digits, - and _.")
    return tfds_dir / name / FORMAT


def is_prepared(place: Path) -> bool:
    """Says whether a folder holds all records of a data set; half-written ones have another name."""
    return (place / "dataset_info.json").exists()


def about_of(place: Path) -> dict[str, Any]:
    """Returns what a data set says of itself: see `datasets.plans.Plan`.

    Raises:
        InputError: it is damaged.
    """
    with reading(place):
        about = json.loads((place / "metadata.json").read_text())
        if about != sealed({name: value for name, value in about.items() if name != "sha256"}):
            raise ValueError("its digest is another")
    return about


def sealed(about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a description with its digest."""
    encoded = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
    return {**about, "sha256": hashlib.sha256(encoded).hexdigest()}


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns what TFDS says of damaged descriptions in the folder of a data set into a sentence."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:  # the parsers of JSON and of protocol buffers have each their own
        raise InputError(
            f"The data set in {folder} is damaged ({type(error).__name__}): delete the folder, and prepare "
            "it again."
        ) from error


class RecentRecords:
    """Encoded records at random, of which each thread keeps the last few.

    A photo, its mask, its size and its areas are asked for one after another, and its record is read once.
    """

    KEPT = 4

    def __init__(self, records: Sequence[dict[str, Any]]):
        self._records, self._of_thread = records, threading.local()

    def __getitem__(self, position: int) -> dict[str, Any]:
        kept = self._of_thread.__dict__.setdefault("records", {})
        if position not in kept:
            kept[position] = self._records[position]
            if len(kept) > self.KEPT:
                del kept[next(iter(kept))]
        return kept[position]

    def __reduce__(self) -> tuple:
        return RecentRecords, (self._records,)


class PreparedList:
    """The photos of one list of a prepared data set: a `fsjax.data.source.Source` that can be pickled."""

    def __init__(self, place: Path, about: Mapping[str, Any], name: str, folds: Sequence[Sequence[int]]):
        self.name = place.parent.name
        self.version = about["version"]
        self.title = about["title"]
        self.split = name
        self.class_names = tuple(about["class_names"])
        self.folds = tuple(tuple(fold) for fold in folds)
        self.cache_dir = place
        self._numbers = [number for number, _ in about["lists"][name]]
        self._listed = {number: classes for number, classes in about["lists"][name] if classes is not None}
        self.ids = tuple(about["ids"][number] for number in self._numbers)
        with reading(place):
            builder = tfds.builder_from_directory(place)
            source = builder.as_data_source(PHOTOS, decoders={"image": tfds.decode.SkipDecoding()})
        self._records = RecentRecords(source)

    def image(self, position: int) -> np.ndarray:
        """Returns the photo, uint8 RGB [H, W, 3], its pixels as stored whatever its EXIF tag says.

        Raises:
            InputError: its record is damaged.
        """
        return np.array(self._decoded(position, None))

    def picture(self, position: int, least: tuple[int, int]) -> Image.Image:
        """Returns the photo, a JPEG at a part of its size: see `fsjax.data.source.Reducing.picture`.

        Raises:
            InputError: its record is damaged.
        """
        height, width = least
        return self._decoded(position, (width, height))

    def mask(self, position: int, class_ids: Sequence[int], way: int | None) -> np.ndarray:
        """Returns its labels for an episode's classes, see `fsjax.data.source.Source.mask`.

        Raises:
            InputError: its record is damaged.
        """
        record = self._record(position)
        labels = np.zeros(record["size"], np.uint8)
        pairs = zip(record["classes"], record["areas"], strict=True)
        shown = {int(c): (int(area), i) for i, (c, area) in enumerate(pairs)}
        asked = [(*shown[c], n) for n, c in enumerate(class_ids, 1) if c in shown]
        with self._decoding(position):
            if record["void"]:
                labels[decode_mask(record["void"])] = IGNORED
            # The last one wins: of a support its own way, else the smallest, of two as small the first class.
            for _, i, n in sorted(asked, key=lambda pair: (pair[2] == way, -pair[0], -pair[1])):
                np.copyto(labels, np.uint8(n), where=decode_mask(record["masks"][i]))
        return labels

    def size(self, position: int) -> tuple[int, int]:
        """Returns the photo's height and width in pixels, without decoding it."""
        height, width = self._record(position)["size"]
        return int(height), int(width)

    def areas(self, position: int) -> np.ndarray:
        """Returns int32 [C]: the pixels of class ids 1..C in the stored labels, not decoding them."""
        record, areas = self._record(position), np.zeros(len(self.class_names), np.int32)
        areas[np.array(record["classes"], int) - 1] = record["areas"]
        return areas

    def eligible(self, position: int) -> np.ndarray:
        """Returns uint8 [C], see `fsjax.data.source.Source.eligible`."""
        record, C = self._record(position), len(self.class_names)
        listed = self._listed.get(self._numbers[position])
        flags = np.zeros(C, np.uint8)
        flags[slice(None) if listed is None else np.array(listed, int) - 1] = LISTED
        flags[np.array(record["classes"], int) - 1] |= SHRINKS * np.array(record["shrinks"], np.uint8)
        return flags

    def _decoded(self, position: int, least: tuple[int, int] | None) -> Image.Image:
        encoded = self._record(position)["image"]
        with self._decoding(position):
            picture = Image.open(io.BytesIO(encoded))
            picture.draft(None, least)
            picture.load()
            return picture if picture.mode == "RGB" else picture.convert("RGB")

    def _record(self, position: int) -> dict[str, Any]:
        """Returns a record, whose bytes array_record compares with a digest of its own."""
        try:
            record = self._records[self._numbers[position]]
        except Exception as error:  # array_record raises whatever its C++ meets
            raise self._damaged(position) from error
        if record["id"] != self.ids[position].encode():
            raise InputError(
                f"A file in {self.cache_dir} is of another data set, as image {self.ids[position]} is not "
                "where it should be: delete the folder, and prepare the data set again."
            )
        return record

    @contextlib.contextmanager
    def _decoding(self, position: int) -> Iterator[None]:
        try:
            yield
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            raise self._damaged(position) from error

    def _damaged(self, position: int) -> InputError:
        return InputError(
            f"Image {self.ids[position]} of {self.name} cannot be read: delete the folder {self.cache_dir}, "
            "and prepare the data set again."
        )
