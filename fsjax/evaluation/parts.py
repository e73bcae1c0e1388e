"""What an evaluation has finished so far, on disk: one that was killed goes on from there.

Each process appends to files of its own, one for each pass over the photos, a line for each group of queries
or adapted episode whose counts are complete. A line stands behind a hash of itself and of all that decides
the numbers; one that was cut off or damaged does not count, and its photos are evaluated again.
"""

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsjax import preemption
from fsjax.errors import InputError
from fsjax.evaluation.team import Team

Unit = tuple[int, ...]
"""What is finished as a whole: the positions of a group's queries, or the number of an adapted episode."""

_DIGITS = 16  # of a hash in a file's name, in which nobody forges hashes


class Finished:
    """The units of one pass that are finished, with what was counted of them.

    Attributes:
      seconds: that earlier runs spent on them.
    """

    def __init__(self, folder: Path | None = None, key: str = "", process: int = 0):
        """Reads what earlier runs have left.

        Args:
          folder: of the files; None keeps nothing.
          key: a hash of all that decides the numbers, and of the pass.
          process: the number of this process.
        """
        self._folder, self._key, self._process = folder, key, process
        self._name = f"{_stem(key)}-{process}-{secrets.token_hex(4)}.jsonl"
        self._began = time.monotonic()
        self._results: dict[Unit, Any] = {}
        self._elsewhere: set[Unit] = set()
        self.seconds = 0.0
        for path in sorted(folder.glob(f"{_stem(key)}-*")) if folder else ():
            self._read(path)

    def add(self, results: Iterable[tuple[Unit, Any]]) -> None:
        """Keeps the counts of units that are finished now, as JSON has them.

        Raises:
          InputError: the disk is full, or cannot be written to.
          Preempted: the process was asked to end, where Python let nothing be raised.
        """
        results = list(results)
        self._results.update(results)
        if self._folder is None or not results:
            return
        seconds = round(time.monotonic() - self._began, 3)
        lines = b"".join(_line(self._key, [unit, result, seconds]) for unit, result in results)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / self._name).open("ab") as file:  # what a power cut takes is counted again
                file.write(lines)
        except OSError as error:
            raise InputError(
                f"{self._folder} cannot be written to ({error.strerror}): make room on the disk, or give "
                "leave to write there, and start the same command again; it goes on from the last photos."
            ) from error
        preemption.obey()  # what a signal raises while Python deletes an object is lost

    def agree(self, team: Team) -> set[Unit]:
        """Returns the units that any process has, of which each is kept for `all` by one process."""
        held = team.gather_json(list(self._results))
        known = [{tuple(unit) for unit in units} for units in held]
        self._elsewhere = set().union(*known[: team.index])
        return set().union(*known)

    def all(self, team: Team) -> dict[Unit, Any]:
        """Returns the counts of all units of all processes; nothing more is added."""
        own = [one for one in self._results.items() if one[0] not in self._elsewhere]
        return {tuple(unit): result for found in team.gather_json(own) for unit, result in found}

    def _read(self, path: Path) -> None:
        records = list(_records(path, self._key))
        self._results.update((tuple(unit), result) for unit, result, _ in records)
        if records and path.name.startswith(f"{_stem(self._key)}-{self._process}-"):
            self.seconds += records[-1][-1]


class Parts:
    """The folder in which an evaluation keeps what it has finished."""

    def __init__(self, folder: Path, digest: str):
        """Begins without touching the folder.

        Args:
          folder: it.
          digest: a hash of all that decides the numbers.
        """
        self._folder, self._digest = folder, digest

    def clear_others(self) -> None:
        """Deletes what another evaluation has left: its numbers are none of this one's."""
        for path in self._folder.glob("*.jsonl"):
            if not path.name.startswith(self._digest[:_DIGITS]):
                path.unlink(missing_ok=True)

    def of(self, what: str, process: int) -> Finished:
        """Returns what is finished of a pass.

        Args:
          what: all that tells it from the other passes.
          process: the number of this process.
        """
        return Finished(self._folder, f"{self._digest} {_hash(what)}", process)

    def clear(self) -> None:
        """Deletes everything, when the results are written."""
        with suppress(OSError):  # an open file on a network's disk leaves a name behind
            shutil.rmtree(self._folder)


def _stem(key: str) -> str:
    return "-".join(part[:_DIGITS] for part in key.split())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _line(key: str, record: Any) -> bytes:
    text = json.dumps(record, separators=(",", ":"))
    return f"{_hash(f'{key} {text}')} {text}\n".encode()


def _records(path: Path, key: str) -> Iterator[Any]:
    """Yields the sound records of a file that may be damaged anywhere."""
    if not path.is_file():  # a pipe would be waited for
        return
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        hashed, _, text = line.decode(errors="replace").partition(" ")
        if hashed == _hash(f"{key} {text}"):
            yield json.loads(text)
