"""Data sets that have been prepared: what they say of themselves, and their photos at random."""

import contextlib
import hashlib
import io
import itertools
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
from fsjax.progress import Progress

FORMAT = "2.0.0"
"""Of the records; version 1 held one label map a photo."""

PHOTOS = "photos"

DRAWN = "shapes"
"""The data set that needs no download: see `datasets.shapes`."""


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


class DamagedError(InputError):
    """The files of a data set are not those that were written."""


def damaged(place: Path, name: str, why: str, kind: str = "") -> DamagedError:
    """Returns what to raise of a file in the folder of a data set, of a kind if that is known."""
    cure = f"delete the folder {place}, and the same command draws it anew"
    if place.parent.name != DRAWN:
        cure = f"make it anew with {command(place.parent.parent, place.parent.name, kind)}"
    return DamagedError(f"{name} in {place} is damaged ({why}): {cure}.")


def command(tfds_dir: Path, name: str, kind: str = "") -> str:
    """Returns how a data set of people's own downloads or photos is prepared, of a kind if that is known."""
    kind = kind or (name if name in ("pascal5i", "coco20i") else "folders")
    naming = "" if kind == name else f" --name={name}"
    root = Path(__file__).resolve().parents[1]
    # Elsewhere -m would find another package of this name, or none.
    program = "-m datasets.prepare" if Path.cwd() == root else str(root / "datasets" / "prepare.py")
    where = "" if tfds_dir == Path("data").absolute() else f" --tfds_dir={tfds_dir}"
    return f"python {program} --dataset={kind}{naming} --manual_dir=DIR{where}"


def about_of(place: Path) -> dict[str, Any]:
    """Returns what a data set says of itself, after a look at the sizes of its files.

    Returns:
        What stands in `datasets.plans.Plan`, and "files", the bytes of each file of records by its name;
        fsjax 0.5 and before wrote none.

    Raises:
        DamagedError: a file is missing, cut short, or no file.
    """
    for other in place.iterdir():  # TFDS would wait for a pipe
        if other.exists() and not other.is_file():
            raise damaged(place, other.name, "it is no ordinary file")
    with reading(place, "metadata.json"):
        about = json.loads((place / "metadata.json").read_text("utf-8"))
        if about != sealed({name: value for name, value in about.items() if name != "sha256"}):
            raise ValueError("its digest is another")
    for name, size in about.get("files", {}).items():
        there = (place / name).stat().st_size if (place / name).exists() else 0
        if there != size:
            raise damaged(place, name, f"it has {there:,} bytes and should have {size:,}", about["kind"])
    return about


def sealed(about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a description with its digest."""
    encoded = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
    return {**about, "sha256": hashlib.sha256(encoded).hexdigest()}


@contextlib.contextmanager
def reading(place: Path, name: str) -> Iterator[None]:
    """Turns what the reader of a description in the folder of a data set says of damage into a sentence."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:  # the parsers of JSON and of protocol buffers have each their own
        raise damaged(place, name, type(error).__name__) from error


def opened(place: Path) -> tuple[Sequence[dict[str, Any]], list[tuple[int, Path]], int]:
    """Returns a data set's records, its files, each with the number of its first record, and their bytes.

    Raises:
        DamagedError: what TFDS reads of them is damaged.
    """
    with reading(place, "dataset_info.json or features.json"):
        builder = tfds.builder_from_directory(place)
        source = builder.as_data_source(PHOTOS, decoders={"image": tfds.decode.SkipDecoding()})
        split = builder.info.splits[PHOTOS]
        firsts = itertools.accumulate(split.shard_lengths, initial=0)
        files = [(first, Path(file)) for first, file in zip(firsts, split.filepaths, strict=False)]
        return source, files, sum(file.stat().st_size for _, file in files)


def check_whole(place: Path) -> None:
    """Reads every record of a data set, whose bytes array_record compares with its digests.

    Raises:
        DamagedError: one is not what was written.
    """
    about = about_of(place)
    everything = {"lists": {"": [[number, None] for number in range(len(about["ids"]))]}}
    photos = PreparedList(place, {**about, **everything}, "", ())
    with Progress(f"checking {photos.name}", len(photos.ids), "photo") as progress:
        for position in range(len(photos.ids)):
            photos.size(position)
            progress.update()


class KeptRecords:
    """Encoded records at random: a small data set's are kept, of a large one each thread's last few.

    A photo, its mask, its size and its areas are asked for one after another, and its record is read once.
    """

    RECENT = 4
    SMALL = 2**28
    """Bytes of a data set's files up to which what has been read is kept, by each list in each process."""

    def __init__(self, records: Sequence[dict[str, Any]], size: int):
        self._records, self._size, self._of_thread = records, size, threading.local()
        self._all: dict[int, dict[str, Any]] = {}

    def __getitem__(self, position: int) -> dict[str, Any]:
        small = self._size <= self.SMALL
        kept = self._all if small else self._of_thread.__dict__.setdefault("records", {})
        found = kept.get(position)
        if found is None:
            found = kept[position] = self._records[position]
            if not small and len(kept) > self.RECENT:
                del kept[next(iter(kept))]
        return found

    def __reduce__(self) -> tuple:
        return KeptRecords, (self._records, self._size)


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
        self._kind = about["kind"]
        self._numbers = [number for number, _ in about["lists"][name]]
        self._listed = {number: classes for number, classes in about["lists"][name] if classes is not None}
        self.ids = tuple(about["ids"][number] for number in self._numbers)
        source, self._files, size = opened(place)
        self._records = KeptRecords(source, size)

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
            raise self._damaged(position, "cannot be read") from error
        if record["id"] != self.ids[position].encode():
            raise self._damaged(position, "is not where it should be")
        return record

    @contextlib.contextmanager
    def _decoding(self, position: int) -> Iterator[None]:
        try:
            yield
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            raise self._damaged(position, "cannot be decoded") from error

    def _damaged(self, position: int, why: str) -> DamagedError:
        number = self._numbers[position]
        file = next((file for first, file in reversed(self._files) if first <= number))
        return damaged(self.cache_dir, file.name, f"image {self.ids[position]} {why}", self._kind)
