"""The scripts as a checker of shell programs reads them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "cluster").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_sound(script):
    checker = shutil.which("shellcheck", path=Path(sys.executable).parent) or shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck: install requirements.txt")
    done = subprocess.run([checker, script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
