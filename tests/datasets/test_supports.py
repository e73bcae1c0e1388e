"""Supports in every layout, as people have them."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from datasets import supports
from datasets.supports import read_supports
from tests.datasets.own_folders import box, class_folders, encoded, labelled_folder, pixels, save, white
from tests.datasets.test_labelme import annotate, shape

H, W = 20, 24
PHOTO = pixels(H, W, 3)
OBJECT = box(H, W)
BYTES = np.uint8(255) * OBJECT
HALVES = (OBJECT * np.where(np.arange(W) < W // 2, 1, 2)).astype(np.uint8)


def flat(root, **masks):
    """Saves photos beside masks; returns the folder's name."""
    for name, mask in masks.items():
        save(root / f"{name.removesuffix('_mask')}.png", PHOTO)
        save(root / f"{name.removesuffix('_mask')}_mask.png", mask)
    return str(root)


def names(found):
    return [photo.name for photo in found.photos]


def test_photos_beside_masks_in_white(tmp_path):
    save(tmp_path / "a.png", PHOTO)
    save(tmp_path / "a_mask.png", BYTES)
    save(tmp_path / "b.jpg", PHOTO)
    save(tmp_path / "b.png", white(OBJECT))
    save(tmp_path / "unlabelled.jpg", PHOTO)
    (tmp_path / "notes.txt").write_text("mine")
    found = read_supports(str(tmp_path))
    assert found.classes == ("object",)
    assert names(found) == ["a", "b"]
    assert found.left_out == (tmp_path / "unlabelled.jpg",)
    for photo in found.photos:
        np.testing.assert_array_equal(photo.mask, OBJECT)
        assert photo.mask.dtype == photo.image.dtype == np.uint8
    np.testing.assert_array_equal(found.photos[0].image, PHOTO)
    np.testing.assert_array_equal(found.photos[1].image, Image.open(tmp_path / "b.jpg"))
    assert found.photos[1].path == tmp_path / "b.jpg"


@pytest.mark.parametrize("values", [1, 255])
@pytest.mark.parametrize("name", [None, "cat"])
def test_one_object_in_images_and_masks(tmp_path, values, name):
    labelled_folder(tmp_path, {"a": np.uint8(values) * OBJECT, "sub/b": np.uint8(values) * OBJECT})
    save(tmp_path / "images" / "c.jpg", PHOTO)
    if name:
        (tmp_path / "classes.txt").write_text(name)
    found = read_supports(str(tmp_path))
    assert found.classes == (name or "object",)
    assert (names(found), len(found.left_out)) == (["a", "sub/b"], 1)
    np.testing.assert_array_equal(found.photos[1].mask, OBJECT)


def test_labels_by_value(tmp_path):
    other = np.where(HALVES == 1, 7, np.where(HALVES == 2, 255, 0)).astype(np.uint8)
    labelled_folder(tmp_path, {"a": HALVES, "b": other})
    found = read_supports(str(tmp_path))
    assert found.classes == ("class_1", "class_2", "class_7")
    np.testing.assert_array_equal(found.photos[0].mask, HALVES)
    np.testing.assert_array_equal(found.photos[1].mask, np.where(other == 7, 3, other))


def test_labels_have_the_names_of_a_file(tmp_path):
    (tmp_path / "classes.txt").write_text("\ufeffcat\nunseen\nÖl\n", encoding="utf-8")
    found = read_supports(flat(tmp_path, a=np.where(HALVES == 2, np.uint8(3), HALVES)))
    assert found.classes == ("cat", "Öl")
    np.testing.assert_array_equal(found.photos[0].mask, HALVES)


def test_cut_outs_and_blurred_masks(tmp_path):
    save(tmp_path / "a.jpg", PHOTO)
    save(tmp_path / "a.png", np.dstack([PHOTO // 4, BYTES]))
    save(tmp_path / "b.jpg", PHOTO)
    save(tmp_path / "b_mask.jpg", white(OBJECT), quality=95)
    for photo in read_supports(str(tmp_path)).photos:
        np.testing.assert_array_equal(photo.mask, OBJECT)


@pytest.mark.parametrize("apart", [False, True])
def test_a_folder_for_each_class(tmp_path, apart):
    if apart:
        for name in ("dog", "cat"):
            labelled_folder(tmp_path / name, {"1": BYTES, "2": BYTES})
    else:
        masks = class_folders(tmp_path, ["dog", "cat"], size=(H, W))
    found = read_supports(str(tmp_path))
    assert found.classes == ("cat", "dog")
    assert names(found) == ["cat/1", "cat/2", "dog/1", "dog/2"]
    for photo in found.photos:
        number = found.classes.index(photo.name[:3]) + 1
        np.testing.assert_array_equal(photo.mask, number * (OBJECT if apart else masks[photo.name]))


def test_vocs_layout(tmp_path):
    labelled_folder(tmp_path, {"1": 8 * HALVES}, "JPEGImages", "SegmentationClassAug")
    found = read_supports(str(tmp_path))
    assert found.classes == ("cat", "pottedplant")
    np.testing.assert_array_equal(found.photos[0].mask, HALVES)


def test_labelmes_files(tmp_path):
    annotate(tmp_path / "a.json", shape("dog"), shape("cat", "rectangle", [[20, 10], [34, 20]]))
    annotate(tmp_path / "b.json", shape("cat"))
    save(tmp_path / "c.jpg", PHOTO)
    found = read_supports(str(tmp_path))
    assert (found.classes, names(found), found.left_out) == (
        ("cat", "dog"),
        ["a", "b"],
        (tmp_path / "c.jpg",),
    )
    inside = found.photos[0].mask[10:20, 20:34]
    assert (inside == 1).all()  # the smaller one wins
    assert set(np.unique(found.photos[0].mask)) == {0, 1, 2}
    assert set(np.unique(found.photos[1].mask)) == {0, 1}


def coco(root, annotations, images="images"):
    """Writes an annotation file and its photo."""
    save(root / images / "x.png", PHOTO)
    file = {
        "images": [{"id": 5, "file_name": "x.png", "height": H, "width": W}],
        "categories": [{"id": n, "name": name} for n, name in ((9, "cat"), (2, "dog"), (3, "unseen"))],
        "annotations": [{"id": n, "image_id": 5, **fields} for n, fields in enumerate(annotations)],
    }
    (root / "instances.json").write_text(json.dumps(file))


@pytest.mark.parametrize("images", ["images", "."])
def test_an_annotation_file_of_cocos_kind(tmp_path, images):
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    runs = {"size": [H, W], "counts": [4 * H + 4, 4, H * W - 4 * H - 8]}
    crowd = {"size": [H, W], "counts": [0, 2 * H, H * W - 2 * H]}
    coco(
        tmp_path,
        [
            {"category_id": 2, "segmentation": square, "iscrowd": 0},
            {"category_id": 9, "segmentation": runs, "iscrowd": 0},
            {"category_id": 9, "segmentation": crowd, "iscrowd": 1},
        ],
        images,
    )
    found = read_supports(str(tmp_path))
    assert (found.classes, names(found)) == (("dog", "cat"), ["x"])
    expected = np.zeros((H, W), np.uint8)
    expected[:, :2] = 255
    expected[2:12, 2:12] = 1
    expected[4:8, 4] = 2
    np.testing.assert_array_equal(found.photos[0].mask, expected)


def test_files_by_their_names(tmp_path):
    save(tmp_path / "p" / "a, 1.jpg", PHOTO)
    save(tmp_path / "m" / "a, 1_mask.png", BYTES)
    flat(tmp_path, b=BYTES, c=BYTES)
    b = f"{tmp_path}/b.png, {tmp_path}/b_mask.png"
    assert names(read_supports(b)) == ["b"]
    assert names(read_supports(f"{tmp_path}/[bc]*.png")) == ["b", "c"]
    assert names(read_supports(f"{tmp_path}/**/*.*g")) == ["b", "c", "a, 1"]
    annotate(tmp_path / "d.json", shape("cat"))
    found = read_supports(f"{tmp_path}/d.jpg,{tmp_path}/d.json")
    assert (found.classes, names(found)) == (("cat",), ["d"])


def test_a_mask_of_a_photo_that_its_exif_tag_turns(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(PHOTO, "JPEG", exif=exif))
    save(tmp_path / "a.png", BYTES.T)
    (photo,) = read_supports(str(tmp_path)).photos
    assert (photo.image.shape, photo.mask.shape) == ((W, H, 3), (W, H))


def test_names_are_composed(tmp_path):
    name = unicodedata.normalize("NFD", "Öl")
    class_folders(tmp_path, [name], size=(H, W))
    assert read_supports(str(tmp_path)).classes == ("Öl",)


def test_painting_is_as_a_prepared_source_does_it():
    large, small = np.zeros((2, 4, 4), bool)
    large[:3], small[1:3, :2] = True, True
    void = np.ones((4, 4), bool)
    painted = supports.reading.painted(
        {"a": small, "b": large, "c": small}, void, {"a": 1, "b": 2, "c": 3}, (4, 4)
    )
    np.testing.assert_array_equal(painted[3], 255)
    np.testing.assert_array_equal(painted[:3], np.where(small[:3], 1, 2))


@pytest.mark.slow
def test_genuine_photos(shared):
    found = read_supports(str(shared / "data" / "coco_small"))
    assert len(found.photos) > 250
    assert all(
        (photo.mask > 0).any() and photo.mask.shape == photo.image.shape[:2] for photo in found.photos[:20]
    )
