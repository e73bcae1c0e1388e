"""What made a result: the versions of the code, and the device that it ran on."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import fsjax

LIBRARIES = ("jax", "jaxlib", "flax", "numpy")
SECONDS = 10  # that git may take


def provenance() -> dict[str, Any]:
    """Returns what ran: versions, commit and device, all as JSON has them.

    Returns:
      "fsjax", "jax", "jaxlib", "flax", "numpy" and "python": their versions; "commit": of the source tree,
      and "clean": whether its tracked files are as committed, both None where the package lies in no git
      checkout of its own; "device": the kind of the devices, e.g. "cpu", and "devices": how many there are,
      on all hosts.
    """
    commit, clean = source_commit(Path(fsjax.__file__))
    return {
        "fsjax": fsjax.__version__,
        **{name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "commit": commit,
        "clean": clean,
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
    }


def source_commit(file: Path) -> tuple[str | None, bool | None]:
    """Returns the commit of the git checkout that tracks a file, and whether its tracked files are unchanged.

    Both are None where no checkout tracks the file (an installed package in a project of somebody else's is
    not that project), or where git is missing, refuses, or takes too long.
    """
    folder = file.resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = None if commit is None else _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else not changes


def digest_of_code(folder: Path) -> str:
    """Returns the sha256 of a package's modules: of what is not committed the commit says nothing."""
    sha256 = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        sha256.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return sha256.hexdigest()


def _git(folder: Path, *arguments: str) -> str | None:
    """Returns what a git command says of a folder, None where it fails."""
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True,
            text=True, timeout=SECONDS,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
