"""Files that are whole or absent, and folders that one process at a time works in."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from fsjax.errors import InputError

try:
    import fcntl
except ImportError:  # Windows, where folders are not claimed
    fcntl = None  # type: ignore[assignment]

_CLAIM = ".claimed"


def sha256_of(path: str | Path) -> str:
    """Returns the sha256 of a file's bytes.

    Raises:
      OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_writable(folder: str | Path) -> None:
    """Makes a folder where it is missing.

    Raises:
      InputError: it cannot be made, or nothing can be written to it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}): name another folder.") from None


class UnwritableError(InputError):
    """The disk refuses what a training writes."""


def unwritable(what: str, reason: str | None) -> UnwritableError:
    """Returns what to raise where the disk refuses what a training writes.

    Args:
      what: "The curves in runs/mine" and the like.
      reason: the system's own.
    """
    return UnwritableError(
        f"{what} cannot be written ({reason}): make room on the disk, or give leave to write there, and "
        "start the same command again; it goes on from the last checkpoint."
    )


def has_locks(folder: str | Path) -> bool:
    """Says whether files in a folder can be locked, so that claims keep other processes out."""
    with suppress(OSError), TemporaryFile(dir=folder) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


class ClaimedError(InputError):
    """Another process has claimed a folder."""


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Keeps other processes that claim a folder out of it; the claim ends with the process, however it ends.

    Args:
      folder: it is made where it is missing, and removed again if nothing else has come into it by then.

    Raises:
      ClaimedError: another process has claimed it.
      InputError: it cannot be written to.
    """
    file, made = None, not Path(folder).exists()
    while file is None:
        make_writable(folder)
        file = _locked(Path(folder) / _CLAIM)
    with file:
        try:
            yield
        finally:
            if made:
                _remove_empty(Path(folder))


def is_abandoned(folder: str | Path) -> bool:
    """Says whether a process that had claimed a folder was killed; False where that cannot be told."""
    with suppress(OSError), (Path(folder) / _CLAIM).open("r+") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _remove_empty(folder: Path) -> None:
    """Removes a claimed folder in which there is nothing else."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [_CLAIM]:
            (folder / _CLAIM).unlink()
            folder.rmdir()


def _locked(path: Path) -> TextIO | None:
    """Opens and locks a file; returns None where the process that had it before has deleted it meanwhile."""
    try:
        file = path.open("w")
    except FileNotFoundError:
        return None
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ClaimedError(
            f"Another process is at work in {path.parent}: wait for it to end, or name another folder."
        ) from None
    except OSError:  # a file system without locks
        return file
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()
    return None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` that takes its place if the block ends well.

    Raises:
      InputError: `path` is a folder, or its own folder can neither be found nor made.
      OSError: the block's own; one of the temporary file names `path` instead.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder and cannot be written as a file: name a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written, as its folder cannot be made ({error.strerror}): name another one."
        ) from error
    # Processes of other hosts may have the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if str(error.filename) != str(temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # else it would hide why nothing could be written
            temporary.unlink(missing_ok=True)
