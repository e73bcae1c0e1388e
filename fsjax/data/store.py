"""Named arrays under string keys, in memory up to a bound and on disk past it."""

import hashlib
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.leftovers import TemporaryFolder

Arrays = dict[str, np.ndarray]
Layout = Mapping[str, tuple[tuple[int, ...], str]]

_CHECKSUM = "#crc32"
"""The name under which a file keeps the checksum of its key and of all its other arrays."""


class Store:
    """Arrays that were computed once: what fits stays in memory, the rest is one safetensors file a key.

    A file that is damaged, or not of its key, counts as missing, so that its arrays are computed anew.
    Threads may share a store, and processes a folder: a file takes its place when it is complete. Pickled, a
    store with a folder becomes one on the same folder, without what is in memory.

    Args:
      folder: of the files; None makes a temporary one for the first file, which `close` deletes.
      memory: how many bytes of arrays are kept in memory.
      layout: the names, shapes and types (e.g. "float16") of every key's arrays; None allows any.
    """

    def __init__(self, folder: Path | None, memory: int = 0, layout: Layout | None = None):
        self._folder, self._memory, self._layout = folder, memory, layout
        self._temporary: TemporaryFolder | None = None
        self._kept: dict[str, Arrays] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Stores a copy of the arrays in place of what the key had.

        Raises:
          InputError: a value is not finite, or the disk is full or cannot be written to.
        """
        if self.keep(key, arrays):
            return
        self._write(key, self._contiguous(key, arrays))
        with self._lock:
            self._bytes -= _size(self._kept.pop(key, {}))

    def keep(self, key: str, arrays: Mapping[str, np.ndarray]) -> bool:
        """Stores a copy of the arrays if memory has room; returns whether it had. Nothing is written to disk.

        Raises:
          InputError: a value is not finite.
        """
        with self._lock:
            held = self._bytes - _size(self._kept.get(key, {}))
            if held + _size(arrays) > self._memory:
                return False
            copies = {name: array.copy() for name, array in self._contiguous(key, arrays).items()}
            for array in copies.values():
                array.flags.writeable = False  # all who ask share it
            self._kept[key], self._bytes = copies, held + _size(copies)
        return True

    def get(self, key: str) -> Arrays | None:
        """Returns a key's arrays, not to be written to; None where there are none, or no sound ones."""
        kept = self._kept.get(key)
        if kept is not None:
            return dict(kept)
        folder = self._temporary.path if self._temporary else self._folder
        return None if folder is None else _read(folder / _file(key), key, self._layout)

    def __contains__(self, key: str) -> bool:
        """Whether `get` would return arrays; a file is read and checked."""
        return self.get(key) is not None

    def close(self) -> None:
        """Forgets what is in memory, and deletes the temporary folder if there is one."""
        with self._lock:
            self._kept, self._bytes = {}, 0
            if self._temporary is not None:
                self._temporary.close()
                self._temporary = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type["Store"], tuple[Path, int, Layout | None]]:
        if self._folder is None:
            raise TypeError("a store without a folder has nothing that another process could read")
        return Store, (self._folder, self._memory, self._layout)

    def _contiguous(self, key: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Returns the arrays, contiguous, after checking them."""
        contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        if not _fits(contiguous, self._layout):
            raise ValueError(f"the arrays of '{key}' are not of the layout {self._layout}")
        for name, array in contiguous.items():
            if array.dtype.kind not in "biuf":
                raise ValueError(f"'{name}' of '{key}' is {array.dtype}, which is none of NumPy's own types")
            if not _finite(array):
                raise InputError(
                    f"'{name}' of '{key}' holds values that are not finite; check the weights that it was "
                    "computed with."
                )
        return contiguous

    def _write(self, key: str, arrays: Arrays) -> None:
        try:
            with replacing(self._made_place() / _file(key)) as temporary:
                temporary.write_bytes(save({**arrays, _CHECKSUM: _checksum(key, arrays)}))
        except OSError as error:
            other = "name another folder" if self._folder else "let the variable TMPDIR name another"
            raise InputError(
                f"'{self._folder or gettempdir()}' cannot be written to ({error.strerror}): make room there, "
                f"or {other}."
            ) from error

    def _made_place(self) -> Path:
        if self._folder is not None:
            return self._folder
        with self._lock:
            self._temporary = self._temporary or TemporaryFolder()
            return self._temporary.path


def _file(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32] + ".safetensors"


def _read(path: Path, key: str, layout: Layout | None) -> Arrays | None:
    if not path.is_file():  # a pipe would be waited for
        return None
    try:  # not through a memory map, where a file that is cut short ends the process without a word
        arrays = load(path.read_bytes())
        checksum = arrays.pop(_CHECKSUM)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    intact = np.array_equal(checksum, _checksum(key, arrays))
    return arrays if intact and _fits(arrays, layout) and all(map(_finite, arrays.values())) else None


def _checksum(key: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the CRC-32, uint32 [1], of a key and of its arrays' names, types, shapes and values."""
    crc = zlib.crc32(key.encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"\n{name} {array.dtype} {array.shape}\n".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return np.array([crc], np.uint32)


def _fits(arrays: Mapping[str, np.ndarray], layout: Layout | None) -> bool:
    if layout is None:
        return True
    return {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} == dict(layout)


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _size(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())
