"""The command that prepares a data set: what it prints, and what it refuses in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from datasets import prepare
from datasets.prepared import FORMAT
from fsjax import config
from fsjax.errors import InputError
from tests import coco

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command in this process; returns its code, what it printed, and its error."""

    def command(*flags, manual_dir=tmp_path):
        folder = f"--tfds_dir={tmp_path / 'built'}"
        code = prepare.main(["prepare", f"--manual_dir={manual_dir}", folder, "--workers=0", *flags])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def load(tmp_path, name):
    data = config.default().data
    data.name, data.tfds_dir = name, str(tmp_path / "built")
    return datasets.load(data)


def check_refused(ended, sentence):
    """Makes sure that a command ended in one sentence, and left nothing."""
    code, _, err = ended
    assert code == 2, err
    assert err.count("error: ") == 1
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sentence in line


def test_from_the_archives_to_a_source(run, tmp_path):
    coco.write_benchmark(tmp_path)
    code, out, _ = run("--dataset=coco20i")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "COCO-20i (2017)"
    assert "  train: photos: 5, known are 118,287: DIFFERENT" in lines
    assert "  val: photos that show something: 3" in lines
    assert lines[-1] == (
        f"The data set coco20i is in {tmp_path}/built/coco20i: train on it with --config.data.name=coco20i."
    )
    sources = load(tmp_path, "coco20i")
    assert sources["train"].ids == ("000000000001", "000000000002", "000000000005")
    assert sources["test"].ids == ("000000000011", "000000000012", "000000000015")
    assert sources["train"].folds[0][:3] == (1, 5, 9)
    assert sources["train"].mask(0, (17,), 1)[4, 4] == 1
    assert sources["test"].image(1).shape == (75, 50, 3)


def test_a_whole_benchmark_is_said_to_be_as_known(run, tmp_path, monkeypatch):
    coco.write_benchmark(tmp_path)
    found = {"photos": 5, "annotations": 10, "photos with annotations": 4}
    monkeypatch.setitem(prepare.coco20i.KNOWN, (2017, "train"), found)
    _, out, _ = run("--dataset=coco20i")
    assert "  train: annotations: 10, as known" in out.splitlines()
    assert "  val: annotations: 10, known are 36,781: DIFFERENT" in out.splitlines()


@pytest.mark.slow
def test_the_command_in_a_process_of_its_own(tmp_path):
    coco.write_piece(tmp_path / "piece")
    command = [sys.executable, "-m", "datasets.prepare", "--dataset=coco20i", "--name=mine", "--workers=2"]
    folders = [f"--manual_dir={tmp_path / 'piece'}", f"--tfds_dir={tmp_path / 'built'}"]
    ended = subprocess.run([*command, *folders], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("COCO annotations: 3 photos\n  all: photos: 5\n  all: annotations: 10\n")
    sources = load(tmp_path, "mine")
    assert sorted(sources["train"].ids + sources["test"].ids) == [f"{n:012}" for n in (2, 3, 6)]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--dataset=coco"), "--dataset is 'coco': give "),
        (("--dataset=coco20i", "--manual_dir="), "Name the folder with the archives"),
        (("--dataset=coco20i", "--manual_dir=nowhere"), "There is no folder nowhere: see --manual_dir."),
        (("--dataset=coco20i", "--name=a/b"), "'a/b' is no name for a data set"),
        (("--dataset=coco20i", "--year=2015"), "--year is 2015: give 2014 or 2017."),
        (("--dataset=coco20i", "--year=1999"), "--year"),
        (("--dataset=coco20i", "--crowd=all"), "--crowd is 'all': give 'skip', 'include' or 'void'"),
        (("--dataset=coco20i", "--holdout=2"), "--holdout"),
        (("--dataset=coco20i", "--workers=-1"), "--workers"),
        (("--dataset=coco20i", "--lists=x"), "--lists is not for --dataset=coco20i: leave it out."),
    ],
)
def test_flags_that_do_not_fit(run, tmp_path, flags, sentence):
    coco.write_piece(tmp_path)
    check_refused(run(*([flags] if isinstance(flags, str) else flags)), sentence)
    assert not (tmp_path / "built").exists()


def cut_annotations(folder):
    path = folder / "annotations_trainval2017.zip"
    path.write_bytes(path.read_bytes()[:-100])


def cut_photos(folder):
    path = folder / "train2017.zip"
    path.write_bytes(path.read_bytes()[:3000])


def photos_of_another_year(folder):
    (folder / "train2017.zip").unlink()
    coco.write_photos(folder, "train2017", {"COCO_train2014_000000000001.jpg": b""}, zipped=True)


def annotations_of_another_year(folder):
    (folder / "annotations_trainval2017.zip").unlink()
    (folder / "other").mkdir()
    coco.write_benchmark(folder / "other", 2014)
    (folder / "other" / "annotations_trainval2014.zip").rename(folder / "annotations_trainval2017.zip")


def no_photos(folder):
    (folder / "val2017.zip").unlink()


def both_years(folder):
    coco.write_benchmark(folder, 2014)


def a_pipe(folder):
    (folder / "annotations_trainval2017.zip").unlink()
    os.mkfifo(folder / "annotations_trainval2017.zip")


def damaged_photo(folder):
    path = folder / "train2017.zip"
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_annotations, "annotations_trainval2017.zip is no folder, no zip and no tar, or was cut short"),
        (cut_photos, "train2017.zip is no folder, no zip and no tar, or was cut short: fetch it again."),
        (
            photos_of_another_year,
            "train2017.zip lacks 3 of the 3 photos of its annotations, as 000000000001.jpg",
        ),
        (annotations_of_another_year, "holds no file annotations/instances_train2017.json: is it another"),
        (no_photos, "There is neither a folder"),
        (both_years, "holds COCO of 2014 and of 2017: say which with --year."),
        (a_pipe, "annotations_trainval2017.zip is no ordinary file: put one there."),
        (damaged_photo, "train2017.zip is damaged or was cut short (Bad CRC-32 for file"),
    ],
)
def test_downloads_that_are_damaged_or_mixed_up(run, tmp_path, damage, sentence):
    coco.write_benchmark(tmp_path)
    damage(tmp_path)
    check_refused(run("--dataset=coco20i"), sentence)
    assert not (tmp_path / "built" / "coco20i").exists()


def test_of_two_years_one_is_chosen(run, tmp_path):
    coco.write_benchmark(tmp_path)
    coco.write_benchmark(tmp_path, 2014)
    code, out, _ = run("--dataset=coco20i", "--year=2014")
    assert (code, out.splitlines()[0]) == (0, "COCO-20i (2014)")
    check_refused(run("--dataset=coco20i", "--year=2017", "--holdout=0.5"), "COCO's own lists train and val")


def changed(**changes):
    """Returns a file of annotations whose first image, or its first annotation, has other fields."""
    annotated = coco.instances()
    for part, fields in changes.items():
        annotated[part][0] |= fields
    return annotated


@pytest.mark.parametrize(
    ("annotated", "sentence"),
    [
        (changed(images={"height": 61}), "is 60x80 and its annotations are of 61x80 pixels (height x width)"),
        (
            changed(images={"file_name": "none.jpg"}),
            "images lacks 1 of the 3 photos of its annotations, as none",
        ),
        (
            changed(images={"file_name": "../out.jpg"}),
            "lacks 1 of the 3 photos of its annotations, as ../out",
        ),
        (changed(images={"file_name": "000000000003.jpg"}), "list the photo 000000000003.jpg twice"),
        (changed(annotations={"image_id": 50}), "has an annotation of the image 50, which it does not list"),
        (changed(annotations={"segmentation": [[0, 0, 1e9, 0, 5, 5]]}), "have a polygon that leads far out"),
        ({**coco.instances(), "annotations": []}, "No photo of the list all shows an object"),
        ([], "is not one of COCO's instances files"),
    ],
)
def test_annotations_that_do_not_fit(run, tmp_path, annotated, sentence):
    coco.write_piece(tmp_path)
    (tmp_path / "instances_mine.json").write_text(json.dumps(annotated))
    check_refused(run("--dataset=coco20i", "--name=mine"), sentence)
    assert not (tmp_path / "built" / "mine").exists()


def test_a_folder_without_coco(run, tmp_path):
    check_refused(run("--dataset=coco20i"), f"{tmp_path} holds no COCO: put train2017.zip, val2017.zip and")
    coco.write_piece(tmp_path)
    (tmp_path / "second.json").write_text("{}")
    check_refused(run("--dataset=coco20i"), "or one annotation file beside a folder images.")
    check_refused(run("--dataset=coco20i", "--year=2014"), "has no annotations of train2014: put")


def test_hidden_files_beside_data_sets(tmp_path):
    (tmp_path / "built" / "old" / FORMAT).mkdir(parents=True)
    (tmp_path / "built" / "old" / FORMAT / "dataset_info.json").touch()
    (tmp_path / "built" / ".DS_Store").touch()
    with pytest.raises(InputError, match=r"There is no data set mine in .* \(there is old\): prepare it"):
        load(tmp_path, "mine")


def test_the_name_of_the_embedded_benchmark_is_taken(run, tmp_path):
    coco.write_piece(tmp_path)
    check_refused(run("--dataset=coco20i", "--name=shapes"), "The name shapes is that of the embedded")
    assert not (tmp_path / "built").exists()


def test_shapes_of_another_version_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.shapes, "SPLITS", {"train": 2, "test": 2})
    load(tmp_path, "shapes")
    monkeypatch.setattr(datasets.shapes, "VERSION", "2")
    with pytest.raises(InputError, match=r"shapes is not of this version of shapes: delete the folder"):
        load(tmp_path, "shapes")
