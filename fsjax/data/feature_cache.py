"""Frozen features of photos on disk, so that the extractor runs once a photo.

Three files beside one another, named after what the features depend on:

- `.f16`, sparse: float16 [images, views, h, w, C], view 0 the photo and view 1 its mirror image;
- `.done`, uint32 [images, views]: the CRC-32 of a record that is there, 0 where there is none;
- `.json`: what the features depend on, for people, and compared when the cache is opened.

Files are read and written through plain calls: through a memory map, a full disk or a file that was cut
short would end the process without a word.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float16

from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.files import replacing

_ITEM, _MARK = np.dtype(np.float16).itemsize, np.dtype(np.uint32).itemsize


@dataclass(frozen=True)
class FeatureCache:
    """The cached features of the photos of one split; made by `FeatureCache.open`.

    A record is written whole before it is marked as there, and never changes from then on, whoever is
    killed and however many processes fill the cache at once. Safe in threads, and picklable.
    """

    path: Path  # the .f16 file
    ids: tuple[str, ...]  # the id of the image at each position
    shape: tuple[int, int, int]  # h, w, C of one record
    views: int  # 1: photos alone; 2: their mirror images too

    @classmethod
    def open(
        cls,
        folder: str | Path,
        source: Source,
        *,
        backbone: str,
        size: int,
        shape: tuple[int, int, int],
        input: str = "square",
        views: int = 2,
    ) -> "FeatureCache":
        """Opens the cache of these features in a folder, or begins it, empty.

        A cache that exists needs no right to write until it is written to.

        Args:
            folder: where the files are; it is made.
            source: the photos.
            backbone: sha256, in hexadecimal, of the frozen weights and the settings they are used with.
            size: side of the extractor's input, in pixels.
            shape: h, w and C of one photo's features.
            input: how photos are brought to that size, as in `InputSettings`.
            views: 2 also has room for the mirror images; it takes none on disk until they are written.

        Raises:
            InputError: views is neither 1 nor 2, the folder cannot be written to, or files of that name
                are of other features or not whole.
        """
        if views not in (1, 2):
            raise InputError(f"views={views} is unknown; choose 1 (photos) or 2 (mirror images too).")
        described = {
            "data_set": source.name,
            "version": source.version,
            "split": source.split,
            "images": len(source.ids),
            "ids_sha256": hashlib.sha256(json.dumps(list(source.ids)).encode()).hexdigest(),
            "backbone": backbone,
            "size": size,
            "input": input,
            "layout": "float16 [images, views, h, w, C]",
            "views": views,
            "shape": list(shape),
        }
        key = hashlib.sha256(json.dumps(described).encode()).hexdigest()
        path = Path(folder) / f"features_{source.split}_{size}_{key[:16]}.f16"
        cache = cls(path, tuple(source.ids), shape, views)
        if not cache._description.exists():
            cache._create(described)
        cache._check(described)
        return cache

    @property
    def _marks(self) -> Path:
        return self.path.with_suffix(".done")

    @property
    def _description(self) -> Path:
        return self.path.with_suffix(".json")

    @property
    def _record_size(self) -> int:
        """Bytes of one record."""
        return math.prod(self.shape) * _ITEM

    def _lengths(self) -> dict[Path, int]:
        records = len(self.ids) * self.views
        return {self.path: records * self._record_size, self._marks: records * _MARK}

    def _create(self, described: dict[str, Any]) -> None:
        """Makes the files; does no harm where another process is doing the same, or was killed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for path, length in self._lengths().items():
                with path.open("ab") as file:
                    if file.tell() not in (0, length):
                        raise self._broken()
                    file.truncate(length)
            with replacing(self._description) as temporary:
                temporary.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", "utf-8")
        except OSError as error:
            raise self._unwritable(error) from None

    def _check(self, described: dict[str, Any]) -> None:
        try:
            found = json.loads(self._description.read_text("utf-8"))
            lengths = {path: path.stat().st_size for path in self._lengths()}
        except (OSError, ValueError):
            raise self._broken() from None
        if found != described:
            raise InputError(
                f"'{self._description}' describes other features than those asked for; "
                f"delete {self.path.stem}.* there, or name another folder."
            )
        if lengths != self._lengths():
            raise self._broken()

    def read(self, position: int, flipped: bool) -> Float16[np.ndarray, "h w C"]:
        """Returns the features of a photo, or of its mirror image.

        Raises:
            InputError: they are not in the cache, or not as they were written.
        """
        record = self._record(position, flipped)
        count = math.prod(self.shape)
        try:
            marks = np.fromfile(self._marks, np.uint32, 1, offset=record * _MARK)
            features = np.fromfile(self.path, np.float16, count, offset=record * self._record_size)
        except OSError:
            raise self._broken() from None
        if not marks.any():
            mirrored = "the mirror image of " if flipped else ""
            raise InputError(
                f"'{self.path}' has no features of {mirrored}image '{self.ids[position]}'; "
                "fill the cache first."
            )
        if _mark(features) != marks[0]:
            raise self._broken()
        return features.reshape(self.shape)

    def missing(self, positions: Sequence[int], flipped: bool) -> list[int]:
        """Returns those of the positions whose features are not in the cache, in the order given."""
        try:
            marks = np.fromfile(self._marks, np.uint32)
        except OSError:
            raise self._broken() from None
        return [position for position in positions if not marks[self._record(position, flipped)]]

    def reserve(self, count: int) -> None:
        """Makes sure that `count` more records can be written; with 0 nothing is asked of the disk.

        Raises:
            InputError: the disk has too little room, or the files cannot be written to.
        """
        if not count:
            return
        for path in (self.path, self._marks):
            try:
                path.open("r+b").close()
            except OSError as error:
                raise self._unwritable(error) from None
        needed, free = count * self._record_size, shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise InputError(
                f"the features of {count} views need {needed / 1e9:.1f} GB and '{self.path.parent}' has "
                f"{free / 1e9:.1f} GB left; make room, or name a folder on another disk."
            )

    def write(self, positions: Sequence[int], flipped: bool, features: Float[np.ndarray, "n h w C"]) -> None:
        """Writes features to the disk and only then marks them as there.

        What is there already stays as it is. Another process that writes is waited for.

        Args:
            positions: the images, n of them.
            flipped: whether the features are those of their mirror images.
            features: rounded to float16.

        Raises:
            InputError: a value is not finite in float16 (nothing is written then), or the disk is full
                or cannot be written to.
        """
        rounded = self._rounded(positions, features)
        records = {self._record(p, flipped): rounded[n] for n, p in enumerate(positions)}
        try:
            with self.path.open("r+b") as data, self._marks.open("r+b") as marks:
                fcntl.flock(marks, fcntl.LOCK_EX)  # until it is closed; also if the process is killed
                there = np.fromfile(self._marks, np.uint32)
                new = {record: array for record, array in records.items() if not there[record]}
                for record, array in new.items():
                    data.seek(record * self._record_size)
                    data.write(array.data)
                _to_disk(data)
                for record, array in new.items():
                    marks.seek(record * _MARK)
                    marks.write(_mark(array).tobytes())
                _to_disk(marks)
        except OSError as error:
            raise self._unwritable(error) from None

    def _rounded(self, positions: Sequence[int], features: np.ndarray) -> np.ndarray:
        if features.shape != (len(positions), *self.shape):
            raise ValueError(f"features {features.shape} for {len(positions)} records of {self.shape}")
        with np.errstate(over="ignore"):  # what overflows is infinite then
            rounded = np.ascontiguousarray(features, np.float16)
        for position, array in zip(positions, rounded, strict=True):
            if not np.isfinite(array).all():
                raise InputError(
                    f"the features of image '{self.ids[position]}' are not finite in float16 (beyond 65504, "
                    "or no numbers); train without the cache, or check the weights of the extractor."
                )
        return rounded

    def _record(self, position: int, flipped: bool) -> int:
        """Returns the number of a record in the files."""
        if not 0 <= position < len(self.ids):
            raise IndexError(f"position {position} of {len(self.ids)} images")
        if flipped and self.views == 1:
            raise InputError(f"'{self.path}' is without mirror images; open the cache with views=2.")
        return position * self.views + flipped

    def _broken(self) -> InputError:
        return InputError(
            f"the features in '{self.path}' are not whole or were changed; delete {self.path.stem}.* there "
            "and they will be computed anew."
        )

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"features cannot be written to '{self.path.parent}' ({error.strerror}); "
            "make room there, or name a folder that can be written to."
        )


def _mark(record: np.ndarray) -> np.uint32:
    """Returns a record's CRC-32, or 1 where that is 0, which stands for no record."""
    return np.uint32(zlib.crc32(record) or 1)


def _to_disk(file: BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())
