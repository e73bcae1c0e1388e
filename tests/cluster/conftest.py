"""Stand-ins for the commands of a cluster, which the scripts find before all others."""

import os

import pytest


@pytest.fixture
def standing_in(tmp_path, monkeypatch):
    """Puts programs on the path: name -> text, its first line that of an interpreter."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(**programs):
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    return put
