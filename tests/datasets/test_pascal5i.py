"""PASCAL-5i from a miniature of VOC's folder, and from genuine photos."""

import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import datasets
from datasets import pascal5i
from fsjax.errors import InputError
from tests.voc import save_mask, save_photo

ALL = range(1, 21)
NAMES = ("2007_000001", "2007_000002", "2007_000003", "2007_000004")


def labels_of(number):
    labels = np.zeros((24 + number, 30), np.uint8)
    labels[4:12, 5:15] = 255
    labels[5:11, 6:14] = 5 * number + 1
    return labels


@pytest.fixture
def folder(tmp_path):
    """A VOC folder of four photos; photo n shows class 5 n + 1."""
    root = tmp_path / "voc"
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        save_photo(root, name, rng.integers(0, 256, (24 + number, 30, 3), np.uint8), labels_of(number))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(NAMES[:3]) + "\n")
    (root / "val.txt").write_text(NAMES[3])
    return root


def load(folder, **changes):
    config = {
        "name": "pascal5i",
        "tfds_dir": str(folder.parent / "built"),
        "dir": str(folder),
        "train_list": "train",
        "test_list": "val",
        "folds": None,
    }
    return datasets.load(SimpleNamespace(**config | changes))


def test_a_folder_is_read(folder):
    splits = load(folder)
    train, test = splits["train"], splits["test"]
    assert train.ids == NAMES[:3]
    assert test.ids == NAMES[3:]
    assert (train.name, train.split) == ("pascal5i", "train")
    assert len(train.class_names) == 20
    assert train.class_names[14] == "person"
    assert train.folds == tuple(tuple(range(5 * f + 1, 5 * f + 6)) for f in range(4))
    for number, name in enumerate(NAMES[:3]):
        photo = Image.open(folder / "JPEGImages" / f"{name}.jpg")
        np.testing.assert_array_equal(train.image(number), np.asarray(photo))
        np.testing.assert_array_equal(train.mask(number, ALL, "query"), labels_of(number))
        assert train.size(number) == (24 + number, 30)
        assert train.areas(number).tolist() == [48 * (c == 5 * number) for c in range(20)]


def test_a_second_time_nothing_is_built(folder, monkeypatch):
    load(folder)
    monkeypatch.delattr(pascal5i.Pascal5i, "_generate_examples")
    assert load(folder)["test"].mask(0, ALL, "query").shape == (27, 30)


def test_other_lists_and_folders_are_other_data_sets(folder):
    first = load(folder)["train"]
    (folder / "ImageSets/Segmentation/train.txt").write_text(f"{NAMES[2]}\n{NAMES[0]}\n")
    second = load(folder)["train"]
    assert second.ids == (NAMES[2], NAMES[0])
    assert first.version != second.version
    assert first.cache_dir != second.cache_dir
    moved = folder.rename(folder.parent / "moved")
    third = load(moved)["train"]
    assert third.version == second.version  # so that a manifest of episodes is good for both
    assert third.cache_dir != second.cache_dir


def test_lists_may_be_paths_and_hold_paths(folder):
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in (*NAMES[:2], NAMES[0])]
    pairs = folder.parent / "pairs.txt"
    pairs.write_text("".join(lines))
    assert load(folder, train_list=str(pairs))["train"].ids == NAMES[:2]
    pairs.write_text(f"{NAMES[1]}__07\n{NAMES[0]}__15\n{NAMES[1]}__15\n")  # pairs with a class, as OSLSM's
    assert load(folder, train_list=str(pairs))["train"].ids == (NAMES[1], NAMES[0])


def test_the_plain_masks_serve_where_there_are_no_augmented_ones(folder):
    (folder / "SegmentationClassAug").rename(folder / "SegmentationClass")
    np.testing.assert_array_equal(load(folder)["test"].mask(0, ALL, "query"), labels_of(3))


def test_folds_may_be_chosen(folder):
    source = load(folder, folds=(("cat", "dog", "sheep"), ("cow", "horse", "person")))["test"]
    assert source.folds == ((8, 12, 17), (10, 13, 15))
    assert source.title == "VOC folder: 6 classes"


@pytest.mark.parametrize(
    ("folds", "title"),
    [
        (None, "PASCAL-5i"),
        (tuple(tuple(reversed(fold)) for fold in pascal5i.FOLDS), "PASCAL-5i"),
        (pascal5i.FOLDS[::-1], "VOC folder: 20 classes"),
        (pascal5i.FOLDS[:2], "VOC folder: 10 classes"),
        ((("cat", "dog"), ("dog",)), "VOC folder: 2 classes"),
        ((("cat",),), "VOC folder: 1 class"),
    ],
)
def test_only_its_own_four_folds_are_pascal5i(folder, folds, title):
    splits = load(folder, folds=folds)
    assert [source.title for source in splits.values()] == [title, title]
    assert splits["test"].name == "pascal5i"


@pytest.mark.parametrize("role", ["support", "query"])
def test_a_mask_shows_the_classes_that_are_asked_for(folder, role):
    mask, labels = load(folder)["train"].mask(1, (3, 6), role), labels_of(1)
    assert mask.dtype == np.uint8
    assert [int(np.unique(mask[labels == label]).item()) for label in (0, 6, 255)] == [0, 2, 255]
    assert set(np.unique(load(folder)["train"].mask(1, (3,), role))) == {0, 255}


def test_grey_photos_become_rgb_and_exif_never_turns_them(folder):
    turned = Image.Exif()
    turned[0x0112] = 6  # "rotate by 90 degrees to see it upright"
    grey = Image.fromarray(np.arange(27 * 30, dtype=np.uint8).reshape(27, 30))
    grey.save(folder / "JPEGImages" / f"{NAMES[3]}.jpg", exif=turned)
    assert load(folder)["test"].image(0).shape == (27, 30, 3)


def no_photo(folder):
    (folder / "JPEGImages" / f"{NAMES[1]}.jpg").unlink()


def cut_photo(folder):
    path = folder / "JPEGImages" / f"{NAMES[1]}.jpg"
    path.write_bytes(path.read_bytes()[:-200])


def pipe_as_photo(folder):
    no_photo(folder)
    os.mkfifo(folder / "JPEGImages" / f"{NAMES[1]}.jpg")


def no_mask(folder):
    (folder / "SegmentationClassAug" / f"{NAMES[1]}.png").unlink()


def cut_mask(folder):
    path = folder / "SegmentationClassAug" / f"{NAMES[1]}.png"
    path.write_bytes(path.read_bytes()[:-40])


def other_size(folder):
    save_mask(folder / "SegmentationClassAug" / f"{NAMES[1]}.png", labels_of(0))


def other_value(folder):
    save_mask(folder / "SegmentationClassAug" / f"{NAMES[1]}.png", labels_of(1) + np.uint8(15))


def colour_mask(folder):
    labels = np.stack(3 * [labels_of(1)], axis=-1)
    save_mask(folder / "SegmentationClassAug" / f"{NAMES[1]}.png", labels)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (no_photo, r"There is no .*2007_000002\.jpg, which a list names"),
        (cut_photo, r"2007_000002\.jpg is damaged"),
        (pipe_as_photo, r"2007_000002\.jpg is no ordinary file, which a list names"),
        (no_mask, r"There is no .*2007_000002\.png, which a list names"),
        (cut_mask, r"2007_000002\.png is damaged"),
        (other_size, r"2007_000002\.png is 30x24 and its photo 30x25 pixels"),
        (other_value, r"2007_000002\.png holds the value 21: allowed are 0 to 20 and 255"),
        (colour_mask, r"2007_000002\.png holds colours"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing_behind(folder, harm, sentence):
    harm(folder)
    with pytest.raises(InputError, match=sentence):
        load(folder)
    assert not list((folder.parent / "built").iterdir())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dir": "nowhere"}, r"There is no folder .*nowhere/JPEGImages: set config.data.dir"),
        ({"test_list": "minival"}, r"There is no list 'minival': neither .*Segmentation/minival\.txt nor"),
        ({"test_list": "empty"}, r"empty\.txt is empty"),
        ({"folds": (("cat", "gog"),)}, r"'gog', which VOC does not: is it 'dog'"),
    ],
)
def test_a_bad_setting_is_named(folder, changes, sentence):
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match=sentence):
        load(folder, **changes)


@pytest.mark.parametrize("content", ["2007_00000é".encode("latin-1"), b"\x89PNG\r\n\xff", b"2007\0"])
def test_a_list_that_is_no_text_is_named(folder, content):
    (folder / "val.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"The list .*voc/val\.txt is no text in UTF-8: save it as such"):
        load(folder)


def test_a_pipe_as_a_list_is_not_waited_for(folder):
    (folder / "val.txt").unlink()
    os.mkfifo(folder / "val.txt")
    with pytest.raises(InputError, match=r"The list .*voc/val\.txt is no ordinary file: name a text file"):
        load(folder)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", "half"])
@pytest.mark.parametrize("name", ["dataset_info.json", "metadata.json", "features.json"])
def test_a_damaged_description_of_what_was_built_is_named(folder, name, content):
    load(folder)
    (path,) = (folder.parent / "built").rglob(name)
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(
        InputError, match=r"The data set in .* is damaged \(\w+\): delete the folder"
    ) as raised:
        load(folder)
    shutil.rmtree(re.match(r"The data set in (\S+) is", str(raised.value))[1])
    assert load(folder)["test"].ids == NAMES[3:]  # as the sentence says


def test_genuine_photos_agree_with_their_files(shared, tmp_path):
    voc = shared / "data" / "voc_animals"
    for split in ("train", "val"):
        ids = (voc / f"{split}.txt").read_text().split()[::200]
        (tmp_path / f"{split}.txt").write_text("\n".join(ids))
    train_list, test_list = str(tmp_path / "train.txt"), str(tmp_path / "val.txt")
    splits = load(voc, tfds_dir=str(tmp_path), train_list=train_list, test_list=test_list)
    for source in splits.values():
        assert len(source.ids) >= 3
        for position, name in enumerate(source.ids):
            mask = Image.open(voc / "SegmentationClassAug" / f"{name}.png")
            assert mask.mode == "P"
            labels = np.array(mask.get_flattened_data(), np.uint8).reshape(mask.size[::-1])
            np.testing.assert_array_equal(source.mask(position, ALL, "query"), labels)
            photo = np.asarray(Image.open(voc / "JPEGImages" / f"{name}.jpg").convert("RGB"))
            np.testing.assert_array_equal(source.image(position), photo)
            assert source.areas(position).tolist() == [np.sum(labels == c) for c in range(1, 21)]
            assert source.size(position) == labels.shape
