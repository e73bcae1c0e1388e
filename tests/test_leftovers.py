"""What a killed process leaves is cleared by the next one, and what a living one uses is not."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fsjax.files import claimed, is_abandoned
from fsjax.leftovers import PREFIX, TemporaryFolder, clear_temporaries

REPOSITORY = Path(__file__).parents[1]

SCRIPT = """
import os, signal, sys
from pathlib import Path
from fsjax.files import claimed, replacing
from fsjax.leftovers import TemporaryFolder

folder = TemporaryFolder()
(folder.path / "file").write_text("large")
with claimed(sys.argv[1]), replacing(Path(sys.argv[1]) / "results.json") as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path):
    """The folder in which a process was killed while it wrote a file; the temporary one is beside it."""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return tmp_path / "out"


def test_what_a_killed_process_leaves_is_cleared(killed, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(killed.parent / "tmp"))
    (left,) = (killed.parent / "tmp").glob(f"{PREFIX}*")
    assert is_abandoned(left)
    folder = TemporaryFolder()
    other = TemporaryFolder()
    assert not left.exists()
    assert folder.path.exists()  # its process lives
    assert not is_abandoned(folder.path)
    for made in (folder, other):
        made.close()
    assert not list((killed.parent / "tmp").iterdir())

    (killed / ".of_the_user").touch()
    (half,) = killed.glob(".results.json.*")
    clear_temporaries(killed, seconds=3600.0)
    assert half.exists()  # another process might be writing it
    clear_temporaries(killed)
    assert {path.name for path in killed.iterdir()} == {".claimed", ".of_the_user"}


def test_a_claimed_folder_in_which_nothing_was_written_goes(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path / "new" / "run"):
        raise KeyError
    assert not (tmp_path / "new" / "run").exists()
    (tmp_path / "mine").mkdir()
    with claimed(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()  # it was there before
    with claimed(tmp_path / "used"):
        (tmp_path / "used" / "file").touch()
    assert (tmp_path / "used" / "file").exists()
