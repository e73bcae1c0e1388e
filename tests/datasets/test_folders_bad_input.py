"""What is wrong with people's folders is said in one sentence, and nothing is left behind."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import folders, prepare
from fsjax.errors import InputError
from tests.datasets.own_folders import class_folders, encoded, labelled_folder, pixels, save, white

LABELS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


def refused(root, tmp_path, capsys, *flags):
    """Runs the command and returns its sentence; nothing of the data set may be left."""
    argv = ["prepare", "--dataset=folders", f"--manual_dir={root}", "--name=mydata", "--workers=0", *flags]
    assert prepare.main([*argv, f"--tfds_dir={tmp_path / 'built'}"]) == 2
    assert not list((tmp_path / "built").glob("mydata/**/*.array_record*"))
    assert not (tmp_path / "built" / "mydata").exists()
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("error: ")
    return sentence.removeprefix("error: ")


def in_classes(change):
    def make(root):
        class_folders(root, ["cat", "dog"])
        change(root / "cat")

    return make


def in_labels(change):
    def make(root):
        labelled_folder(root, {"a": LABELS, "b": LABELS})
        change(root)

    return make


def swap(path, content):
    path.unlink()
    content(path) if callable(content) else path.write_bytes(content)


def exif(tag):
    of = Image.Exif()
    of[0x0112] = tag
    return of


BAD = {
    "photo without a mask": (
        in_classes(lambda cat: (cat / "1.png").unlink()),
        "cat/1.jpg is alone: put its mask (1.png) beside it",
    ),
    "mask without a photo": (
        in_classes(lambda cat: (cat / "1.jpg").unlink()),
        "cat/1.png is alone: put its photo or its mask (1_mask.png) beside it",
    ),
    "two photos of one name": (
        in_classes(lambda cat: shutil.copy(cat / "1.jpg", cat / "1.jpeg")),
        "cat has 1.jpeg, 1.jpg, 1.png: which is the mask",
    ),
    "no PNG": (
        in_classes(lambda cat: (cat / "1.png").rename(cat / "1.tif")),
        "cat has 1.jpg, 1.tif: which is the mask of which photo? Call a mask 1.png or 1_mask.png",
    ),
    "mask of another size": (
        in_classes(lambda cat: save(cat / "1.png", white(np.ones((20, 23), bool)))),
        "cat/1.png is 20x23 and its photo",
    ),
    "sideways": (
        in_classes(lambda cat: save(cat / "1.jpg", pixels(20, 24, 3), exif=exif(6))),
        "cat/1.png lies on its side: ",
    ),
    "empty mask": (
        in_classes(lambda cat: save(cat / "2.png", np.zeros((20, 24), np.uint8))),
        "cat/2.png marks no object: make the object white and all else black",
    ),
    "damaged photo": (
        in_classes(lambda cat: swap(cat / "1.jpg", (cat / "1.jpg").read_bytes()[:200])),
        "cat/1.jpg is damaged, or no picture",
    ),
    "text for a photo": (in_classes(lambda cat: swap(cat / "1.jpg", b"moin")), "cat/1.jpg is damaged, or no"),
    "pipe for a photo": (
        in_classes(lambda cat: swap(cat / "1.jpg", os.mkfifo)),
        "cat/1.jpg is no ordinary file",
    ),
    "pipe for a mask": (
        in_classes(lambda cat: swap(cat / "1.png", os.mkfifo)),
        "cat/1.png is no ordinary file",
    ),
    "link to nowhere": (
        in_classes(lambda cat: swap(cat / "1.jpg", lambda path: path.symlink_to("gone.jpg"))),
        "There is no file",
    ),
    "bomb": (
        in_classes(lambda cat: swap(cat / "1.png", encoded(Image.new("1", (11_000, 10_000))))),
        "cat/1.png has over 100,000,000 pixels",
    ),
    "one name but for the case": (
        in_classes(lambda cat: shutil.copytree(cat, cat.with_name("Cat"))),
        "has the classes 'Cat' and 'cat', which some systems take for one",
    ),
    "empty class": (in_classes(lambda cat: (cat.parent / "dodo").mkdir()), "dodo has no photos (PNG, JPEG"),
    "single photos": (lambda root: class_folders(root, ["a", "b"], photos=1), "No class in"),
    "labels, photo without a mask": (
        in_labels(lambda root: (root / "masks/a.png").unlink()),
        "images/a.png has no mask",
    ),
    "labels, mask without a photo": (
        in_labels(lambda root: (root / "images/a.png").unlink()),
        "masks/a.png has no photo",
    ),
    "labels, two photos of one name": (
        in_labels(lambda root: shutil.copy(root / "images/a.png", root / "images/a.webp")),
        "images/a.webp have one name",
    ),
    "label beyond classes.txt": (
        in_labels(lambda root: (root / "classes.txt").write_text("cat\n")),
        "classes.txt ends with label 1: add the others' names",
    ),
    "background named": (
        in_labels(lambda root: (root / "classes.txt").write_text("background\ncat\ndog\n")),
        "classes.txt begins with 'background', and line 1 names label 1",
    ),
    "class without a name": (
        in_labels(lambda root: (root / "classes.txt").write_text("cat\n\ndog\n")),
        "classes.txt has no name on line 2",
    ),
    "empty classes.txt": (in_labels(lambda root: (root / "classes.txt").touch()), "classes.txt is empty"),
    "one name twice": (
        in_labels(lambda root: (root / "classes.txt").write_text("cat\ncat\n")),
        "has two classes called 'cat'",
    ),
    "black and white": (
        lambda root: labelled_folder(root, {"a": LABELS // 255 * 255, "b": LABELS // 255 * 255}),
        "hold only 0 and 255, which are background and void",
    ),
    "coloured labels": (
        in_labels(lambda root: save(root / "masks/a.png", pixels(2, 3, 3))),
        "masks/a.png holds colours: save it as labels",
    ),
    "nothing": (
        lambda root: root.mkdir(),
        "has none of the known layouts: CLASS/NAME.jpg with CLASS/NAME.png",
    ),
    "one folder too high": (
        lambda root: class_folders(root / "fewshot_data", ["cat", "dog"]),
        "mine/fewshot_data has: is it that?)",
    ),
    "two layouts": (
        in_labels(lambda root: [(root / name).mkdir() for name in ("JPEGImages", "SegmentationClass")]),
        "has JPEGImages and also images and masks, so that its layout is not clear",
    ),
    "images alone": (
        lambda root: save(root / "images" / "x.png", pixels(3, 3)),
        "has none of the known layouts",
    ),
    "other json": (
        lambda root: (save(root / "images" / "x.png", pixels(3, 3)), (root / "x.json").write_text("{}")),
        "x.json is not one of COCO's instances files",
    ),
    "two json": (
        lambda root: [
            (save(root / "images" / "x.png", pixels(3, 3)), (root / n).touch()) for n in ("a.json", "b.json")
        ],
        "has the annotation files a.json, b.json: leave one",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_a_sentence_names_what_is_wrong(root, tmp_path, capsys, make, sentence):
    make(root)
    said = refused(root, tmp_path, capsys)
    assert sentence in said
    assert str(root) in said


def test_an_annotation_on_its_side_is_told(root, tmp_path, capsys):
    save(root / "images" / "x.jpg", pixels(20, 24, 3), exif=exif(8))
    outline = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    file = {
        "images": [{"id": 1, "file_name": "x.jpg", "height": 20, "width": 24}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [outline],
    }
    image = {"id": 2, "file_name": "y.jpg", "height": 20, "width": 24}
    save(root / "images" / "y.jpg", pixels(20, 24, 3))
    file["images"].append(image)
    file["annotations"].append(outline | {"id": 2, "image_id": 2})
    (root / "x.json").write_text(json.dumps(file))
    said = refused(root, tmp_path, capsys)
    assert "The annotation of x.jpg lies on its side" in said


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--crowd=void", "has no annotation file, which --crowd is for"),
        ("--holdout=1", "leaves the list train of 4 photos in"),
        ("--holdout=0", "leaves the list test of 4 photos in"),
        ("--holdout=2", "--holdout is 2.0: give a number from 0 to 1"),
        ("--year=2014", "--year is not for --dataset=folders"),
    ],
)
def test_flags_that_do_not_fit(root, tmp_path, capsys, flag, sentence):
    class_folders(root, ["cat", "dog"])
    assert sentence in refused(root, tmp_path, capsys, flag)


def test_a_plan_does_not_read_what_is_no_file(root):
    class_folders(root, ["cat", "dog"])
    (root / "train.txt").unlink(missing_ok=True)
    os.mkfifo(root / "train.txt")
    with pytest.raises(InputError, match=r"mine/train\.txt is no ordinary file"):
        folders.plan(root)


def test_a_link_back_up_is_not_followed(root):
    labelled_folder(root, {"a": LABELS, "b": LABELS})
    for folder in ("images", "masks"):
        (root / folder / "again").symlink_to(root / folder)
    assert folders.plan(root).ids == ["a", "b"]


def test_a_name_that_is_not_in_utf_8(tmp_path):
    class_folders(tmp_path / "mine", ["a"])
    (tmp_path / "mine/a/1.jpg").rename(tmp_path / "mine/a/\udce9.jpg")  # as Python reads a name in Latin-1
    with pytest.raises(InputError, match=r"/a/\\udce9\.jpg' is not in UTF-8: rename it"):
        folders.plan(tmp_path / "mine")
