"""What the processes of a run say to one another: who writes, waiting, agreeing, gathering.

All processes call these functions in the same order. With one process none of them waits or sends.
"""

import io
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from jax.experimental import multihost_utils

from fsjax.distributed.client import LONG, client, process_count, process_index, several
from fsjax.errors import InputError
from fsjax.files import make_writable

SEEN_WITHIN = 10.0
"""Seconds in which a file that one machine has written is to be seen by the others."""

_numbers = count()


def is_main() -> bool:
    """Whether this is the process that writes and prints: the first of several, or the only one."""
    return process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes have come here.

    Args:
      name: of this place, for JAX's messages.
    """
    if several():
        client().wait_at_barrier(_key(name), LONG)


def from_main(value: Any) -> Any:
    """Returns the value of process 0 in every process.

    Args:
      value: of JSON; that of other processes is not looked at.
    """
    if not several():
        return value
    key = _key("from_main")
    if is_main():
        client().key_value_set(key, json.dumps(value))
    return json.loads(client().blocking_key_value_get(key, LONG))


def agree(values: Mapping[str, Any]) -> None:
    """Makes sure that all processes have the same values, as of a configuration or a data set's version.

    Args:
      values: name -> a value of JSON.

    Raises:
      InputError: in every process, naming the first value that differs in one of them.
    """
    if not several():
        return
    mine = json.loads(json.dumps(dict(values), default=str))
    theirs = from_main(mine)
    differing = [name for name in (*theirs, *mine) if mine.get(name) != theirs.get(name)]
    sentence = ""
    if differing:
        name = differing[0]
        sentence = (
            f"The processes of this run differ: {name} is {_short(theirs.get(name))} in process 0 and "
            f"{_short(mine.get(name))} in process {process_index()}: start all of them with the same "
            "command, fsjax and data."
        )
    _all_right(sentence)


def check_shared(folder: str | Path) -> None:
    """Makes sure that all processes see one folder, which process 0 makes where it is missing.

    Raises:
      InputError: in every process: the folder is not shared, or cannot be written to.
    """
    if not several():
        return
    sentence, seen = "", None
    if is_main():
        try:
            make_writable(folder)
            seen = Path(folder) / f".seen.{os.getpid()}.{secrets.token_hex(4)}"  # see leftovers
            seen.touch()
        except (InputError, OSError) as error:
            sentence = str(error)
    name = from_main(seen.name if seen else "")
    if name and not _appears(Path(folder) / name):
        sentence = (
            f"Process {process_index()} does not see what process 0 writes to {folder}: name a folder on a "
            "disk that all machines of this run share."
        )
    try:
        _all_right(sentence)
    finally:
        if seen is not None:
            with suppress(OSError):
                seen.unlink(missing_ok=True)


def gather(array: np.ndarray) -> list[np.ndarray]:
    """Returns the arrays of all processes, in their order, in every process.

    Args:
      array: of any shape and plain type; those of other processes may have others.
    """
    if not several():
        return [array]
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array).reshape(np.shape(array)), allow_pickle=False)
    mine = np.frombuffer(file.getvalue(), np.uint8)
    lengths = [int(text) for text in _texts(str(len(mine)))]
    padded = np.zeros(max(lengths), np.uint8)
    padded[: len(mine)] = mine
    theirs = np.asarray(multihost_utils.process_allgather(padded))
    rows = theirs.reshape(process_count(), -1)
    return [
        np.load(io.BytesIO(row[:length].tobytes()), allow_pickle=False)
        for row, length in zip(rows, lengths, strict=True)
    ]


def _texts(text: str) -> list[str]:
    """Returns a short text of each process, in their order."""
    key = _key("texts")
    client().key_value_set(f"{key}/{process_index():06d}", text)
    client().wait_at_barrier(f"{key}/all", LONG)
    return [value for _, value in sorted(client().key_value_dir_get(f"{key}/"))]


def _all_right(sentence: str) -> None:
    """Raises the sentence of the first process that has one, in every process."""
    wrong = [text for text in _texts(sentence or "-") if text != "-"]
    if wrong:
        raise InputError(wrong[0])


def _appears(path: Path) -> bool:
    """Whether a file is seen; on a network disk that may take a while."""
    until = time.monotonic() + SEEN_WITHIN
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _key(name: str) -> str:
    """Returns a key that no other call has: the processes make the same calls in the same order."""
    return f"fsjax/{next(_numbers)}/{name}"
