"""Files by name, out of folders, zips and tars as they were downloaded: nothing is unpacked to the disk."""

import contextlib
import functools
import gzip
import lzma
import os
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from fsjax.errors import InputError

LARGEST = 256 * 2**20
"""Bytes that one file may unpack to; the largest photos of the field's data sets have three million."""

LARGEST_TEXT = 64 * 2**20
"""Bytes that a list of photos or of classes may have."""

_PIECE = 2**20

_ENCRYPTED = 1  # a bit of a zip member's flags

_DAMAGE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, UnicodeDecodeError,
    NotImplementedError,
)  # fmt: skip


class Files(Protocol):
    """Files by their names, which are paths with / between their parts."""

    @property
    def names(self) -> Collection[str]:
        """All files' names."""

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        """Returns a file's bytes, of which there may be so many."""

    def size(self, name: str) -> int:
        """Returns how many bytes a file has."""

    def checksum(self, name: str) -> int | None:
        """Returns the CRC-32 that an archive holds of a file, without reading the file; None without one."""


def read(path: Path, name: str, largest: int = LARGEST) -> bytes:
    """Returns the bytes of a file in a folder, zip or tar, which stays open for the next one.

    Args:
        path: of the folder, zip or tar.
        name: of the file in it.
        largest: bytes that it may have.

    Raises:
        InputError: it is missing, damaged, or far too large.
    """
    return open_files(path).read(name, largest)


def open_files(path: Path) -> Files:
    """Opens a folder, a zip or a tar that is not compressed; an archive once, until it is another file.

    Raises:
        InputError: it is missing, none of these, damaged, or holds a name that leads out of it.
    """
    if path.is_dir():
        return _Folder(path)
    check_ordinary(path)
    state = path.stat()
    return _open_archive(path, state.st_mtime_ns, state.st_size)


def text_of(path: Path) -> str:
    """Returns a text that people wrote, without the mark that some systems put before it.

    Raises:
        InputError: it is no ordinary file, no text in UTF-8, or far too large.
    """
    return decoded(read(path.parent, path.name, LARGEST_TEXT), path)


def decoded(encoded: bytes, where: Path | str) -> str:
    """Returns a text, as `text_of`.

    Raises:
        InputError: it is no text in UTF-8.
    """
    try:
        text = encoded.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{where} is no text in UTF-8: save it as such.")
    return text


@functools.lru_cache(maxsize=8)
def _open_archive(path: Path, _changed: int, _size: int) -> Files:
    with _reading(path):
        if zipfile.is_zipfile(path):
            return _Zip(path)
        if path.suffix == ".tar":
            return _Tar(path)
    raise InputError(f"{path} is no folder, no zip and no tar, or was cut short: fetch it again.")


def stream(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yields the names and bytes of the wanted files of a gzipped tar, reading it once from end to end.

    Raises:
        InputError: it is missing or damaged, or holds a name that leads out of it or a file far too large.
    """
    check_ordinary(path)
    with _reading(path), gzip.open(path) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            _check_name(path, member.name)
            if member.isfile() and wanted(member.name):
                _check_size(path, member.name, member.size, LARGEST)
                content = tar.extractfile(member)
                assert content is not None, "it is a file"
                yield member.name, content.read()
        while plain.read(_PIECE):  # its checksum comes last
            pass


def check_ordinary(path: Path) -> None:
    """Makes sure that a path is one of an ordinary file; a pipe would be waited for.

    Raises:
        InputError: it is none.
    """
    if not path.exists():
        raise InputError(f"There is no file {path}: put it there.")
    if not path.is_file():
        raise InputError(f"{path} is no ordinary file: put one there.")


class _Folder:
    def __init__(self, path: Path):
        self._path = path

    @functools.cached_property
    def names(self) -> Collection[str]:
        return frozenset(
            (Path(folder) / file).relative_to(self._path).as_posix()
            for folder, _, files in os.walk(self._path)
            for file in files
        )

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        _check_name(self._path, name)
        path = self._path / name
        check_ordinary(path)
        _check_size(self._path, name, path.stat().st_size, largest)
        with _reading(path):
            return path.read_bytes()

    def size(self, name: str) -> int:
        _check_name(self._path, name)
        check_ordinary(self._path / name)
        return (self._path / name).stat().st_size

    def checksum(self, name: str) -> None:
        return None


class _Zip:
    def __init__(self, path: Path):
        self._path, self._zip = path, zipfile.ZipFile(path)
        self._members = {member.filename: member for member in self._zip.infolist() if not member.is_dir()}
        for name, member in self._members.items():
            _check_name(path, name)
            if member.flag_bits & _ENCRYPTED:
                raise InputError(f"{path} asks for a password: pack its files without one.")

    @property
    def names(self) -> Collection[str]:
        return self._members.keys()

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        member = _member(self._path, name, self._members)
        _check_size(self._path, name, member.file_size, largest)
        with _reading(self._path), self._zip.open(member) as file:
            return file.read()

    def size(self, name: str) -> int:
        return _member(self._path, name, self._members).file_size

    def checksum(self, name: str) -> int:
        return _member(self._path, name, self._members).CRC


class _Tar:
    def __init__(self, path: Path):
        self._path, self._file = path, path.open("rb")
        weakref.finalize(self, self._file.close)
        with tarfile.open(fileobj=self._file, mode="r:") as tar:
            self._members = {member.name: member for member in tar if member.isfile()}
            end = tar.offset
        _check_end(path, self._file, end)
        for name in self._members:
            _check_name(path, name)

    @property
    def names(self) -> Collection[str]:
        return self._members.keys()

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        member = _member(self._path, name, self._members)
        _check_size(self._path, name, member.size, largest)
        with _reading(self._path):
            self._file.seek(member.offset_data)
            return self._file.read(member.size)

    def size(self, name: str) -> int:
        return _member(self._path, name, self._members).size

    def checksum(self, name: str) -> None:
        return None


def _member(path: Path, name: str, members: Mapping[str, zipfile.ZipInfo | tarfile.TarInfo]):
    if name not in members:
        raise InputError(f"{path} holds no file {name}: is it another archive, or cut short?")
    return members[name]


def _check_end(path: Path, file: BinaryIO, end: int) -> None:
    """Makes sure that a tar ends as tars do; one that was cut between two files looks whole otherwise."""
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it has no end")


def _check_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{path} holds {name!r}, which leads out of it: fetch it again, from its owner.")


def _check_size(path: Path, name: str, size: int, largest: int) -> None:
    if size > largest:
        raise InputError(
            f"{name} in {path} would take {size / 2**20:,.0f} MB, and {largest / 2**20:,.0f} are allowed: "
            "fetch it again, from its owner."
        )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give leave to read it.") from error
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged or was cut short ({error}): fetch it again.") from error
