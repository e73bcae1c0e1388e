"""COCO's annotation files: outlines as pycocotools draws them, and everything that can be wrong with them."""

import json
import random

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from datasets import coco20i
from datasets.coco20i import coco_json
from datasets.coco20i.coco_json import Runs
from fsjax.errors import InputError
from tests import coco


def write(tmp_path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "instances.json").write_text(text)
    return tmp_path, "instances.json"


def changed(part, n, **fields):
    """Returns an annotation file in which one entry has other fields; those of None are left out."""
    annotated = coco.instances()
    entry = annotated[part][n] | fields
    annotated[part][n] = {name: value for name, value in entry.items() if value is not None}
    return annotated


def test_a_file_is_read(tmp_path):
    found = coco_json.read(*write(tmp_path, coco.instances()))
    assert list(found.names) == coco.CATEGORY_IDS
    assert [len(photo.annotations) for photo in found.photos] == [4, 3, 0, 1, 2]
    assert found.photos[1].size == (75, 50)
    assert [annotation.crowd for annotation in found.photos[1].annotations] == [True, False, False]
    assert found.photos[4].annotations[1].outline == ()


def test_a_byte_order_mark_is_no_damage(tmp_path):
    assert coco_json.read(*write(tmp_path, "\ufeff" + json.dumps(coco.instances()))).photos


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is no JSON, or was cut short"),
        ("\x00\x01 nothing", "is no JSON, or was cut short"),
        (json.dumps(coco.instances())[:-500], "is no JSON, or was cut short"),
        ("[" * 200_000, "is no JSON, or was cut short"),
        ("[1, 2]", "is not one of COCO's instances files"),
        ('{"images": [], "annotations": [], "info": {}}', "is not one of COCO's instances files"),  # captions
        ({**coco.instances(), "annotations": {}}, "is not one of COCO's instances files"),
        (
            {**coco.instances(), "annotations": [{"image_id": 2, "id": 1, "caption": "a dog"}]},
            "has annotations without segmentation",
        ),
        (changed("images", 2, file_name=None), "has an image without file_name"),
        (changed("images", 2, height="40"), "has an image without height"),
        ({**coco.instances(), "images": [5]}, "has an image without id"),
        (changed("images", 1, id=2), "has an image with the id 2 twice"),
        (changed("categories", 1, id=1), "has a category with the id 1 twice"),
        (changed("categories", 0, name=None), "has a category without name"),
        (changed("annotations", 0, image_id=77), "has an annotation of the image 77, which it does not"),
        (changed("annotations", 0, image_id=[2]), r"has an annotation of the image \[2\], which"),
        (changed("annotations", 0, category_id=12), "has an annotation of the category 12, which"),
        (changed("annotations", 0, segmentation="x"), "annotation 100, whose segmentation is"),
        (changed("annotations", 0, segmentation=[["a"] * 6]), "annotation 100, whose segmentation is"),
        (changed("annotations", 0, segmentation=[1.0, 2.0]), "annotation 100, whose segmentation is neither"),
        (
            changed("annotations", 4, segmentation={"counts": [1, 2.5], "size": [1, 1]}),
            "annotation 104, whose segmentation is neither",
        ),
        (changed("annotations", 4, segmentation={"counts": "ab"}), "annotation 104, whose segmentation is"),
    ],
)  # fmt: skip
def test_what_is_no_annotation_file_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        coco_json.read(*write(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "instances.json"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "instances.json").write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(InputError, match="is no JSON, or was cut short"):
        coco_json.read(tmp_path, "instances.json")


@pytest.mark.parametrize("seed", range(30))
def test_runs_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 300, 2).tolist())
    mask = rng.random(size) < rng.choice([0.0, 0.01, 0.5, 1.0])
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    np.testing.assert_array_equal(coco_json.union([Runs(packed, size)], size), mask)
    flat = mask.ravel(order="F").astype(int)
    counts = np.diff([0, *np.flatnonzero(np.diff(flat, prepend=0)), flat.size])
    np.testing.assert_array_equal(coco_json.union([Runs(counts.tobytes(), size)], size), mask)


def test_texts_that_are_no_runs_are_refused_and_never_drawn():
    """Where pycocotools refuses one, it is refused; it draws others from memory that nobody has written."""
    rng, drawn, refused = random.Random(0), 0, 0
    for n in range(2000):
        mask = np.random.default_rng(n).random((6, 7)) < 0.3
        text = list(coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode())
        for _ in range(rng.randrange(3)):
            text[rng.randrange(len(text))] = chr(rng.randrange(48, 113))
        runs = Runs("".join(text), (6, 7))
        try:
            found = coco_json.union([runs], (6, 7))
        except ValueError:
            refused += 1
        else:
            drawn += 1
            again = coco_mask.decode({"size": [6, 7], "counts": runs.counts.encode()})
            np.testing.assert_array_equal(found, again)
    assert min(drawn, refused) > 500


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        (Runs("m8?", (40, 51)), "runs that do not fill the photo"),
        (Runs(np.array([10, 5]).tobytes(), (40, 50)), "runs that do not fill the photo"),
        (Runs(np.array([2010, -10]).tobytes(), (40, 50)), "runs that do not fill the photo"),
        (Runs("m8?i00o", (40, 50)), "runs that were cut short"),
        (Runs("m8é", (40, 50)), "the character 'é' among its runs"),
        ((np.array([0, 0, np.nan, 5, 5, 5.0]).tobytes(),), "a polygon that leads far out"),
        ((np.array([0, 0, 1e9, 5, 5, 5.0]).tobytes(),), "a polygon that leads far out"),
    ],
)
def test_outlines_that_pycocotools_would_draw_wrongly(outline, sentence):
    with pytest.raises(ValueError, match=sentence):
        coco_json.union([outline], (40, 50))


def test_a_name_that_is_no_text_is_told(tmp_path):
    annotated = coco.instances()
    annotated["categories"][0]["name"] = '\udce9 "cat"'
    coco.write_piece(tmp_path, annotated)
    with pytest.raises(InputError, match=r"^The name '.*\\udce9 .* is not in UTF-8: rename it"):
        coco20i.plan(tmp_path)
