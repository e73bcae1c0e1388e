"""Fetches the archives of the benchmarks, where that is asked for: whole and as registered, or not at all."""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Generator, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tensorflow_datasets.core.download import checksums

from fsjax.errors import InputError
from fsjax.files import claimed, replacing
from fsjax.progress import Progress

TIMEOUT = 60
"""Seconds for which a server may be silent."""

TRIES = 20
"""Connections for one archive, as long as each brings it further."""

_PIECE = 2**20
_MEGA, _GIGA = 10**6, 10**9
_PARTIAL = 206  # HTTP's status of a file's rest


class Archive(NamedTuple):
    """A file as it is known.

    Attributes:
        url: where it is.
        size: in bytes.
        algorithm: of hashlib.
        checksum: of all bytes by that algorithm, in hexadecimal digits.
    """

    url: str
    size: int
    algorithm: str
    checksum: str


OTHERS = {
    "benchmark.tgz": Archive(
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        1_419_539_633,
        "md5",
        "82b4d87ceb2ed10f6038a1cba92111cb",
    )
}
"""What TFDS does not know: SBD's, with the MD5 that torchvision checks."""


class _Failed(Exception):  # noqa: N818
    """An archive cannot be had from its server."""


class _Broken(_Failed):
    """A connection was not made, or ended too early."""


def registered(name: str) -> Archive | None:
    """Returns what TFDS has registered of an archive, or what OTHERS says; None for an unknown one."""
    for url, info in checksums.get_all_url_infos().items():
        if url.endswith(f"/{name}"):
            return Archive(url, int(info.size), "sha256", info.checksum)
    return OTHERS.get(name)


def fetch(names: Sequence[str], folder: Path) -> None:
    """Fetches archives into a folder; each is there under its name only when its checksum has been checked.

    TFDS's own downloads wait for a silent server without end, so only its register is used.

    Args:
        names: of the archives.
        folder: it exists.

    Raises:
        InputError: an archive cannot be had, is not the one that is known, or has no room on the disk. What
            was fetched before it stays.
    """
    if not names:
        return
    known = {name: registered(name) for name in names}
    with claimed(folder):
        _sweep(names, folder)
        _check_room(sum(archive.size for archive in known.values() if archive), folder)
        for n, (name, archive) in enumerate(known.items()):
            path = folder / name
            try:
                if archive is None:
                    raise _Failed(f"TFDS has no address of {name}")
                _fetch(archive, path)
            except _Failed as error:
                raise InputError(
                    f"{error}: put {' and '.join(names[n:])} into {folder} by other means, and start the "
                    "same command again."
                ) from error
            except OSError as error:
                why = error.strerror or error
                raise InputError(f"{path} cannot be written ({why}): make room there.") from error


def _sweep(names: Sequence[str], folder: Path) -> None:
    """Removes what killed commands have left."""
    for name in names:
        for path in folder.glob(f".{name}.*"):
            path.unlink()


def _check_room(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"{folder} has room for {free / _GIGA:,.1f} GB, and the archives take {size / _GIGA:,.1f} GB: "
            "make room there, or name another folder."
        )


def _fetch(archive: Archive, path: Path) -> None:
    """Writes an archive to a temporary file that becomes `path` in the end."""
    checksum, done = _hash(archive), 0
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
        Progress(f"fetching {path.name}", archive.size // _MEGA, "megabyte") as progress,
        contextlib.closing(_pieces(archive)) as pieces,
    ):
        for at, piece in pieces:
            if at != done:  # the server begins anew
                file.seek(0)
                file.truncate()
                checksum = _hash(archive)
            file.write(piece)
            checksum.update(piece)
            done = at + len(piece)
            progress.reach(done // _MEGA)
        if checksum.hexdigest() != archive.checksum:
            raise _Failed(f"{archive.url} is not the file that is known, by its {archive.algorithm}")


def _hash(archive: Archive) -> "hashlib._Hash":
    return hashlib.new(archive.algorithm, usedforsecurity=False)  # else some systems refuse MD5


def _pieces(archive: Archive) -> Generator[tuple[int, bytes], None, None]:
    """Yields an archive from end to end as (position, bytes); where that is 0 again, it begins anew."""
    done = 0
    for left in reversed(range(TRIES)):
        before = done
        try:
            for at, piece in _rest(archive, done):
                done = at + len(piece)
                yield at, piece
            if done == archive.size:
                return
            raise _Broken(
                f"{archive.url} cannot be fetched (it ends after {done:,} of {archive.size:,} bytes)"
            )
        except _Broken:
            if done <= before or not left:
                raise


def _rest(archive: Archive, start: int) -> Iterator[tuple[int, bytes]]:
    """Yields what one connection brings, from a position on, or from 0 if the server knows no positions."""
    request = Request(archive.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            at = start if start and _goes_on(response, start) else 0
            if response.length is not None:
                _check_size(archive, at + response.length)
            while piece := response.read1(_PIECE):
                _check_size(archive, max(at + len(piece), archive.size))
                yield at, piece
                at += len(piece)
    except HTTPError as error:
        with contextlib.closing(error):
            raise _Broken(f"{archive.url} cannot be fetched ({error.code} {error.reason})") from error
    except (OSError, HTTPException) as error:
        why = error.reason if isinstance(error, URLError) else error
        raise _Broken(f"{archive.url} cannot be fetched ({getattr(why, 'strerror', None) or why})") from error


def _goes_on(response, start: int) -> bool:
    """Says whether a server sends what follows a position, as it was asked to."""
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status == _PARTIAL and sent is not None and int(sent[1]) == start


def _check_size(archive: Archive, size: int) -> None:
    if size != archive.size:
        raise _Failed(f"{archive.url} is not the file that is known, which has {archive.size:,} bytes")
