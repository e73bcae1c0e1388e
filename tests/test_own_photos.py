"""The commands of docs/own_photos.md and of the README's section run in their order, on drawn photos."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval as evaluate
import predict
import train
from datasets import draw, overview, prepare
from fsjax import experiment, export
from fsjax.app import __main__ as app
from fsjax.app.server import Server
from fsjax.segmenter import Segmenter
from tests.runs import prnet_config, toy_sources

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/own_photos.md"
PROGRAMS = {
    "predict.py": predict, "train.py": train, "eval.py": evaluate, "datasets.draw": draw,
    "datasets.prepare": prepare, "datasets.overview": overview, "fsjax.export": export, "fsjax.app": app,
}  # fmt: skip

TINY = (
    "--config.model.backbone=small", "--config.model.backbone_options.widths=4,4,8",
    "--config.model.weights=random", "--config.train.steps=2", "--config.train.warmup=1",
    "--config.train.milestones=1", "--config.train.size=32", "--config.eval.size=32", "--config.eval.runs=1",
    "--config.eval.episodes=2", "--config.eval.adapt_episodes=1", "--config.eval.rows=fusion2",
    "--config.eval.pictures=0", "--config.eval.batch_size=1", "--config.train.ways=1",
    "--config.train.queries=1",
)  # fmt: skip
MORE = {
    "predict.py": "--model={model}", "train.py": " ".join(TINY), "fsjax.app": "--model={model} --port=0",
    "datasets.draw": "--shown=6 --photos=5", "datasets.prepare": "--workers=0",
}  # fmt: skip
"""What is said beside to each program, unless the command says it: no network, and seconds."""

PROMISED = {
    "mine": ["shown/disk_bricks/1.png", "photos/5.jpg", "truth/classes.txt"],
    "found": [
        "masks/1.png", "overlays/1.jpg", "summary.csv", "annotations.json", "prediction.json", "index.html",
    ],
    "found_adapted": ["masks/1.png", "maps/1.gear_spokes.png"],
    "runs/overview_mydata": ["contact_sheet.png", "sizes.png"],
    "runs/prnet_mydata_fold0": ["results.md", "dry_run.png", "checkpoints"],
    "runs/mydata_two": ["results.md"],
    "found_trained": ["masks/1.png"],
    ".": ["mydata.safetensors"],
}  # fmt: skip


def section(path, title):
    """Returns the part of a document below a heading of the second level."""
    return re.split(r"^## ", path.read_text().split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def blocks(text, language):
    """Returns the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text):
    """Returns the command lines in a text, split as a shell does."""
    lines = "".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run of a tiny network."""
    folder = tmp_path_factory.mktemp("model")
    experiment.train(prnet_config(), toy_sources(folder), folder / "run")
    return folder / "run"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder in which commands run as in the clone's."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line, model):
    """Runs a command of ours, with what makes it quick, and returns the exit code."""
    python, *rest = line
    assert python == "python"
    name, *arguments = rest[1:] if rest[0] == "-m" else rest
    given = {argument.split("=")[0] for argument in arguments}
    more = MORE.get(name, "").format(model=model).split()
    arguments += [argument for argument in more if argument.split("=")[0] not in given]
    return PROGRAMS[name].main([name, *arguments])


def pixels(file):
    """Returns the values of a picture."""
    with Image.open(file) as image:
        return np.asarray(image)


def interrupted(server):
    raise KeyboardInterrupt


def test_every_command_of_the_page_does_what_it_says(clone, model, monkeypatch, capsys):
    monkeypatch.setattr(Server, "serve_forever", interrupted)  # as Ctrl-C does, which ends the page
    asked = commands(PAGE.read_text())
    codes = {shlex.join(line): run(line, model) for line in asked}
    assert codes == {shlex.join(line): 130 if "fsjax.app" in line else 0 for line in asked}
    missing = [f"{folder}/{name}" for folder, names in PROMISED.items() for name in names
               if not (clone / folder / name).exists()]  # fmt: skip
    assert missing == []
    said = capsys.readouterr().out
    assert "Mean IoU with the truth of 5 photos" in said
    assert "The page is at http://127.0.0.1:" in said


def test_the_pages_python_runs_as_it_stands(clone, model, monkeypatch, capsys):
    assert draw.main(["draw", "--out=mine", "--shown=3", "--photos=3"]) == 0
    without_the_network(monkeypatch, model)
    (code,) = blocks(PAGE.read_text(), "python")
    capsys.readouterr()
    exec(code, {})
    said = capsys.readouterr().out
    assert said.count("('disk',)") == 3


def test_the_readmes_command_and_python_run_as_they_stand(clone, model, monkeypatch, capsys):
    text = section(ROOT / "README.md", "Your own photos")
    assert draw.main(["draw", "--out=drawn", "--classes=disk_bricks", "--shown=1", "--photos=2"]) == 0
    shutil.copytree("drawn/shown/disk_bricks", "shown")
    shutil.copytree("drawn/photos", "photos")
    (line,) = commands(text)
    assert run(line, model) == 0
    assert {path.name for path in Path("found").iterdir()} >= {"masks", "overlays", "index.html"}

    for name, file in {
        "photo.jpg": "shown/1.jpg",
        "photo.png": "shown/1.png",
        "other.jpg": "photos/1.jpg",
    }.items():
        shutil.copy(file, name)
    without_the_network(monkeypatch, model)
    (code,) = blocks(text, "python")
    exec(code, {})
    other, shown, mask = map(pixels, ("other.jpg", "found.jpg", "found.png"))
    assert other.shape == shown.shape == (*mask.shape, 3)
    assert set(np.unique(mask)) <= {0, 1}
    assert "('object',)" in capsys.readouterr().out


def without_the_network(monkeypatch, model):
    """Lets Segmenter.load() load a model that is there in place of ImageNet weights."""
    load = Segmenter.load.__func__
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda cls: load(cls, model)))
