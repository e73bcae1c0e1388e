"""What the documents name is there: files, programs' flags, configurations and their fields."""

import re
import shlex
from pathlib import Path

import pytest

import ablate
import eval as evaluate
import predict
import reproduce
import train
from datasets import draw, overview, prepare
from fsjax import analyze, cli, compare, export, profile
from fsjax.app import __main__ as app
from fsjax.config import TABLE, check
from fsjax.models.backbones import OPTIONS
from fsjax.reproduction import named, scale

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(path for folder in (".", "docs", "cluster") for path in ROOT.glob(f"{folder}/*.md"))
PROGRAMS = {
    "train.py": train,
    "eval.py": evaluate,
    "ablate.py": ablate,
    "reproduce.py": reproduce,
    "predict.py": predict,
    "fsjax.app": app,
}
WITHOUT_FIELDS = {
    "datasets.draw": draw,
    "datasets.prepare": prepare,
    "datasets.overview": overview,
    "fsjax.compare": compare,
    "fsjax.analyze": analyze,
    "fsjax.export": export,
    "fsjax.profile": profile,
}
KNOWN = {*TABLE, *(f"model.backbone_options.{option}" for options in OPTIONS.values() for option in options)}
GONE = {"model.batch_statistics", "eval.cached_features", "data.dir", "configs/common.py"}
"""What the changelog alone names."""


def commands():
    """Returns the command lines of our programs, in documents and in the configurations' docstrings."""
    lines = []
    for path in [*DOCUMENTS, *sorted(ROOT.glob("configs/*.py"))]:
        text = path.read_text().replace("\\\n", " ")
        found = re.findall(r"\bpython ((?:train|eval|ablate|reproduce|predict)\.py[^`\n]*)", text)
        found += re.findall(r"\bpython -m ((?:datasets|fsjax)\.\w+[^`\n]*)", text)
        lines += [
            pytest.param(line, id=f"{path.name}: {line[:60]}") for line in found if "--help" not in line
        ]
    return lines


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command):
    line = shlex.split(command.replace("seed=N", "seed=1"), comments=True)
    if line[0] in WITHOUT_FIELDS:
        program = WITHOUT_FIELDS[line[0]]
        switches, places = getattr(program, "SWITCHES", None), program in (analyze, compare, export, profile)
        cli.parse(line, "", program.FLAGS, switches, fields=False, places=places)
        return
    flags, fields = cli.parse(line, "", PROGRAMS[line[0]].FLAGS, getattr(PROGRAMS[line[0]], "SWITCHES", None))
    if line[0] == "reproduce.py":
        named(flags.table)
        scale(flags.scale or "paper", flags.data, tuple(fields), flags.folds)
        return
    usual = "configs/dpnet_shapes.py" if line[0] == "ablate.py" else "configs/prnet_shapes.py"
    check(cli.set_fields(cli.load_config(ROOT / (flags.config or usual)), fields))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_is_named_is_there(path):
    text = path.read_text()
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://")}
    words = set(re.findall(r"`(?:--config\.)?([\w./]+)(?:=[^`\n]*)?`", text))
    fields = {word for word in words if re.match(r"(data|train|eval|model)\.(?!py$)", word)}
    files = {word for word in words if re.match(r"(fsjax|tests|datasets|configs|docs)/", word)}
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert fields - KNOWN - (GONE if path.name == "CHANGELOG.md" else set()) == set()
    assert [file for file in files if not ("NAME" in file or file in GONE or (ROOT / file).exists())] == []
