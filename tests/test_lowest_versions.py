"""The lowest versions that requirements.txt allows are enough: the whole suite, in an environment of them.

    python -m pytest -n 0 -m slow tests/test_lowest_versions.py

It takes three times as long as the suite on a machine with nothing else to do, and needs a package index.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lowest() -> list[str]:
    """Returns the requirements with their lower bounds as the versions, "numpy==2.1"."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    return [line.replace(">=", "==") for line in lines if line]


def test_every_requirement_has_a_lower_bound_and_no_other():
    assert [line for line in lowest() if not re.fullmatch(r"[\w-]+==\d+(\.\d+)*", line)] == []


@pytest.mark.slow
def test_the_suite_passes_with_the_lowest_versions(tmp_path):
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *lowest()], check=True)
    subprocess.run([*pip, "check"], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment |= {"FSJAX_TEST_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    # What old packages call may be deprecated in newer ones that they bring.
    suite = [python, "-m", "pytest", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(suite, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
