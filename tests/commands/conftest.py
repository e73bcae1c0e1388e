"""A miniature of VOC's folder, a run on it, and how programs are started."""

import numpy as np
import pytest

import train
from tests.commands.programs import CLASSES, PHOTOS, prepare, start, write_config
from tests.runs import prnet_config
from tests.small_pictures import small_pictures  # noqa: F401
from tests.training.test_release import saved
from tests.voc import save_photo


def write_folder(root, rim=0):
    """Three photos of each class, each with one coloured object in a rim of void, and a configuration."""
    rng, voc = np.random.default_rng(0), root / "voc"
    for name in PHOTOS:
        class_id = CLASSES[name.split("_")[0]]
        labels = np.zeros((36, 44), np.uint8)
        labels[8 - rim : 26 + rim, 10 - rim : 32 + rim] = 255
        labels[8:26, 10:32] = class_id
        pixels = rng.integers(0, 90, (36, 44, 3), np.uint8)
        pixels[8:26, 10:32] = 60 * np.array([class_id % 2, class_id // 2 % 2, class_id // 8 % 4]) + 70
        save_photo(voc, name, pixels, labels)
    prepare(root, PHOTOS)
    write_config(root)
    return root


@pytest.fixture
def place(tmp_path):
    """A folder with photos and a configuration, in which nothing has been done."""
    return write_folder(tmp_path)


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A folder with a finished run in it, which tests leave as it is."""
    root = write_folder(tmp_path_factory.mktemp("trained"))
    assert start(train, f"--config={root}/mini.py", f"--workdir={root}/run") == 0
    return root


@pytest.fixture(scope="package")
def untrained(tmp_path_factory):
    """A run whose weights a seed has drawn, so that nothing was trained: to segment people's photos with."""
    return saved(tmp_path_factory.mktemp("untrained"), prnet_config())[0]


@pytest.fixture
def refusal(capsys):
    """Starts a program that must refuse; returns its sentence."""

    def refused(program, *arguments):
        capsys.readouterr()
        assert start(program, *arguments) == 2
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        *_, last = said.err.splitlines()
        assert last.startswith("error: ")
        assert last.endswith((".", "?"))
        return last

    return refused
