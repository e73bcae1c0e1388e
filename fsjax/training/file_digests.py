"""The hashes of a checkpoint's files, so that no damaged file reaches what reads arrays from them.

What reads them may otherwise print tracebacks from threads of its own, or believe in sizes that are damaged.
"""

import hashlib
import json
from pathlib import Path

from fsjax.files import replacing, sha256_of

NAME = "files.json"

_ITEMS = ("config", "state")
_UNREAD = "commit_success.txt"


def write(folder: Path) -> None:
    """Writes down the hash of every file of a checkpoint that is whole."""
    files = {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)}
    with replacing(folder / NAME) as temporary:
        temporary.write_text(json.dumps({"files": files, "sha256": _digest(files)}, indent=1) + "\n")


def differs(folder: Path) -> str:
    """Says which file of a checkpoint is not what was saved, "" where none is.

    Where no hashes were written, as by an older fsjax, or are damaged themselves, nothing is known.
    """
    try:
        noted = json.loads((folder / NAME).read_bytes())
        if noted["sha256"] != _digest(noted["files"]):
            return ""
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted(noted["files"]):
        if name not in there:
            return f"its file {name} is missing"
        if sha256_of(there[name]) != noted["files"][name]:
            return f"its file {name} is not what was saved"
    return ""


def _files(folder: Path) -> list[Path]:
    inside = [path for item in _ITEMS for path in (folder / item).rglob("*")]
    return [path for path in inside if path.is_file() and path.name != _UNREAD]


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
