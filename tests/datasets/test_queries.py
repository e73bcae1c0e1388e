"""Queries and their true masks, by names."""

import json

import numpy as np
import pytest

from datasets.supports import list_queries, read_supports, read_truth
from tests.datasets.own_folders import class_folders, labelled_folder, paletted, save, white
from tests.datasets.test_labelme import annotate, shape
from tests.datasets.test_supports import BYTES, HALVES, OBJECT, H, W, coco, flat

SIZE = (H, W)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3))


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"nobody looks")
    return str(root)


def names(place, **options):
    return [query.name for query in list_queries(place, **options)]


def test_a_folder_and_those_in_it(tmp_path):
    place = files(
        tmp_path, "b10.jpg", "b2.JPEG", "B1.webp", "more/x.tif", "more/y.gif", "z.heic", "notes.txt", "a.mp4",
        "data.json", ".hidden.jpg", "__MACOSX/._b2.jpg", ".thumbnails/a.png", "²3.bmp",
    )  # fmt: skip
    assert names(place) == ["B1", "b2", "b10", "more/x", "more/y", "z", "²3"]
    assert [query.path for query in list_queries(place)][1] == tmp_path / "b2.JPEG"


def test_two_files_of_one_stem_have_two_names(tmp_path):
    place = files(tmp_path, "a.jpg", "a.png", "b.jpg", "B.jpg", "c/a.jpg", "a.jpg.png", "d.JPG", "d.jpg")
    found = names(place)
    assert len({name.casefold() for name in found}) == 8
    assert {"a.jpg", "a.png", "c/a"} <= {*found}


def test_patterns_and_lists(tmp_path, monkeypatch):
    files(tmp_path, "p/a.jpg", "q/a.jpg", "q/b.png", "q/c.txt", "q, r/d.jpg")
    assert names(f"{tmp_path}/*/*") == ["p/a", "q, r/d", "q/a", "q/b"]
    assert names(f"{tmp_path}/q/b.png") == ["b"]
    assert names(f"{tmp_path}/q/c.txt,{tmp_path}/q/b.png") == ["b", "c"]  # named, so that it is tried
    assert names(f"{tmp_path}/q, r") == ["d"]
    monkeypatch.chdir(tmp_path / "p")
    assert names("../q/b.png,a.jpg") == ["q/b", "p/a"]  # no name leads out of the answers' folder
    assert names(f"a.jpg,{tmp_path}/q/b.png") == ["q/b", "p/a"]


def test_answers_are_no_queries(tmp_path):
    place = files(tmp_path, "a.jpg", "out/masks/a.png")
    assert names(place) == ["a", "out/masks/a"]
    assert names(place, leave_out=tmp_path / "out") == ["a"]


def read(found, name):
    return found[name].read(SIZE)


def test_masks_of_supports_among_photos_are_no_queries(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg", "c.png"):
        save(tmp_path / name, BYTES)
    supports = read_supports(str(tmp_path))
    masks = [support.mask_path for support in supports.photos]
    assert masks == [tmp_path / "a.png"]
    assert [query.name for query in list_queries(str(tmp_path), masks=masks)] == ["a", "b", "c"]
    named = list_queries(f"{tmp_path}/a.png,{tmp_path}/b.jpg", masks=masks)
    assert [query.path.name for query in named] == ["a.png", "b.jpg"]


def test_masks_that_are_called_like_queries(tmp_path):
    for name, mask in {
        "a": HALVES,
        "sub/b_mask": 2 * HALVES // 2,
        "c": 0 * HALVES,
        "other": 9 * HALVES,
    }.items():
        save(tmp_path / f"{name}.png", paletted(mask, PALETTE))
    found = read_truth(str(tmp_path), ["cat", "dog"], ["sub/b", "a", "d", "c"])
    assert (list(found), found.without, len(found)) == (["sub/b", "a", "c"], ("d",), 3)
    np.testing.assert_array_equal(read(found, "a"), HALVES)
    np.testing.assert_array_equal(read(found, "c"), 0 * HALVES)
    assert found["a"].path == tmp_path / "a.png"


@pytest.mark.parametrize("mask", [BYTES, OBJECT.astype(np.uint8), white(OBJECT)], ids=["255", "1", "RGB"])
def test_white_is_the_class_if_there_is_one(tmp_path, mask):
    save(tmp_path / "a.png", mask)
    save(tmp_path / "b.png", 0 * mask)
    found = read_truth(str(tmp_path), ["cat"], ["a", "b"])
    np.testing.assert_array_equal(read(found, "a"), OBJECT)
    np.testing.assert_array_equal(read(found, "b"), 0 * BYTES)


def test_one_value_of_several_classes_is_that_class(tmp_path):
    save(tmp_path / "a.png", OBJECT.astype(np.uint8))
    np.testing.assert_array_equal(read(read_truth(str(tmp_path), ["cat", "dog"], ["a"]), "a"), OBJECT)


def test_values_that_classes_are_called_by(tmp_path):
    save(tmp_path / "a.png", np.where(OBJECT, np.uint8(7), np.uint8(255)))
    found = read_truth(str(tmp_path), ["class_3", "class_7"], ["a"])
    np.testing.assert_array_equal(read(found, "a"), np.where(OBJECT, 2, 255))


def test_values_that_a_file_names(tmp_path):
    save(tmp_path / "a.png", HALVES)
    (tmp_path / "classes.txt").write_text("dog\ncat")
    found = read_truth(str(tmp_path), ["cat", "dog"], ["a"])
    np.testing.assert_array_equal(read(found, "a"), np.where(HALVES, 3 - HALVES, 0))


def test_masks_in_other_folders_and_beside_other_suffixes(tmp_path):
    save(tmp_path / "a.png", BYTES)
    save(tmp_path / "x" / "b.png", BYTES)
    found = read_truth(str(tmp_path), ["cat"], ["photos/a", "b.jpg", "c/d.jpg", "c/d.png"])
    assert (list(found), found.without) == (["photos/a", "b.jpg"], ("c/d.jpg", "c/d.png"))


def test_layouts_with_photos(tmp_path):
    labelled_folder(tmp_path / "apart", {"a": HALVES, "b": HALVES})
    flat(tmp_path / "flat", a=BYTES)
    masks = class_folders(tmp_path / "classes", ["cat", "dog"], photos=1, size=SIZE)
    labelled_folder(tmp_path / "voc", {"a": 8 * OBJECT.astype(np.uint8)}, "JPEGImages", "SegmentationClass")
    found = read_truth(str(tmp_path / "apart"), ["cat", "dog"], ["b"])
    np.testing.assert_array_equal(read(found, "b"), HALVES)
    found = read_truth(str(tmp_path / "flat"), ["cat"], ["a"])
    np.testing.assert_array_equal(read(found, "a"), OBJECT)
    found = read_truth(str(tmp_path / "classes"), ["bird", "dog"], ["dog/1"])
    np.testing.assert_array_equal(read(found, "dog/1"), 2 * masks["dog/1"])
    found = read_truth(str(tmp_path / "voc"), ["bird", "cat"], ["a"])
    np.testing.assert_array_equal(read(found, "a"), 2 * OBJECT)


def test_annotation_files(tmp_path):
    coco(tmp_path / "coco", [{"category_id": 2, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}])
    (tmp_path / "coco" / "images" / "x.png").unlink()  # the queries lie elsewhere
    found = read_truth(str(tmp_path / "coco"), ["cat", "dog"], ["q/x"])
    assert (read(found, "q/x") == 2).sum() == 100
    annotate(tmp_path / "labelme" / "a.json", shape("dog", "rectangle", [[1, 1], [5, 6]]))
    found = read_truth(str(tmp_path / "labelme"), ["cat", "dog"], ["a"])
    assert (found["a"].read((60, 80)) == 2).sum() == 20


def test_masks_are_read_when_they_are_asked_for(tmp_path):
    for n in range(30):
        save(tmp_path / f"{n}.png", HALVES)
    found = read_truth(str(tmp_path), ["cat", "dog"], [str(n) for n in range(30)])
    save(tmp_path / "3.png", 0 * HALVES)
    assert not read(found, "3").any()
    assert read(found, "4").any()


def test_an_annotation_without_objects_says_that_there_are_none(tmp_path):
    coco(tmp_path, [{"category_id": 2, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}])
    file = json.loads((tmp_path / "instances.json").read_text())
    file["images"].append({"id": 6, "file_name": "y.png", "height": H, "width": W})
    (tmp_path / "instances.json").write_text(json.dumps(file))
    found = read_truth(str(tmp_path), ["dog"], ["x", "y"])
    np.testing.assert_array_equal(read(found, "y"), np.zeros(SIZE))
