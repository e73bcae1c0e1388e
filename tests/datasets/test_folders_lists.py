"""Which photos of people's own are trained and tested on, and which classes."""

import numpy as np
import pytest

from datasets import folders
from fsjax.data.index import build_index
from fsjax.data.sampling import EpisodeSampler, fold_classes
from fsjax.errors import InputError
from tests.datasets.own_folders import class_folders, labelled_folder, load, prepared


def test_every_photo_is_in_both_lists(tmp_path):
    masks = class_folders(tmp_path / "mine", ["a", "b", "c"], photos=3)
    sources = prepared(tmp_path / "mine", tmp_path)
    assert set(sources["train"].ids) == set(sources["test"].ids) == set(masks)


def test_a_share_is_held_out(tmp_path):
    masks = class_folders(tmp_path / "mine", ["a", "b"], photos=30, size=(8, 8))
    sources = prepared(tmp_path / "mine", tmp_path, options={"holdout": 0.3})
    train, test = (set(source.ids) for source in sources.values())
    assert not train & test
    assert train | test == set(masks)
    assert 8 <= len(test) <= 28
    assert len(load(tmp_path, train_list="all")["train"].ids) == 60
    (tmp_path / "mine" / "b" / "1.jpg").unlink()
    (tmp_path / "mine" / "b" / "1.png").unlink()
    fewer = folders.plan(tmp_path / "mine", holdout=0.3).lists
    assert set(fewer["test"]) == test - {"b/1"}


@pytest.mark.parametrize("test", ["test", "val"])
def test_lists_in_files(tmp_path, test):
    class_folders(tmp_path / "mine", ["a cat", "Öl"], photos=3)
    (tmp_path / "mine" / "train.txt").write_text("a cat/1\n\n/a cat/2.jpg\nÖl/1.png\r\na cat/1\n", "utf-8")
    (tmp_path / "mine" / f"{test}.txt").write_text("Öl/2.jpg Öl/2.png\nÖl/3\n", "utf-8")
    sources = prepared(tmp_path / "mine", tmp_path)
    assert sources["train"].ids == ("a cat/1", "a cat/2", "Öl/1")
    assert sources["test"].ids == ("Öl/2", "Öl/3")
    with pytest.raises(InputError, match=r"mine/train\.txt is a list already: leave --holdout out"):
        folders.plan(tmp_path / "mine", holdout=0.5)


def test_a_list_of_training_photos_alone(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b"])
    (tmp_path / "mine" / "train.txt").write_text("a/1\nb/1\n")
    sources = prepared(tmp_path / "mine", tmp_path)
    assert len(sources["train"].ids) == 2
    assert len(sources["test"].ids) == 4


def test_a_list_may_name_photos_that_show_nothing(tmp_path):
    a = np.array([[0, 1]], np.uint8)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a, "empty": a * 0})
    (tmp_path / "mine" / "train.txt").write_text("images/a.png\nempty\n")
    assert folders.plan(tmp_path / "mine").lists == {"all": ["a", "b"], "train": ["a"]}


def test_lists_that_name_no_photo(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b"])
    path = tmp_path / "mine" / "train.txt"
    for content, sentence in (
        (b"a/1\na/7\n", "The list .*train.txt names 'a/7', and there is no such photo with a mask"),
        (b"\n\n", "The list .*train.txt names no photo: write a photo's name on each line"),
        (b"\xff\xfe", "train.txt is no text in UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=sentence):
            folders.plan(tmp_path / "mine")


def test_folds_are_drawn_from_a_seed(tmp_path):
    names = [f"class {n}" for n in range(10)]
    class_folders(tmp_path / "mine", names, size=(8, 8))
    sources = prepared(tmp_path / "mine", tmp_path, fold_count=4)
    folds = sources["train"].folds
    assert sorted(map(len, folds)) == [2, 2, 3, 3]
    assert sorted(class_id for fold in folds for class_id in fold) == list(range(1, 11))
    assert load(tmp_path, fold_count=4)["test"].folds == folds
    assert load(tmp_path, fold_count=4, split="drawn")["train"].folds == folds
    assert load(tmp_path, fold_count=4, fold_seed=1)["train"].folds != folds
    without = load(tmp_path, fold_count=4, leave_out=("class 3",))["train"].folds
    assert without == tuple(tuple(c for c in fold if c != names.index("class 3") + 1) for fold in folds)


def test_folds_are_given(tmp_path):
    class_folders(tmp_path / "mine", ["a cat", "Öl", "猫"])
    source = prepared(tmp_path / "mine", tmp_path, folds=(("猫",), ("a cat", "Öl")))["train"]
    named = [[source.class_names[c - 1] for c in fold] for fold in source.folds]
    assert named == [["猫"], ["a cat", "Öl"]]
    assert source.title == "Class folders: 6 photos of 3 classes"
    with pytest.raises(InputError, match="has the class 'a cot', which the data set has not: is it 'a cat'"):
        load(tmp_path, folds=(("a cot",),))


def test_fewer_classes_than_folds(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b", "c"])
    with pytest.raises(InputError, match=r"data\.fold_count is 4, and mine has 3 classes: lower it"):
        prepared(tmp_path / "mine", tmp_path, fold_count=4)


def test_ten_photos_are_enough(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b"], photos=5)
    sources = prepared(tmp_path / "mine", tmp_path)
    for source, classes in zip(sources.values(), fold_classes(sources["train"].folds, 0), strict=True):
        sampler = EpisodeSampler(
            build_index(source), source.class_names, classes, ways=1, shots=4, queries=1, seed=0
        )
        spec = sampler(3)
        assert spec.class_ids == tuple(classes)


def test_classes_of_one_photo_are_told(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b"], photos=2)
    class_folders(tmp_path / "mine", ["single"], photos=1)
    counts = {count.what: count.found for count in folders.plan(tmp_path / "mine").counts}
    assert counts["classes of one photo, for data.leave_out (single)"] == 1


def test_of_many_classes_the_extremes_are_told(tmp_path):
    class_folders(tmp_path / "mine", [f"class {n:02}" for n in range(24)], size=(8, 8))
    class_folders(tmp_path / "mine", ["most"], photos=5, size=(8, 8))
    counts = {count.what: count.found for count in folders.plan(tmp_path / "mine").counts}
    assert counts["photos of most, which has the most"] == 5
    assert counts["photos of class 00, which has the fewest"] == 2
    assert len(counts) == 6


@pytest.mark.parametrize("name", ["test", "val"])
def test_beside_a_list_of_tested_photos_alone_the_others_are_trained_on(tmp_path, name):
    class_folders(tmp_path / "mine", ["a", "b"], photos=3)
    (tmp_path / "mine" / f"{name}.txt").write_text("a/1\nb/3\n")
    sources = prepared(tmp_path / "mine", tmp_path)
    assert sources["train"].ids == ("a/2", "a/3", "b/1", "b/2")
    assert sources["test"].ids == ("a/1", "b/3")


def test_a_list_of_tested_photos_leaves_some(tmp_path):
    class_folders(tmp_path / "mine", ["a"])
    (tmp_path / "mine" / "test.txt").write_text("a/1\na/2\n")
    with pytest.raises(InputError, match=r"test\.txt names all photos, and training needs some"):
        folders.plan(tmp_path / "mine")


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_photo_that_is_trained_and_tested_on_is_named(tmp_path, name):
    class_folders(tmp_path / "mine", ["a"], photos=3)
    (tmp_path / "mine" / "train.txt").write_text("a/1\na/2\n")
    (tmp_path / "mine" / f"{name}.txt").write_text("a/3\na/2.jpg\n")
    with pytest.raises(InputError, match=rf"train\.txt and .*{name}\.txt both name 'a/2': take it out"):
        folders.plan(tmp_path / "mine")


def test_a_list_called_as_that_of_all_photos(tmp_path):
    a = np.array([[0, 1]], np.uint8)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a}, "JPEGImages", "SegmentationClass")
    (tmp_path / "mine/ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "mine/ImageSets/Segmentation/all.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"all\.txt is called as the list of all photos is: rename it"):
        folders.plan(tmp_path / "mine")


def test_a_line_with_a_space_is_no_photo_named_before_it(tmp_path):
    a = np.array([[0, 1]], np.uint8)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a, "a c": a})
    path = tmp_path / "mine" / "train.txt"
    path.write_text("a c.jpg\nimages/b.png anything\na masks/a_mask.png\n")
    assert folders.plan(tmp_path / "mine").lists["train"] == ["a c", "b", "a"]
    path.write_text("a.jpg b.jpg\n")
    with pytest.raises(InputError, match=r"train\.txt has 'a' and 'b\.jpg' on one line: write each"):
        folders.plan(tmp_path / "mine")
    for line in ("a b.jpg", "a d.png", "a 1"):
        path.write_text(line)
        with pytest.raises(InputError, match=f"names '{line}', and there is no such photo with a mask"):
            folders.plan(tmp_path / "mine")
