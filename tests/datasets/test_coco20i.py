"""COCO-20i: the same masks as pycocotools, the field's folds and ids, every layout of the files."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import coco20i
from tests import coco

CROWDS = ("skip", "include", "void")


def made(plan):
    """Returns everything that a plan reads, by the photos' files."""
    return {task.file: plan.read(task) for task in plan.tasks}


def check_masks(labelled, masks, void):
    """Compares with the unions that pycocotools makes; a class without a pixel may be there or not."""
    shown = {class_id for class_id, mask in masks.items() if mask.any()}
    assert {class_id for class_id, mask in labelled.masks.items() if mask.any()} == shown
    for class_id in shown:
        np.testing.assert_array_equal(labelled.masks[class_id], masks[class_id])
    found = np.zeros(labelled.size, bool) if labelled.void is None else labelled.void
    np.testing.assert_array_equal(found, void)


@pytest.mark.parametrize("crowd", CROWDS)
def test_masks_are_those_of_pycocotools(tmp_path, crowd):
    coco.write_piece(tmp_path)
    expected = coco.expected(tmp_path / "instances_mine.json", crowd)
    found = made(coco20i.plan(tmp_path, crowd=crowd))
    assert set(found) == {file for file, (masks, _) in expected.items() if masks}
    assert len(found) == (4 if crowd == "include" else 3)
    for file, labelled in found.items():
        check_masks(labelled, *expected[file])


@pytest.mark.parametrize("crowd", CROWDS)
def test_masks_of_genuine_photos_are_those_of_pycocotools(shared, crowd):
    folder = shared / "data" / "coco_small"
    plan = coco20i.plan(folder, crowd=crowd)
    expected = coco.expected(folder / "instances_small.json", crowd, with_crowds=crowd != "skip")
    tasks = [task for task in plan.tasks if task.file in expected]
    assert len(tasks) == sum(bool(masks) for masks, _ in expected.values())
    for task in tasks:
        check_masks(plan.read(task), *expected[task.file])


def test_a_genuine_piece_has_the_known_counts(shared):
    plan = coco20i.plan(shared / "data" / "coco_small")
    counts = {count.what: count.found for count in plan.counts}
    assert (counts["all: photos"], counts["all: annotations"], counts["all: crowds"]) == (300, 2588, 28)
    assert plan.folds["interleaved"] == coco20i.INTERLEAVED
    photos = {name: set(ids) for name, ids in plan.lists.items()}
    assert photos["train"] | photos["test"] == set(plan.ids)
    assert not photos["train"] & photos["test"]
    assert 0.25 < len(photos["test"]) / len(plan.ids) < 0.35


def test_overlapping_objects_lose_nothing(tmp_path):
    coco.write_piece(tmp_path)
    labelled = made(coco20i.plan(tmp_path))["000000000002.jpg"]
    both = labelled.masks[1] & labelled.masks[17]  # a person and a dog
    assert both[8:28, 12:25].mean() > 0.5
    assert labelled.masks[17][45, 65]  # the dog's second part


def test_class_ids_are_the_ranks_of_category_ids():
    class_ids = {id: n for n, id in enumerate(coco.CATEGORY_IDS, 1)}
    assert len(class_ids) == len(coco20i.CLASS_NAMES) == 80
    assert (class_ids[1], class_ids[13], class_ids[90]) == (1, 12, 80)
    assert list(coco20i.CLASS_NAMES) == coco.names()


@pytest.mark.parametrize(("category", "class_id"), [(1, 1), (13, 12), (18, 17), (90, 80)])
def test_a_category_becomes_its_class(tmp_path, category, class_id):
    annotated = coco.instances()
    annotated["annotations"] = [annotated["annotations"][0] | {"category_id": category}]
    annotated["categories"].reverse()  # their order in the file is of no account
    coco.write_piece(tmp_path, annotated)
    plan = coco20i.plan(tmp_path)
    (labelled,) = made(plan).values()
    assert list(labelled.masks) == [class_id]
    assert plan.class_names[class_id - 1] == coco.names()[class_id - 1]


def test_fold_tables():
    interleaved = """1 5 9 13 17 21 25 29 33 37 41 45 49 53 57 61 65 69 73 77
        2 6 10 14 18 22 26 30 34 38 42 46 50 54 58 62 66 70 74 78
        3 7 11 15 19 23 27 31 35 39 43 47 51 55 59 63 67 71 75 79
        4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 64 68 72 76 80"""
    table = tuple(tuple(map(int, line.split())) for line in interleaved.splitlines())
    assert table == coco20i.INTERLEAVED
    bounds = [(1, 20), (21, 40), (41, 60), (61, 80)]
    assert [(fold[0], fold[-1]) for fold in coco20i.CONTIGUOUS] == bounds
    for folds in (coco20i.INTERLEAVED, coco20i.CONTIGUOUS):
        assert [len(set(fold)) for fold in folds] == [20] * 4
        assert sorted(c for fold in folds for c in fold) == list(range(1, 81))


def test_known_counts_agree_with_each_other():
    known = coco20i.KNOWN
    assert known[2014, "train"]["photos with annotations"] == 82_081
    assert known[2014, "val"]["photos with annotations"] == 40_137
    train = {"photos": 118_287, "annotations": 860_001, "photos with annotations": 117_266}
    assert known[2017, "train"] == train
    assert (known[2017, "val"]["photos"], known[2017, "val"]["annotations"]) == (5_000, 36_781)
    for what in train:  # the years share all photos, dealt anew
        assert len({sum(known[year, part][what] for part in ("train", "val")) for year in (2014, 2017)}) == 1


@pytest.mark.parametrize("year", [2014, 2017])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_benchmark_as_downloaded_or_unpacked(tmp_path, year, zipped):
    files = coco.write_benchmark(tmp_path, year, zipped=zipped)
    plan = coco20i.plan(tmp_path)
    assert plan.title == f"COCO-20i ({year})"
    assert list(plan.folds) == ["interleaved", "contiguous"]
    assert plan.usual == ("train", "val")
    assert {name: len(ids) for name, ids in plan.lists.items()} == {"train": 3, "val": 3}
    assert [*plan.lists["train"], *plan.lists["val"]] == list(plan.ids)
    counts = {count.what: (count.found, count.known) for count in plan.counts}
    assert counts["val: photos"] == (5, {2014: 40_504, 2017: 5_000}[year])
    assert counts["train: annotations without an outline"] == (1, None)
    photos = {name: content for file in files.values() for name, content in coco.photos(file).items()}
    for file, labelled in made(plan).items():
        assert labelled.photo == photos[file.rpartition("/")[2]]
        assert labelled.id == file.rpartition("/")[2].removesuffix(".jpg")


def test_every_layout_of_a_piece_is_the_same_data_set(tmp_path):
    layouts = {
        "folder": {}, "zip": {"zipped": True}, "flat zip": {"zipped": True, "inside": ""}, "beside": {},
    }  # fmt: skip
    for name, layout in layouts.items():
        coco.write_piece(tmp_path / name, **layout)
    for photo in (tmp_path / "beside" / "images").iterdir():
        photo.rename(tmp_path / "beside" / photo.name)
    (tmp_path / "beside" / "images").rmdir()
    plans = [coco20i.plan(tmp_path / name) for name in layouts]
    first, *others = [[plan.read(task) for task in plan.tasks] for plan in plans]
    for plan, other in zip(plans[1:], others, strict=True):
        assert (plan.ids, plan.lists, plan.class_names) == (
            plans[0].ids, plans[0].lists, plans[0].class_names
        )  # fmt: skip
        assert [labelled.photo for labelled in other] == [labelled.photo for labelled in first]
        assert plan.version == plans[0].version


def test_grey_and_cmyk_photos_are_taken(tmp_path):
    coco.write_piece(tmp_path)
    for name, mode in (("000000000002.jpg", "CMYK"), ("000000000003.jpg", "L")):
        with Image.open(tmp_path / "images" / name) as photo:
            assert photo.mode == mode
        assert name in made(coco20i.plan(tmp_path))


def test_a_photo_is_held_out_by_its_id_alone(tmp_path):
    annotated = coco.instances()
    image, annotation = annotated["images"][0], annotated["annotations"][0]
    many = range(200)
    annotated["images"] = [image | {"id": n, "file_name": f"{n:04}.jpg"} for n in many]
    annotated["annotations"] = [annotation | {"id": n, "image_id": n} for n in many]
    coco.write_piece(tmp_path / "whole", annotated)
    half = annotated | {"images": annotated["images"][::2], "annotations": annotated["annotations"][::2]}
    coco.write_piece(tmp_path / "half", half)
    whole, half = coco20i.plan(tmp_path / "whole"), coco20i.plan(tmp_path / "half")
    assert set(half.lists["test"]) == set(whole.lists["test"]) & set(half.ids)
    assert 40 < len(whole.lists["test"]) < 80
    none = coco20i.plan(tmp_path / "whole", holdout=0.0).lists
    assert (len(none["train"]), none["test"]) == (200, [])
    assert coco20i.plan(tmp_path / "whole", holdout=1.0).lists["train"] == []


def test_the_version_follows_what_is_drawn(tmp_path):
    annotated = coco.write_piece(tmp_path / "a")
    plan = coco20i.plan(tmp_path / "a")
    assert coco20i.plan(tmp_path / "a").version == plan.version
    versions = {plan.version, coco20i.plan(tmp_path / "a", crowd="void").version}
    versions.add(coco20i.plan(tmp_path / "a", holdout=1.0).version)
    for n, (photo, value) in enumerate([(0, 11.0), (2, 5.5)]):
        changed = json.loads(json.dumps(annotated))
        changed["annotations"][photo]["segmentation"][0][0] = value
        coco.write_piece(tmp_path / f"changed{n}", changed)
        versions.add(coco20i.plan(tmp_path / f"changed{n}").version)
    assert len(versions) == 5


def test_photos_of_one_name_in_two_folders_have_two_ids(tmp_path):
    annotated = coco.instances()
    annotated["images"][0]["file_name"] = "a/1.jpg"
    annotated["images"][1]["file_name"] = "b/1.jpg"
    coco.write_piece(tmp_path, annotated)
    assert coco20i.plan(tmp_path).ids == ["a/1.jpg", "b/1.jpg", "000000000006.jpg"]


def with_other_photos(annotated):
    """Photos twice, of the same sizes in pixels and bytes: a byte behind the first one's end differs."""
    contents = coco.photos(annotated)
    first = annotated["images"][0]["file_name"]
    return contents | {first: contents[first] + b"\0"}, contents | {first: contents[first] + b"\1"}


@pytest.mark.parametrize("zipped", [False, True])
def test_the_version_of_a_piece_follows_every_byte_of_its_photos(tmp_path, zipped):
    annotated, versions = coco.instances(), set()
    for n, contents in enumerate(with_other_photos(annotated)):
        coco.write_piece(tmp_path / str(n), annotated)
        shutil.rmtree(tmp_path / str(n) / "images")
        coco.write_photos(tmp_path / str(n), "images", contents, zipped=zipped)
        versions.add(coco20i.plan(tmp_path / str(n)).version)
    assert len(versions) == 2


def test_the_version_of_a_benchmark_follows_the_checksums_in_zips_and_else_sizes(tmp_path):
    versions = {True: set(), False: set()}
    for zipped, of_layout in versions.items():
        folder = tmp_path / str(zipped)
        folder.mkdir()
        train = coco.write_benchmark(folder, zipped=zipped)["train"]
        genuine = coco20i.plan(folder).version
        for contents in with_other_photos(train):
            coco.write_photos(folder, "train2017", contents, zipped=zipped)
            of_layout.add(coco20i.plan(folder).version)
        assert genuine not in of_layout
    assert [len(versions[True]), len(versions[False])] == [2, 1]
