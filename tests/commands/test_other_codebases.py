"""docs/other_codebases.md, run line by line: its commands, and the ten lines of Python between them."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval as evaluation
from fsjax import compare
from tests.commands.programs import results, start

PAGE = Path(evaluation.__file__).parent / "docs" / "other_codebases.md"
PROGRAMS = {"python eval.py": evaluation, "python -m fsjax.compare": compare}


class Tensor(np.ndarray):
    """What the ten lines ask of PyTorch's tensors, where that is not installed."""

    def byte(self):
        return self.astype(np.uint8)

    def cpu(self):
        return self

    def numpy(self):
        return np.asarray(self)


def segment(support, query, class_ids):
    """Knows where the object of every photo of the miniature is."""
    logits = np.zeros((1, len(class_ids) + 1, 36, 44), np.float32)
    logits[0, 1, 8:26, 10:32] = 1
    logits[0, 0] = 1 - logits[0, 1]
    try:
        import torch
    except ImportError:
        return logits.view(Tensor)
    return torch.from_numpy(logits)


def blocks():
    """Returns the blocks of the page: (language, text)."""
    return re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(line):
    """Runs a command of the page in this process, or in a shell if it is none of our programs."""
    for command, program in PROGRAMS.items():
        if line.startswith(command):
            assert start(program, *shlex.split(line.removeprefix(command))) == 0
            return ""
    return subprocess.run(["bash", "-c", line], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the page's last command is not there")
def test_the_page_is_true(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "prnet_shapes_fold0").symlink_to(trained / "run")
    (tmp_path / "data").symlink_to(trained / "built")
    monkeypatch.chdir(tmp_path)
    said, lines, names = [], [], {"segment": segment}
    for language, text in blocks():
        if language == "python":
            lines.append(len([line for line in text.splitlines() if line]))
            exec(compile(text, PAGE.name, "exec"), names)
        else:
            said += [run(line) for line in text.splitlines()]
    assert lines[0] == 10
    assert names["photo"].shape == (36, 44, 3)
    assert [np.unique(names[mask]).tolist() for mask in ("truth", "support")] == [[0, 1]] * 2
    theirs, ours = (results(tmp_path / "runs" / name) for name in ("theirs", "ours"))
    assert [(row["name"], row["mean_iou"]) for row in theirs["rows"]] == [("theirs", 100.0)]
    assert theirs["manifest_sha256"] == ours["manifest_sha256"]
    assert theirs["predictions"] == {"folder": "masks", "masks": 8, "sha256": said[-1].split()[0]}
    (fusion2,) = (row["mean_iou"] for row in ours["rows"] if row["name"] == "fusion2")
    table = [
        line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("theirs  fusion2")
    ]
    assert table[0][:5] == ["theirs", "fusion2", "100.0", f"{fusion2:.1f}", f"{100 - fusion2:+.1f}"]
    with Image.open("compare.png") as image:
        assert image.format == "PNG"
