"""Whether two folders of runs, evaluations or data sets hold the same results."""

import json
import re
from pathlib import Path
from typing import Any

from fsjax.models import build
from fsjax.training import frozen
from fsjax.training.runs import Run

TIMES = ("tensorboard", ".claimed")
"""What beside the results has no others in it, but times."""


def differing(one: Path, other: Path) -> list[str]:
    """Returns what differs between two folders, in words, `seconds` aside.

    All files are compared, so that what a process has left behind when it was killed differs, too.
    """
    left, right = _contents(one), _contents(other)
    words = [f"{name} is missing" for name in sorted(left.keys() - right.keys())]
    words += [f"{name} is left over" for name in sorted(right.keys() - left.keys())]
    common = sorted(left.keys() & right.keys())
    return words + [f"{name} differs" for name in common if left[name] != right[name]]


def _contents(folder: Path) -> dict[str, Any]:
    """Returns what each file below a folder says; a checkpoint is one, and read as fsjax reads it."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.parent.name == "checkpoints":
            found[str(name)] = _checkpoint(path)
        elif path.is_file() and not {"checkpoints", *TIMES} & set(name.parts):
            found[str(name)] = _said(path)
    return found


def _checkpoint(place: Path) -> Any:
    """Returns a checkpoint's configuration and digests, and the digest of its variables as they are read."""
    if not place.name.isdecimal():
        return None  # one that is not whole
    run = Run.open(place.parents[1], int(place.name))
    variables = run.variables(build.method(run.config.model))
    return json.loads((place / "config" / "metadata").read_text()), frozen.digest(variables)


def _said(path: Path) -> Any:
    """Returns what a file says, without how long something took."""
    if path.suffix in (".json", ".jsonl"):
        lines = path.read_text().splitlines()
        return [
            _timeless(json.loads(text)) for text in (lines if path.suffix == ".jsonl" else ["".join(lines)])
        ]
    if path.suffix == ".md":  # seconds are the last column of its tables
        return re.sub(r"\|[^|\n]*\|$", "|", path.read_text(), flags=re.MULTILINE)
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if name != "seconds"}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value
