"""Photos in VOC's layout with lists of one's own, in miniature and genuine."""

import shutil

import numpy as np
import pytest
from PIL import Image

from datasets.pascal5i import list_files
from tests.datasets.own_folders import packed
from tests.datasets.voc_archives import (
    ALL,
    IN_VOC,
    TRAIN,
    TRAINAUG,
    VAL,
    labels_in,
    opened,
    run,
    truth,
    voc_files,
    write_archives,
    write_folder,
    write_zip,
)
from tests.voc import save_photo

NAMES = ("cat_1", "dog_2", "cow_3")


@pytest.fixture
def folder(tmp_path):
    """A VOC folder of three photos, the lists beside them."""
    root = tmp_path / "voc"
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        save_photo(root, name, rng.integers(0, 256, (24 + number, 30, 3), np.uint8), labels_of(number))
    (root / "train.txt").write_text("\n".join(NAMES[:2]))
    (root / "val.txt").write_text(NAMES[2])
    return root


def labels_of(number):
    labels = np.zeros((24 + number, 30), np.uint8)
    labels[4:12, 5:15], labels[5:11, 6:14] = 255, (8, 12, 10)[number]
    return labels


def test_any_photos_in_vocs_layout_will_do(folder):
    assert run(folder, lists=folder, name="mini") == 0
    splits = opened(folder, name="mini")
    assert (splits["train"].ids, splits["test"].ids) == (NAMES[:2], NAMES[2:])
    for source in splits.values():
        assert (source.name, source.title) == ("mini", "VOC folder: 3 photos")
        for id, labels in labels_in(source).items():
            np.testing.assert_array_equal(labels, labels_of(NAMES.index(id)))


def test_one_list_serves_both_ways(folder):
    (folder / "all").mkdir()
    (folder / "all/all.txt").write_text("\n".join(NAMES))
    assert run(folder, lists=folder / "all") == 0
    assert [source.ids for source in opened(folder).values()] == [NAMES, NAMES]


def test_a_pair_lists_a_photo_for_its_class_alone(folder):
    (folder / "val.txt").write_text("cow_3__10\ncat_1__12\ncat_1__08\n")
    assert run(folder, lists=folder) == 0
    source = opened(folder)["test"]
    assert source.ids == ("cow_3", "cat_1")
    assert [np.flatnonzero(source.eligible(i) & 1).tolist() for i in range(2)] == [[9], [7, 11]]


def test_other_lists_are_another_data_set(folder, capsys):
    assert run(folder, lists=folder) == 0
    (folder / "val.txt").write_text(NAMES[0])
    assert run(folder, lists=folder) == 2
    assert "holds another data set, made of other files, lists or options" in capsys.readouterr().err


def a_list_names_another(root):
    (root / "val.txt").write_text("cow_4")


def no_mask(root):
    (root / "SegmentationClassAug/cow_3.png").unlink()


def no_photos(root):
    shutil.rmtree(root / "JPEGImages")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (a_list_names_another, "The list val names cow_4, of which there is no photo"),
        (no_mask, "The list val names cow_3, of which there is no mask"),
        (no_photos, "holds no VOC 2012"),
    ],
)
def test_what_is_missing_is_named(folder, harm, sentence, capsys):
    harm(folder)
    assert run(folder, lists=folder) == 2
    assert sentence in capsys.readouterr().err
    assert not list((folder.parent / "built").rglob("*.array_record"))


def test_without_lists_they_are_asked_for(folder, capsys):
    assert run(folder) == 2
    assert "has no ImageSets/Segmentation with train.txt and val.txt" in capsys.readouterr().err


def test_published_lists_stand_beside_vocs_own_and_win(tmp_path, capsys):
    folder, lists = write_archives(tmp_path / "downloads"), tmp_path / "lists"
    lists.mkdir()
    (lists / "oslsm.txt").write_text(f"{TRAIN[1]}__05\n{TRAINAUG[2]}__05\n{TRAIN[1]}__20\n")
    (lists / "pfenet.txt").write_text(f"JPEGImages/{TRAIN[0]}.jpg SegmentationClassAug/{TRAIN[0]}.png\n")
    (lists / "val.txt").write_text(f"{VAL[1]}\n")
    assert run(folder, lists=lists) == 0
    printed = capsys.readouterr().out
    assert "  list oslsm: pairs of photo and class: 3, known are 13,680: DIFFERENT\n" in printed
    splits = opened(folder, train_list="oslsm")
    assert splits["train"].ids == (TRAIN[1], TRAINAUG[2])
    assert np.flatnonzero(splits["train"].eligible(0) & 1).tolist() == [4, 19]
    assert splits["test"].ids == (VAL[1],)
    for name, expected in (("pfenet", TRAIN[:1]), ("trainaug", TRAINAUG), ("oslsm_derived", TRAINAUG)):
        assert opened(folder, train_list=name)["train"].ids == tuple(expected)


def test_vocs_own_lists_serve_where_there_are_no_masks_of_others(tmp_path):
    folder = tmp_path / "voc"
    write_folder(folder, voc_files())
    assert run(folder, lists=folder / IN_VOC / "ImageSets/Segmentation") == 0
    splits = opened(folder)
    assert (splits["train"].ids, splits["test"].ids) == (tuple(TRAIN), tuple(VAL))
    np.testing.assert_array_equal(labels_in(splits["test"])[VAL[0]], truth(VAL[0]))


def test_genuine_photos_agree_with_their_files(shared, tmp_path):
    voc, lists = shared / "data" / "voc_animals", tmp_path / "lists"
    lists.mkdir()
    for name in ("train", "val"):
        ids = list_files.ids((voc / f"{name}.txt").read_text(), name)
        (lists / f"{name}.txt").write_text("\n".join(ids[::200]))
    assert run(voc, lists=lists, tfds_dir=tmp_path / "built", name="animals") == 0
    for source in opened(lists, name="animals").values():
        assert len(source.ids) >= 3
        for position, id in enumerate(source.ids):
            mask = Image.open(voc / "SegmentationClassAug" / f"{id}.png")
            assert mask.mode == "P"
            labels = np.frombuffer(mask.tobytes(), np.uint8).reshape(mask.size[::-1])
            np.testing.assert_array_equal(source.mask(position, ALL, None), labels)
            photo = np.asarray(Image.open(voc / "JPEGImages" / f"{id}.jpg").convert("RGB"))
            np.testing.assert_array_equal(source.image(position), photo)
            assert source.areas(position).tolist() == [np.sum(labels == c) for c in ALL]
            assert source.size(position) == labels.shape


def test_masks_of_four_bits_hold_the_class_ids_that_they_were_saved_with(folder):
    for number, name in enumerate(NAMES):
        labels = np.where(labels_of(number) == 255, 0, labels_of(number)).astype(np.uint8)
        (folder / f"SegmentationClassAug/{name}.png").write_bytes(packed(labels, 4))
    assert run(folder, lists=folder) == 0
    for source in opened(folder).values():
        for id, labels in labels_in(source).items():
            assert set(np.unique(labels)) == {0, (8, 12, 10)[NAMES.index(id)]}


@pytest.mark.parametrize("zipped", [False, True])
def test_masks_of_others_at_another_level_are_told(tmp_path, capsys, zipped):
    folder = write_archives(tmp_path / "downloads")
    name = "SegmentationClassAug/inner/2008_000003.png"
    if zipped:
        write_zip(folder / "SegmentationClassAug.zip", {name: b""})
    else:
        write_folder(folder, {name: b""})
    assert run(folder) == 2
    assert "SegmentationClassAug holds no masks NAME.png: put them there" in capsys.readouterr().err
