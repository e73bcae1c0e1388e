"""What killed programs leave behind, and temporary folders of which the next program finds that out."""

import re
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from fsjax.files import claimed, is_abandoned

PREFIX = "fsjax_store_"

_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}")
"""Names that `fsjax.files.replacing` gives."""


def clear_temporaries(folder: Path, seconds: float = 0.0) -> None:
    """Removes files from a folder, not from those in it, that were to take the place of others.

    Args:
      folder: that no other process writes to, or only files that take less than `seconds`.
      seconds: how old they are at least.
    """
    before = time.time() - seconds
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # it is in its place by now
                if path.stat().st_mtime <= before:
                    path.unlink()


class TemporaryFolder:
    """A temporary folder of this process; those of processes that were killed are deleted first.

    Attributes:
      path: of the folder.
    """

    def __init__(self) -> None:
        """Makes it, where TMPDIR says.

        Raises:
          OSError: it cannot be made.
        """
        for path in Path(gettempdir()).glob(f"{PREFIX}*"):
            if is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
        with ExitStack() as made:
            self.path = Path(made.enter_context(TemporaryDirectory(prefix=PREFIX)))
            made.enter_context(claimed(self.path))
            self._made = made.pop_all()

    def close(self) -> None:
        """Deletes it."""
        self._made.close()
