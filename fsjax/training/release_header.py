"""The header of an exported model: one JSON text in the metadata of a safetensors file.

A safetensors file begins with the length of its own header, eight bytes, and that header, a JSON object that
says where each array lies; its `__metadata__` holds strings. Ours is the one under `KEY`, sealed by a hash.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsjax.errors import InputError

KEY = "fsjax"
"""Of our text among the metadata."""

FORMAT = 1
"""Of the text."""

LENGTH = 8
"""Bytes in which a safetensors file gives the length of its header."""

MOST = 100_000_000
"""Bytes that safetensors allows its header."""

_START = f'{{"__metadata__":{{"{KEY}":"'.encode()
"""How the header of what `export_run` has written begins."""


def sealed(header: Mapping[str, Any]) -> dict[str, str]:
    """Returns the metadata of a header: its text, with the format and a hash of all that it says."""
    said = {"format": FORMAT, **header}
    return {KEY: json.dumps({**said, "sha256": _digest(said)})}


def is_export(path: str | Path) -> bool:
    """Says whether a file is an exported model, by its header alone.

    A damaged one counts as long as its first bytes are whole; what is no file, or cannot be read, does not.
    """
    path = Path(path)
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH), "little")
            start = file.read(min(length, MOST))
    except OSError:
        return False
    return start.startswith(_START) or KEY in _metadata(start)


def unsealed(path: Path, data: bytes) -> dict[str, Any]:
    """Returns the header of an exported model, whose hash has been checked.

    Args:
      path: of the file, for sentences.
      data: the file's bytes.

    Raises:
      InputError: it is no exported model, a damaged one, or one of a newer fsjax.
    """
    length = int.from_bytes(data[:LENGTH], "little")
    start = data[LENGTH : LENGTH + length]
    text = _metadata(start).get(KEY)
    if text is None and not start.startswith(_START):
        raise InputError(
            f"{path} is no exported model, as its header is not one of fsjax: name a file that "
            "`python -m fsjax.export RUN FILE` has written."
        )
    header = _parsed(text)
    sealed_by = header.pop("sha256", None)
    if not header or sealed_by != _digest(header):
        raise damaged(path, "its header is not what was written")
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} is of format {header.get('format')!r}, and this fsjax reads {FORMAT}: install a newer "
            "fsjax."
        )
    return header


def damaged(path: Path, why: str) -> InputError:
    """Returns what to raise of a file that is not what was written."""
    return InputError(f"{path} is damaged ({why}): copy or export it again.")


def _metadata(start: bytes) -> dict[str, Any]:
    """Returns the metadata of a safetensors file, nothing where there are none."""
    found = _parsed(start).get("__metadata__")
    return found if isinstance(found, dict) else {}


def _parsed(text: Any) -> dict[str, Any]:
    """Returns a JSON object, an empty one where the text is none."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
