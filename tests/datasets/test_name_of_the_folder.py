"""`datasets` is a well-known package's name, too: the programs work beside it, and from any folder."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
import train
from benchmarks import protocols
from fsjax import cli

ROOT = Path(datasets.__file__).resolve().parents[1]
PHOTOS = 20  # more than one worker takes at a time, so that there are workers


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of installed packages, among them another one named datasets."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "datasets").mkdir()
    (folder / "datasets" / "__init__.py").write_text("def load_dataset(path): raise NotImplementedError\n")
    (folder / "datasets" / "load.py").write_text("")
    return folder


@pytest.fixture
def python(site, tmp_path):
    """Starts Python beside that package, by default in an empty folder; returns how it ended."""

    def started(*arguments, cwd=tmp_path):
        environment = {**os.environ, "PYTHONPATH": str(site), "JAX_PLATFORMS": "cpu"}
        environment.pop("PYTHONSAFEPATH", None)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    return started


def write_coco(folder):
    """A piece of COCO: photos with a square each."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(PHOTOS):
        Image.fromarray(np.full((30, 40, 3), 9 * i, np.uint8)).save(folder / "images" / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40})
        corners = [5, 5, 25, 5, 25, 25, 5, 25]
        annotations.append(
            {"id": i, "image_id": i, "category_id": 1 + i % 2, "iscrowd": 0, "segmentation": [corners]}
        )
    categories = [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]
    parts = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(parts))


def test_the_stand_in_is_what_python_finds_elsewhere(python, site):
    done = python("-c", "import datasets; print(datasets.__file__)")
    assert Path(done.stdout.strip()).parent == site / "datasets"
    done = python("-m", "datasets.prepare", "--help")
    assert done.returncode == 1
    assert "No module named datasets.prepare" in done.stderr


@pytest.mark.slow
def test_a_program_starts_beside_it_from_another_folder(python):
    done = python(ROOT / "train.py", "--config.fold=x")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: fold is ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_prepare_works_by_module_in_the_clone(python):
    done = python("-m", "datasets.prepare", "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "python CLONE/datasets/prepare.py" in done.stdout


@pytest.mark.slow
def test_prepare_and_overview_work_by_path_from_another_folder(python, tmp_path):
    write_coco(tmp_path / "coco")
    place = ROOT / "datasets"
    done = python(
        place / "prepare.py", "--dataset=coco20i", "--manual_dir=coco", "--name=ants", "--workers=1"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "ants").is_dir()
    done = python(place / "overview.py", "--dataset=ants", "--out=seen")
    assert done.returncode == 0, done.stderr
    assert "ant " in done.stdout
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {
        "classes.csv",
        "contact_sheet.png",
        "sizes.png",
    }


def test_a_missing_data_set_is_prepared_with_a_command_that_works_there(monkeypatch, tmp_path, capsys):
    flags = ["--config.data.name=nothing", f"--config.data.tfds_dir={tmp_path}"]
    for folder, command in (
        (ROOT, "python -m datasets.prepare"),
        (tmp_path, f"python {ROOT}/datasets/prepare.py"),
    ):
        monkeypatch.chdir(folder)
        assert train.main(["train.py", f"--config={ROOT}/configs/prnet_coco.py", *flags]) == 2
        assert f"prepare it with {command} --dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ours", "way"),
    [
        (train, f"as python {ROOT / 'train.py'}"),
        (protocols, f"as python -m benchmarks.protocols from {ROOT}"),
    ],
)
def test_another_package_under_the_name_is_told_in_one_sentence(site, capsys, ours, way):
    foreign = types.ModuleType("datasets")
    foreign.__file__ = str(site / "datasets" / "__init__.py")
    program = types.FunctionType(ours.program.__code__, {**ours.program.__globals__, "datasets": foreign})
    assert cli.run(program, ["train.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"error: `datasets` is another package here, the one in {site / 'datasets'}: start "
    )
    assert way in line
