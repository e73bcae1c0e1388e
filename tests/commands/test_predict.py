"""predict.py from people's folders to a folder of answers, whose every file is read as others would."""

import json
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image

import predict
from fsjax.segmenter.overlay import ink
from tests.commands.own_photos import drawn, mask_of, saved, segment, show, table
from tests.commands.programs import files, start

CLASSES = "a cup", "jar"
PHOTOS = {
    "plain": (36, 44, (1, 2)),
    "a b": (36, 44, (2,)),
    "hash#1": (50, 31, (1,)),
    "100%25": (20, 20, (2, 1)),
    "it's": (36, 44, (1,)),
    "Ümläut": (36, 44, ()),
    "</script>": (36, 44, (1, 2)),  # a folder, and a photo in it
    "nan": (36, 44, (1,)),
}
WITH_TRUTH = {name: PHOTOS[name] for name in ("plain", "a b", "hash#1", "Ümläut", "</script>")}


@pytest.fixture(scope="module")
def answered(untrained, tmp_path_factory):
    """A folder with photos of two classes, and what was found in it; what was said."""
    place = tmp_path_factory.mktemp("own")
    show(place / "shown", classes=CLASSES)
    for number, (name, drawing) in enumerate(PHOTOS.items()):
        image, mask = drawn(100 + number, *drawing)
        saved(place / "photos" / f"{name}.png", image)
        if name in WITH_TRUTH:
            mask[0] = 255
            saved(place / "truth" / f"{name}.png", mask)
    flags = "--maps", f"--truth={place}/truth", "--min_presence=0", "--batch=4", f"--model={untrained}"
    assert segment(place, *flags) == 0
    return place


def test_every_photo_has_its_files_and_nothing_else_lies_there(answered):
    found = answered / "found"
    names = {str(path.relative_to(found)) for path in files(found)}
    expected = {f"masks/{name}.png" for name in PHOTOS} | {f"overlays/{name}.jpg" for name in PHOTOS}
    expected |= {f"maps/{name}.{part}.png" for name in PHOTOS for part in ("a_cup", "jar")}
    expected |= {f"supports/{k}.jpg" for k in range(1, 5)}
    expected |= {"summary.csv", "annotations.json", "index.html", "prediction.json", ".written", ".claimed"}
    assert names == expected


def test_masks_are_indexed_and_as_large_as_their_photos(answered):
    for name, (height, width, _) in PHOTOS.items():
        with Image.open(answered / "found" / "masks" / f"{name}.png") as mask:
            assert (mask.format, mask.mode, mask.size) == ("PNG", "P", (width, height))
            assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
            colors = np.reshape(mask.getpalette(), (-1, 3))
        assert [tuple(color) for color in colors[:3]] == [(0, 0, 0), _rgb(ink(1)), _rgb(ink(2))]
        with Image.open(answered / "found" / "overlays" / f"{name}.jpg") as overlay:
            assert (overlay.format, overlay.mode, overlay.size) == ("JPEG", "RGB", (width, height))


def _rgb(text):
    return tuple(int(text[k : k + 2], 16) for k in (1, 3, 5))


def test_the_table_says_what_the_masks_and_maps_hold(answered):
    rows = table(answered / "found")
    assert sorted((row["photo"], row["class"]) for row in rows) == sorted(product(PHOTOS, CLASSES))
    for row in rows:
        n, mask = CLASSES.index(row["class"]) + 1, mask_of(answered / "found", row["photo"])
        area = int((mask == n).sum())
        assert (int(row["area"]), row["found"]) == (area, "yes" if area else "no")
        assert float(row["share"]) == pytest.approx(area / mask.size, abs=1e-4)
        assert row["file"] == str(answered / "photos" / f"{row['photo']}.png")
        assert 0 <= float(row["presence"]) <= 1
        assert -1 <= float(row["similarity"]) <= 1
        assert row["error"] == ""
        path = answered / "found" / "maps" / f"{row['photo']}.{row['class'].replace(' ', '_')}.png"
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", mask.shape[::-1])
            sure = np.asarray(image)[mask == n].mean() / 255 if area else 0
        assert float(row["confidence"]) == pytest.approx(sure, abs=3e-3)


def test_scores_are_those_of_a_count_by_hand(answered, untrained, capsys):
    again = "again"
    flags = f"--truth={answered}/truth", "--min_presence=0", f"--model={untrained}"
    assert segment(answered, *flags, out=again) == 0
    said = capsys.readouterr().out
    shared, either = np.zeros(2), np.zeros(2)
    ious = {}
    for name in WITH_TRUTH:
        mask = mask_of(answered / again, name)
        with Image.open(answered / "truth" / f"{name}.png") as image:
            truth = np.array(image)
        for n in (1, 2):
            inside = (mask == n) & (truth == n) & (truth != 255)
            union = ((mask == n) | (truth == n)) & (truth != 255)
            shared[n - 1], either[n - 1] = shared[n - 1] + inside.sum(), either[n - 1] + union.sum()
            ious[name, CLASSES[n - 1]] = inside.sum() / union.sum() if union.any() else None
    mean, cup, jar = 100 * (shared / either).mean(), *(100 * shared / either)
    assert f"with the truth of 5 photos, in percent: {mean:.1f} (95% interval over photos: " in said
    assert f"a cup {cup:.1f}, jar {jar:.1f}. 3 photos have no truth." in said
    for row in table(answered / again):
        expected = ious.get((row["photo"], row["class"]))
        assert row["iou"] == ("" if expected is None else f"{expected:.4f}")


def test_the_annotations_are_cocos(answered):
    mask_tools = pytest.importorskip("pycocotools.mask")
    document = json.loads((answered / "found" / "annotations.json").read_text("utf-8"))
    assert document["categories"] == [{"id": 1, "name": "a cup"}, {"id": 2, "name": "jar"}]
    names = {image["id"]: image["name"] for image in document["images"]}
    assert set(names.values()) == set(PHOTOS)
    sizes = {image["name"]: (image["height"], image["width"]) for image in document["images"]}
    assert sizes == {name: drawing[:2] for name, drawing in PHOTOS.items()}
    left = {name: mask_of(answered / "found", name) for name in names.values()}
    for one in document["annotations"]:
        encoded = mask_tools.frPyObjects(one["segmentation"], *one["segmentation"]["size"])
        decoded = mask_tools.decode(encoded).astype(bool)
        mask = left[names[one["image_id"]]]
        np.testing.assert_array_equal(decoded, mask == one["category_id"])
        assert one["area"] == decoded.sum() == mask_tools.area(encoded)
        assert one["bbox"] == mask_tools.toBbox(encoded).tolist()
        mask[decoded] = 0
    assert not any(mask.any() for mask in left.values())  # each class of each photo has its annotation


def test_pycocotools_opens_the_annotations(answered, capsys):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(answered / "found" / "annotations.json"))
    assert len(coco.getImgIds()) == len(PHOTOS)
    for image in coco.loadImgs(coco.getImgIds()):
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask[coco.annToMask(one) > 0] = one["category_id"]
        np.testing.assert_array_equal(mask, mask_of(answered / "found", image["name"]))


class Page(HTMLParser):
    """The page's data and text, and its links."""

    def __init__(self, text):
        super().__init__()
        self.data, self.text, self.links, self.scripts, self._in = "", "", [], 0, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._in = dict(attributes).get("id") if tag == "script" else tag
        self.scripts += tag == "script"
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in == "data":
            self.data += data
        elif self._in in ("h1", "p"):
            self.text += data


def test_the_page_names_files_that_are_there_and_nothing_outside(answered):
    text = (answered / "found" / "index.html").read_text("utf-8")
    page = Page(text)
    assert (page.scripts, page.links) == (2, [])  # no name has ended the data
    assert "http" not in text
    assert "{{" not in text
    assert "a cup, jar in " in page.text
    data = json.loads(page.data)
    assert {photo["name"] for photo in data["photos"]} == set(PHOTOS)
    assert [support["lines"][0] for support in data["supports"]] == ["a cup/0", "a cup/1", "jar/0", "jar/1"]
    named = [support["picture"] for support in data["supports"]]
    for photo in data["photos"]:
        named += [photo["overlay"], photo["mask"], *photo["maps"]]
        assert len(photo["maps"]) == len(photo["found"]) == 2
    assert all((answered / "found" / name).is_file() for name in named)
    rows = {(row["photo"], row["class"]): row for row in table(answered / "found")}
    for one in (one for photo in data["photos"] for one in photo["found"]):
        row = rows[one["name"], one["class_name"]]
        assert ("yes" if one["found"] else "no") == row["found"]
        assert f"{one['presence']:.4f}" == row["presence"]


def test_the_same_command_again_replaces_what_it_wrote(answered, untrained, tmp_path):
    show(tmp_path / "shown", classes=CLASSES)
    saved(tmp_path / "photos" / "a.png", drawn(0)[0])
    saved(tmp_path / "photos" / "more" / "b.png", drawn(1)[0])
    model = f"--model={untrained}"
    assert segment(tmp_path, model, "--maps") == 0
    before = files(tmp_path / "found")
    assert segment(tmp_path, model, "--maps") == 0
    assert files(tmp_path / "found") == before
    (tmp_path / "photos" / "more" / "b.png").unlink()
    assert segment(tmp_path, model) == 0
    left = {str(path.relative_to(tmp_path / "found")) for path in files(tmp_path / "found")}
    assert {name for name in left if "/" in name and "supports" not in name} == {
        "masks/a.png",
        "overlays/a.jpg",
    }
    assert not (tmp_path / "found" / "maps").exists()
    assert not (tmp_path / "found" / "masks" / "more").exists()


def test_what_it_was_made_with_is_kept(answered, untrained):
    about = json.loads((answered / "found" / "prediction.json").read_text("utf-8"))
    assert about["model"] == f"{untrained}"
    assert about["classes"] == list(CLASSES)
    assert about["options"] == {
        "output": "", "threshold": None, "min_presence": 0.0, "batch": 4, "strict": False
    }  # fmt: skip
    assert about["config"]["eval"]["size"] == 32
    assert "--maps" in about["command"]


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit):
        start(predict, "--help")
    said = capsys.readouterr().out
    assert all(f"--{name}" in said for name in (*predict.FLAGS, *predict.SWITCHES))
    assert "TODO" not in said
