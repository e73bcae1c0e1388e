"""Every layout of people's own photos, prepared and opened."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from datasets import folders, prepare
from datasets.pascal5i import CLASS_NAMES as VOC_NAMES
from datasets.plans import Count
from fsjax.data.source import Source
from fsjax.errors import InputError
from tests import coco
from tests.datasets.own_folders import (
    box,
    class_folders,
    encoded,
    labelled_folder,
    load,
    pixels,
    prepared,
    save,
    white,
)

NAMES = ["Zebra finch", "Öl", "猫", "naïve café, 2"]


def labels_of(source, id):
    """All labels of a photo, their values the class ids."""
    return source.mask(source.ids.index(id), range(1, len(source.class_names) + 1), None)


def test_class_folders(tmp_path):
    masks = class_folders(tmp_path / "mine", NAMES)
    sources = prepared(tmp_path / "mine", tmp_path)
    for source in sources.values():
        assert isinstance(source, Source)
        assert sorted(source.class_names) == sorted(NAMES)
        assert sorted(source.ids) == sorted(masks)
    source = sources["test"]
    for position, id in enumerate(source.ids):
        class_id = source.class_names.index(id.partition("/")[0]) + 1
        np.testing.assert_array_equal(source.mask(position, [class_id], None), masks[id])
        photo = Image.open(tmp_path / "mine" / f"{id}.jpg")
        np.testing.assert_array_equal(source.image(position), np.asarray(photo))


def test_class_folders_in_other_ways(tmp_path):
    root = tmp_path / "mine"
    mask, photo = box(20, 24), pixels(20, 24, 3)
    save(root / "apart" / "images" / "1.webp", photo, lossless=True)
    save(root / "apart" / "masks" / "1.tif", white(mask))
    save(root / "apart" / "images" / "more" / "2.PNG", photo)
    save(root / "apart" / "masks" / "more" / "2_mask.png", mask)
    save(root / "beside" / "a.png", photo)
    save(root / "beside" / "a_mask.jpg", white(mask), quality=100)
    save(root / "beside" / "b.tiff", photo)
    save(root / "beside" / "b.png", mask)
    for clutter in ("apart/.DS_Store", "__MACOSX/apart/._1.jpg", ".git/x.png", "beside/notes.txt", "README"):
        (root / clutter).parent.mkdir(parents=True, exist_ok=True)
        (root / clutter).write_bytes(b"clutter")
    source = prepared(root, tmp_path)["train"]
    assert source.class_names == ("apart", "beside")
    assert source.ids == ("apart/1", "apart/more/2", "beside/a", "beside/b")
    for position, class_id in enumerate((1, 1, 2, 2)):
        np.testing.assert_array_equal(source.image(position), photo)
        np.testing.assert_array_equal(source.mask(position, [class_id], None), mask)


def test_names_are_composed_as_people_type_them(tmp_path):
    class_folders(tmp_path / "mine", [unicodedata.normalize("NFD", "Öl"), "Cat"])
    source = prepared(tmp_path / "mine", tmp_path, folds=(("Öl",), ("Cat",)))["train"]
    assert source.class_names == ("Cat", "Öl")
    assert source.folds == ((2,), (1,))


def test_images_and_masks_with_names(tmp_path):
    a = np.array([[0, 1, 3], [255, 3, 1]], np.uint8)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a[::-1], "sub/c": a * 0})
    (tmp_path / "mine" / "classes.txt").write_text("\ufeffred cat\nunseen\nchat noir\n\n", encoding="utf-8")
    plan = folders.plan(tmp_path / "mine")
    assert {count.what: count.found for count in plan.counts} == {
        "classes": 2, "photos": 2, "photos that show no class, left out": 1,
        "classes that no photo shows, left out": 1, "photos that show several classes": 2,
        "photos of red cat": 2, "photos of chat noir": 2, "list all: photos": 2,
    }  # fmt: skip
    source = prepared(tmp_path / "mine", tmp_path)["train"]
    assert source.title == "Images and masks: 2 photos of 2 classes"
    assert source.class_names == ("red cat", "chat noir")
    np.testing.assert_array_equal(labels_of(source, "a"), [[0, 1, 2], [255, 2, 1]])
    np.testing.assert_array_equal(source.areas(source.ids.index("b")), [2, 2])


def test_labels_without_names_are_called_by_their_values(tmp_path):
    a = np.array([[0, 12, 300], [65535, 3999, 255]], np.uint16)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a})
    source = prepared(tmp_path / "mine", tmp_path)["train"]
    assert source.class_names == ("class_12", "class_300", "class_3999")
    np.testing.assert_array_equal(labels_of(source, "a"), [[0, 1, 2], [255, 3, 255]])


def test_more_classes_than_a_byte_holds(tmp_path):
    a = np.arange(1, 601, dtype=np.uint16).reshape(20, 30)
    labelled_folder(tmp_path / "mine", {"a": a, "b": a})
    source = prepared(tmp_path / "mine", tmp_path)["train"]
    assert len(source.class_names) == 599  # 255 is void
    class_id = source.class_names.index("class_600") + 1
    expected = np.where(a == 600, 1, np.where(a == 255, 255, 0))
    np.testing.assert_array_equal(source.mask(0, [class_id], None), expected)


@pytest.mark.parametrize(("highest", "named"), [(20, True), (21, False)])
@pytest.mark.parametrize("masks", ["SegmentationClass", "SegmentationClassAug"])
def test_vocs_layout(tmp_path, masks, highest, named):
    root = tmp_path / "mine"
    a = np.array([[0, 8, highest], [255, 8, 0]], np.uint8)
    labelled_folder(root, {"2007_1": a, "2007_2": a}, "JPEGImages", masks)
    save(root / "JPEGImages" / "2007_3.jpg", pixels(4, 4, 3))
    for name, ids in {"train": "2007_1\n", "minival": "/JPEGImages/2007_2.jpg /Seg/2007_2.png\n"}.items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ids)
    assert Count("photos without a mask, left out", 1) in folders.plan(root).counts
    sources = prepared(root, tmp_path, test_list="minival")
    assert sources["train"].ids == ("2007_1",)
    assert sources["test"].ids == ("2007_2",)
    expected = (VOC_NAMES[7], VOC_NAMES[19]) if named else ("class_8", "class_21")
    assert sources["test"].class_names == expected
    np.testing.assert_array_equal(labels_of(sources["test"], "2007_2"), [[0, 1, 2], [255, 1, 0]])


def annotations(root, *, images="images", size=(20, 24)):
    """A file of COCO's kind: two photos, three categories of which one is not shown."""
    polygon = [[2, 3, 12, 3, 12, 13, 2, 13]]
    objects = [(1, 7, polygon), (1, 40, [[8, 3, 20, 3, 20, 10, 8, 10]]), (2, 7, polygon), (2, 40, polygon)]
    for name in ("one", "two"):
        save(root / images / f"{name}.jpg", pixels(20, 24, 3))
    file = {
        "images": [
            {"id": n, "file_name": f"{name}.jpg", "height": size[0], "width": size[1]}
            for n, name in ((1, "one"), (2, "two"))
        ],
        "categories": [{"id": n, "name": name} for n, name in ((7, "Öl"), (9, "unseen"), (40, "cat"))],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "segmentation": outline, "iscrowd": 0}
            for n, (image, category, outline) in enumerate(objects)
        ],
    }
    (root / "labels.json").write_text(json.dumps(file))


@pytest.mark.parametrize("images", ["images", "."])
def test_an_annotation_file(tmp_path, images):
    annotations(tmp_path / "mine", images=images)
    source = prepared(tmp_path / "mine", tmp_path)["train"]
    assert source.class_names == ("Öl", "cat")
    assert source.ids == ("one", "two")
    expected = np.zeros((20, 24), np.uint8)
    expected[3:13, 2:12] = 1
    np.testing.assert_array_equal(source.mask(0, [1], None), expected)
    assert source.areas(0).tolist() == [100, 84]
    assert (source.mask(0, [1, 2], None)[3:10, 8:12] == 2).all()  # the smaller object is in front


def test_coco_small_is_as_pycocotools_draws_it(shared, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    root = shared / "data" / "coco_small"
    plan = folders.plan(root)
    known = coco.COCO(str(root / "instances_small.json"))
    categories = {category["name"]: category["id"] for category in known.loadCats(known.getCatIds())}
    for task in plan.tasks[:12]:
        photo = plan.read(task)
        image = next(image for image in known.dataset["images"] if image["file_name"] == task.file)
        for class_id, mask in photo.masks.items():
            ids = known.getAnnIds(image["id"], categories[plan.class_names[class_id - 1]], iscrowd=False)
            drawn = np.any([known.annToMask(annotation) for annotation in known.loadAnns(ids)], axis=0)
            np.testing.assert_array_equal(mask, drawn)
        assert photo.photo == (root / "images" / task.file).read_bytes()


def test_a_photo_on_its_side_with_an_upright_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    class_folders(tmp_path / "mine", ["cat"], size=(24, 20))
    (tmp_path / "mine" / "cat" / "1.jpg").unlink()
    sideways = pixels(20, 24, 3)
    save(tmp_path / "mine" / "cat" / "1.webp", sideways, lossless=True, exif=exif)
    source = prepared(tmp_path / "mine", tmp_path, folds=(("cat",),))["train"]
    assert source.size(0) == (24, 20)
    np.testing.assert_array_equal(source.image(0), np.rot90(sideways, -1))


def test_the_command_says_what_it_found(tmp_path, capsys):
    class_folders(tmp_path / "mine", NAMES, photos=3)
    argv = ["prepare", "--dataset=folders", f"--manual_dir={tmp_path / 'mine'}", "--name=mydata"]
    argv += [f"--tfds_dir={tmp_path / 'built'}", "--workers=0"]
    assert prepare.main(argv) == 0
    first = capsys.readouterr().out
    assert first.startswith("Class folders: 12 photos of 4 classes\n")
    assert "\n  photos of Zebra finch: 3\n" in first
    assert "train on it with --config.data.name=mydata." in first
    assert load(tmp_path, "mydata")["train"].ids
    assert prepare.main(argv) == 0
    assert capsys.readouterr().out == first
    (tmp_path / "mine" / "猫" / "1.png").write_bytes(encoded(box(20, 24, seed=77)))
    assert prepare.main(argv) == 2
    assert "holds another data set, made of other files, lists or options" in capsys.readouterr().err


@pytest.mark.slow
def test_workers_prepare_the_same(tmp_path):
    class_folders(tmp_path / "mine", [f"class {n:03}" for n in range(20)])
    alone = prepared(tmp_path / "mine", tmp_path, name="alone")["train"]
    together = prepared(tmp_path / "mine", tmp_path, name="together", workers=2)["train"]
    assert alone.ids == together.ids
    for position in range(0, 40, 7):
        np.testing.assert_array_equal(alone.image(position), together.image(position))
        np.testing.assert_array_equal(
            labels_of(alone, alone.ids[position]), labels_of(together, alone.ids[position])
        )


def test_a_killed_build_is_unknown_to_load(tmp_path):
    class_folders(tmp_path / "mine", ["a", "b"])
    (tmp_path / "built" / "mine" / ".2.0.0.half").mkdir(parents=True)
    with pytest.raises(InputError, match="There is no data set mine in"):
        load(tmp_path)
    assert prepared(tmp_path / "mine", tmp_path)["train"].ids


def test_an_annotation_file_may_be_called_like_one_of_cocos(tmp_path):
    coco.write_piece(tmp_path)
    as_any = folders.plan(tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.rename(tmp_path / "instances_train2017.json")
    as_cocos = folders.plan(tmp_path)
    assert (as_cocos.ids, as_cocos.lists, as_cocos.version) == (as_any.ids, as_any.lists, as_any.version)
