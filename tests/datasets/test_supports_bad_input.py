"""Supports, queries and truth that are wrong: a sentence names the file."""

import os

import numpy as np
import pytest

from datasets.supports import list_queries, places, read_supports, read_truth
from fsjax.errors import InputError
from tests.datasets.own_folders import class_folders, encoded, labelled_folder, paletted, save
from tests.datasets.test_labelme import annotate, shape
from tests.datasets.test_supports import BYTES, HALVES, OBJECT, PHOTO, H, W, coco, flat


def empty_mask(root):
    flat(root, a=BYTES, b=0 * BYTES)


def void_alone(root):
    labelled_folder(root, {"a": HALVES, "b": BYTES})


def other_size(root):
    flat(root, a=BYTES[:-1])


def a_pipe(root):
    flat(root, a=BYTES)
    (root / "a.png").unlink()
    os.mkfifo(root / "a.png")


def a_damaged_mask(root):
    flat(root, a=BYTES, b=BYTES)
    (root / "b_mask.png").write_bytes(encoded(BYTES)[:50])


def three_of_a_name(root):
    flat(root, a=BYTES)
    save(root / "a.jpg", PHOTO)


def a_mask_alone(root):
    flat(root, a=BYTES)
    save(root / "b_mask.png", BYTES)


def two_layouts(root):
    flat(root, a=BYTES)
    class_folders(root, ["cat"])


def two_names_of_one_class(root):
    class_folders(root, ["cat", "Cat"], size=(H, W))


def many_classes(root):
    values = np.arange(1, 256, dtype=np.uint16).repeat(2).reshape(30, 17) + 300
    save(root / "images" / "a.png", np.dstack([values % 256] * 3).astype(np.uint8))
    save(root / "masks" / "a.png", values)
    (root / "classes.txt").write_text("\n".join(f"c{n}" for n in range(600)))


def names_of_more_than_one(root):
    flat(root, a=BYTES)
    (root / "classes.txt").write_text("cat\ndog")


def a_label_without_a_name(root):
    flat(root, a=HALVES)
    (root / "classes.txt").write_text("cat")


def a_covered_class(root):
    annotate(root / "a.json", shape("cat"), shape("dog"))


def a_photo_elsewhere(root):
    annotations = [{"category_id": 2, "segmentation": [[2, 2, 12, 2, 12, 12]]}]
    coco(root, annotations)
    file = root / "instances.json"
    file.write_text(file.read_text().replace("x.png", "../x.png"))


def runs_of_another_size(root):
    coco(root, [{"category_id": 2, "segmentation": {"size": [H, W], "counts": [4, 4]}}])


def far_too_large(root):
    coco(root, [{"category_id": 2, "segmentation": [[2, 2, 12, 2, 12, 12]]}])
    file = root / "instances.json"
    file.write_text(file.read_text().replace(f'"width": {W}', '"width": 100000000'))


def colours(root):
    flat(root, a=np.dstack([BYTES, np.roll(BYTES, 3), 0 * BYTES]))


def trimap(root):
    flat(root, a=np.where(np.roll(OBJECT, 2), np.uint8(128), BYTES))


WRONG = {
    empty_mask: r"b_mask\.png marks nothing in .*b\.png: mark an object",
    void_alone: r"masks/b\.png marks nothing in .*images/b\.png",
    other_size: r"a_mask\.png is 19x24 and its photo .*a\.png 20x24 pixels",
    a_pipe: r"a\.png is no ordinary file: name a picture's file",
    a_damaged_mask: r"b_mask\.png is damaged, or no picture",
    three_of_a_name: r"has a\.jpg, a\.png, a_mask\.png: which is the mask",
    a_mask_alone: r"b_mask\.png is alone: put its photo",
    two_layouts: "has pictures and also folders with pictures",
    two_names_of_one_class: "has the classes 'Cat' and 'cat', which some systems take for one",
    many_classes: "has 255 classes, and 254 are the most: leave some out",
    names_of_more_than_one: r"classes\.txt names 2 classes, and the masks mark one object in white",
    a_label_without_a_name: r"a_mask\.png holds the value 2, and .*classes\.txt ends with label 1",
    a_covered_class: "has no pixel of the class 'dog', which other classes cover",
    a_photo_elsewhere: r"instances\.json names the photo '\.\./x\.png', which lies elsewhere",
    runs_of_another_size: r"instances\.json has, for x\.png, runs that do not fill the photo: mend it",
    far_too_large: r"instances\.json has the image x\.png of 20x100000000 pixels",
    colours: r"a_mask\.png holds several colours",
    trimap: r"a_mask\.png holds the value 128, and masks beside it \(or itself\) 255",
    lambda root: None: r"has no photos with masks: NAME\.jpg with NAME\.png or NAME_mask\.png; images",
}  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), WRONG.items(), ids=[make.__name__ for make in WRONG])
def test_supports_that_are_wrong(tmp_path, make, sentence):
    make(tmp_path)
    with pytest.raises(InputError, match=sentence) as error:
        read_supports(str(tmp_path))
    assert str(tmp_path) in str(error.value)


PLACES = {
    "": "--support is '': name a folder, or files",
    "a\0b": "--support is .*: name a folder, or files",
    "{0}/gone": "There is neither a folder nor a file .*/gone, which --support names",
    "{0}/a.png,{0}/gone.png": "There is no file .*/gone.png, which --support names",
    "{0}/*.tif": r"--support is '.*\*\.tif', which no file fits",
    "{0}/a.png,{0}": "--support has the folder .* among files",
    "{0}/a.png": r"a\.png is alone: put its photo or its mask",
    "{0}/a.heic,{0}/a.png": r"a\.heic is of a kind that is not read: save it as JPEG",
    "{0}/x.json,{0}/a_mask.png,{0}/a.png": r"x\.json is no annotation of LabelMe's",
}


@pytest.mark.parametrize(("place", "sentence"), PLACES.items())
def test_places_that_are_wrong(tmp_path, place, sentence):
    flat(tmp_path, a=BYTES)
    (tmp_path / "a.heic").write_bytes(b"1")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match=sentence):
        read_supports(place.format(tmp_path))


@pytest.mark.parametrize("read", [read_supports, list_queries, lambda place: read_truth(place, ["a"], ["b"])])
def test_folders_that_must_not_be_read(tmp_path, monkeypatch, read):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(places.pairs, "visible", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\): give leave") as error:
        read(str(tmp_path))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("pattern", ["", "/*.png"])
def test_names_that_are_not_in_utf8(tmp_path, pattern):
    (tmp_path / "\udcff.png").touch()
    with pytest.raises(InputError, match=r"/\\udcff.png' is not in UTF-8: rename it"):
        list_queries(f"{tmp_path}{pattern}")


def truth(root, **masks):
    for name, mask in masks.items():
        save(root / f"{name}.png", mask)
    return str(root)


COLOURS = np.random.default_rng(0).integers(0, 256, (256, 3))

FOREIGN = {
    "a.png holds the value 3, and the supports show cat, dog": (lambda: {"a": np.uint8(3) * OBJECT}, 2),
    "a.png holds white, and the supports show cat, dog": (lambda: {"a": BYTES}, 2),
    "a.png holds the value 2, and the supports show cat:": (lambda: {"a": HALVES}, 1),
    "a.png holds several colours": (lambda: {"a": np.dstack([BYTES, np.roll(BYTES, 3), 0 * BYTES])}, 1),
    "No mask in .* is called like a query, as a.png": (lambda: {"other": BYTES}, 1),
    "a.png holds the value 9, and": (lambda: {"a": paletted(np.uint8(9) * OBJECT, COLOURS)}, 2),
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "made"), FOREIGN.items())
def test_truth_that_is_wrong(tmp_path, sentence, made):
    make, classes = made
    with pytest.raises(InputError, match=sentence):
        read_truth(truth(tmp_path, **make()), ["cat", "dog"][:classes], ["a", "b"])


def test_true_masks_of_one_name(tmp_path):
    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", BYTES)
    with pytest.raises(InputError, match=r"one/a.png and .*two/a.png are both called like a: leave one out"):
        read_truth(f"{tmp_path}/*/a.png", ["cat"], ["a"])


def test_a_class_that_the_supports_do_not_have(tmp_path):
    class_folders(tmp_path, ["cat", "dog"], photos=1)
    labelled_folder(tmp_path / "dog", {"2": BYTES})
    with pytest.raises(InputError, match=r"dog/.*\.png holds the class 'dog', and the supports show cat"):
        read_truth(str(tmp_path), ["cat"], ["dog/2"])


def test_a_true_mask_of_another_size(tmp_path):
    found = read_truth(truth(tmp_path, a=BYTES), ["cat"], ["a"])
    with pytest.raises(InputError, match=r"a\.png is 20x24 and the query 24x20 pixels"):
        found["a"].read((W, H))
