"""LabelMe's annotation files: masks against Pillow's drawing, and what is wrong with them."""

import base64
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datasets import folders
from datasets.folders import labelme
from fsjax.errors import InputError
from tests.datasets.own_folders import box, encoded, pixels, prepared, save

H, W = 60, 80
PHOTO = pixels(H, W, 3)
POLYGON = [[10, 5], [50.5, 12], [30, 48]]
MASK = box(12, 16)


def shape(label, kind="polygon", points=POLYGON, **more):
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}, **more}


def annotate(path, *shapes, photo=True, **more):
    """Writes an annotation file as LabelMe does, and its photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": f"{path.stem}.jpg",
        "imageData": None, "imageHeight": H, "imageWidth": W, **more,
    }  # fmt: skip
    path.write_text(json.dumps(fields, indent=2))
    if photo:
        save(path.with_suffix(".jpg"), PHOTO)


def masks(path):
    return labelme.masks_of(labelme.read(path))


def drawn(draw):
    """What Pillow draws four times as large, and then looks at in the middle of each pixel."""
    image = Image.new("1", (4 * W, 4 * H))
    draw(ImageDraw.Draw(image))
    return np.asarray(image)[2::4, 2::4]


def larger(points):
    return [(4 * x, 4 * y) for x, y in points]


def test_a_file_with_the_word_shapes_alone_is_not_labelmes(tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps({"categories": [{"id": 1, "name": "shapes"}], "info": "shapes"})
    )
    assert not labelme.looks_so(tmp_path)
    annotate(tmp_path / "b.json")
    assert labelme.is_annotation(tmp_path / "b.json")


def test_shapes_are_drawn(tmp_path):
    annotate(
        tmp_path / "a.json",
        shape("polygon"),
        shape("rectangle", "rectangle", [[40, 30], [12, 8]]),
        shape("turned", "rotation", [[20, 10], [40, 20], [30, 40], [10, 30]]),
        shape("circle", "circle", [[40, 30], [52, 30]]),
        shape("no kind", None),
    )
    found, void = masks(tmp_path / "a.json")
    assert void is None
    expected = {
        "polygon": drawn(lambda draw: draw.polygon(larger(POLYGON), fill=1)),
        "rectangle": drawn(lambda draw: draw.rectangle([48, 32, 159, 119], fill=1)),
        "turned": drawn(lambda draw: draw.polygon(larger([(20, 10), (40, 20), (30, 40), (10, 30)]), fill=1)),
        "circle": drawn(lambda draw: draw.ellipse([4 * 28, 4 * 18, 4 * 52, 4 * 42], fill=1)),
    }
    for label, mask in expected.items():
        assert found[label].shape == (H, W)
        assert (found[label] & mask).sum() / (found[label] | mask).sum() > 0.95, label
    np.testing.assert_array_equal(found["no kind"], found["polygon"])
    assert abs(found["circle"].sum() / (np.pi * 12**2) - 1) < 0.02


def test_shapes_of_one_label_are_united_and_masks_pasted(tmp_path):
    part = base64.b64encode(encoded(np.uint8(1) * MASK)).decode()
    annotate(
        tmp_path / "a.json",
        shape("cat", "mask", [[70, 50], [85, 61]], mask=part),  # a part of it lies outside
        shape("cat", "rectangle", [[0, 0], [5, 5]], group_id=3),
        shape(labelme.IGNORE, "rectangle", [[20, 20], [30, 30]]),
        shape(labelme.BACKGROUND, "rectangle", [[0, 0], [80, 60]]),
    )
    found, void = masks(tmp_path / "a.json")
    expected = np.zeros((H, W), bool)
    expected[:5, :5] = True
    expected[50:, 70:] |= MASK[:10, :10]
    np.testing.assert_array_equal(found["cat"], expected)
    assert list(found) == ["cat"]
    assert void.sum() == 100
    assert labelme.read(tmp_path / "a.json").labels == ["cat"]


def test_the_photo_is_beside_the_file_or_in_it(tmp_path):
    annotate(tmp_path / "a.json", shape("cat"), imagePath="C:\\photos\\a.jpg")
    assert labelme.read(tmp_path / "a.json").photo == tmp_path / "a.jpg"
    annotate(tmp_path / "b.json", shape("cat"), imagePath="renamed.png")
    assert labelme.read(tmp_path / "b.json").photo == tmp_path / "b.jpg"
    content = encoded(PHOTO, "JPEG")
    annotate(tmp_path / "c.json", shape("cat"), photo=False, imageData=base64.b64encode(content).decode())
    assert labelme.photo_of(labelme.read(tmp_path / "c.json")) == content


def test_a_folder_is_prepared(tmp_path):
    root = tmp_path / "mine"
    annotate(root / "a.json", shape("dog"), shape("Öl", "rectangle", [[40, 30], [12, 8]]))
    annotate(root / "b.json", shape("dog", "circle", [[40, 30], [52, 30]]))
    annotate(root / "c.json", photo=True)
    source = prepared(root, tmp_path)["train"]
    assert source.title == "LabelMe annotations: 2 photos of 2 classes"
    assert (source.class_names, source.ids) == (("dog", "Öl"), ("a", "b"))
    np.testing.assert_array_equal(source.mask(0, [2], None), masks(root / "a.json")[0]["Öl"])
    np.testing.assert_array_equal(source.mask(1, [1, 2], None), masks(root / "b.json")[0]["dog"])
    np.testing.assert_array_equal(source.image(0), Image.open(root / "a.jpg"))


WRONG = {
    "has, for 'cat', a linestrip, which has no area: draw a polygon": [shape("cat", "linestrip")],
    "has, for 'cat', a polygon of 2 points: draw it again": [shape("cat", points=[[1, 2], [3, 4]])],
    "has, for 'cat', a circle of 3 points": [shape("cat", "circle")],
    "has, for 'cat', a polygon whose points are not": [shape("cat", points=[[1, 2], [3, None], [4, 5]])],
    "has a shape without a label": [shape("")],
    r"has, for 'cat', a polygon whose points are": [shape("cat", points=[[1, 2], [3, 1e9], [4, 5]])],
    "holds a mask of 'cat' that is not in base64": [shape("cat", "mask", [[1, 1], [5, 5]], mask="?")],
    "is damaged, or no picture": [shape("cat", "mask", [[1, 1], [5, 5]], mask="AAAA")],
    "has, for 'cat', a mask that is not grey or leads out": [
        shape("cat", "mask", [[-9, 1], [5, 5]], mask=base64.b64encode(encoded(MASK)).decode())
    ],
}


@pytest.mark.parametrize(("sentence", "shapes"), WRONG.items(), ids=WRONG)
def test_shapes_that_are_none(tmp_path, sentence, shapes):
    annotate(tmp_path / "a.json", *shapes)
    with pytest.raises(InputError, match=sentence) as error:
        masks(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(error.value)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"imageHeight": None}, r"a\.json has no imageHeight and imageWidth"),
        ({"imageWidth": True}, r"a\.json has no imageHeight and imageWidth"),
        ({"imageWidth": 10**9}, "is of a photo with over 100,000,000 pixels"),
        ({"shapes": {}}, r"a\.json is no annotation of LabelMe's, which has shapes"),
        ({"imagePath": "x" * 3000}, r"a\.json has no photo x+ beside it: put it there"),
    ],
)
def test_files_that_are_wrong(tmp_path, more, sentence):
    annotate(tmp_path / "a.json", shape("cat"), photo=False, **more)
    with pytest.raises(InputError, match=sentence):
        labelme.read(tmp_path / "a.json")


def test_a_photo_of_another_size_is_named(tmp_path):
    annotate(tmp_path / "a.json", shape("cat"), imageHeight=H - 1)
    annotate(tmp_path / "b.json", shape("cat"))
    plan = folders.plan(tmp_path)
    with pytest.raises(InputError, match=r"a\.json is 59x80 and its photo .*a\.jpg 60x80 pixels"):
        plan.read(plan.tasks[0])
