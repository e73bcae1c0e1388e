"""The page in a real browser where only the loopback exists: painted on, clicked, compared with Python."""

import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsjax import cli
from fsjax.segmenter import Segmenter, loading
from fsjax.segmenter.overlay import palette
from fsjax.segmenter.segmentation import enlarged
from tests.app import browser
from tests.app.visit import BROKEN

ROOT = Path(__file__).parents[2]
SECONDS = 240
ON_THE_SIDE = 6  # of EXIF: to be turned by a quarter, clockwise

pytestmark = pytest.mark.skipif(not browser.is_installed(), reason="needs chromium and chromedriver")


def alone() -> list[str]:
    """Returns what starts a program where only the loopback exists; nothing where that is not allowed."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return command
    return []


def drawn(seed: int, height: int = 60, width: int = 80) -> Image.Image:
    """A bright disc at the upper right, three quarters to the right and a quarter down, on noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    pixels[np.hypot(y - height / 4, x - 3 * width / 4) < height / 6] = 250, 60, 40
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def visited(tmp_path_factory, model):
    """What a visit has left: the photos, what was told, and the files that were saved."""
    photos, out = (tmp_path_factory.mktemp(name) for name in ("photos", "out"))
    exif = Image.Exif()
    exif[0x0112] = ON_THE_SIDE
    lying = drawn(0).transpose(Image.Transpose.ROTATE_90)
    lying.save(photos / "support_0.jpg", exif=exif, quality=95)
    drawn(1).save(photos / "support_1.png")
    drawn(2).transpose(Image.Transpose.ROTATE_90).save(photos / "query_0.jpg", exif=exif, quality=95)
    drawn(3, 50, 70).save(photos / "query_<b>1.tif")
    (photos / BROKEN).write_bytes(b"GIF89a, it says")
    command = [*alone(), sys.executable, "-m", "tests.app.visit", photos, out, *model]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    return photos, json.loads(files["told.json"]), files


def values(encoded: bytes) -> np.ndarray:
    """The values of an indexed PNG with our palette."""
    picture = Image.open(io.BytesIO(encoded))
    assert (picture.format, picture.mode) == ("PNG", "P")
    assert picture.getpalette() == palette()
    return np.asarray(picture)


def test_masks_are_those_of_python_pixel_for_pixel(visited, model):
    photos, _, files = visited
    painted = [values(files[f"painted_{k}.png"]) for k in (0, 1)]
    supports = [photos / "support_0.jpg", photos / "support_1.png"]
    weights, *settings = model
    file = weights.removeprefix("--model=")
    config = cli.configured(loading.configuration(file), settings)
    fitted = Segmenter.load(file, config).fit(supports, painted, classes=["disc", "dot"])
    first, second = fitted.segment([photos / "query_0.jpg", photos / "query_<b>1.tif"])
    assert first.mask.shape == (60, 80)
    np.testing.assert_array_equal(values(files["found_0.png"]), first.mask)
    assert {1, 2} <= set(np.unique(first.mask)) | set(np.unique(second.mask))
    certain = fitted.segment(photos / "query_0.jpg", threshold=0.9)
    np.testing.assert_array_equal(values(files["certain_0.png"]), certain.mask)
    assert not values(files["absent_0.png"]).any()
    with zipfile.ZipFile(io.BytesIO(files["all.zip"])) as archive:
        names = [name for name in archive.namelist() if name.startswith("masks/")]
        assert names == ["masks/query_0.png", "masks/query__b_1.png"]
        np.testing.assert_array_equal(values(archive.read(names[1])), second.mask)
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("summary.csv"))))
        np.testing.assert_array_equal(values(archive.read("supports/support_0.png")), painted[0])
        grey = np.asarray(Image.open(archive.open("maps/query_0.disc.png")))
        alike = np.asarray(Image.open(archive.open("similarity/query_0.disc.png")))
        assert Image.open(archive.open("overlays/query_0.jpg")).size == (80, 60)
    np.testing.assert_allclose(grey / 255, first.probability(1), atol=1 / 255)
    wanted = enlarged(np.clip(first.cosines[..., 0], 0, 1), (60, 80))
    np.testing.assert_allclose(alike / 255, wanted, atol=3 / 255)
    assert [(row["photo"], row["class"]) for row in rows[:2]] == [("query_0", "disc"), ("query_0", "dot")]
    np.testing.assert_allclose([float(row["presence"]) for row in rows[:2]], first.presence, atol=1e-4)
    assert [int(row["area"]) for row in rows[:2]] == first.area.tolist()


def test_masks_are_what_was_painted(visited):
    *_, told, files = visited
    brushed, outlined = (values(files[f"painted_{k}.png"]) for k in (0, 1))
    y, x = np.mgrid[:60, :80]
    apart = np.hypot(y - 15, np.maximum(0, np.abs(x - 60) - 12))  # of a line from 0.6 to 0.9
    assert brushed.shape == (60, 80)  # upright
    assert set(np.unique(brushed)) == {0, 1}
    radius = apart[brushed == 1].max()
    assert 2 < radius < 12
    assert (brushed[apart < radius - 2] == 1).all()
    inside = (np.abs(x - 39.5) < 15) & (np.abs(y - 29.5) < 11)
    erased = np.hypot(y - 29.5, x - 39.5) < radius + 2
    assert (outlined[inside & ~erased] == 1).all()
    assert outlined[30, 40] == 0
    assert outlined[54, 8] == 2
    assert not outlined[:15].any()
    assert re.search("object [1-9]", told["painted"])
    assert "object 0%" in told["undone"]
    assert re.search("object [1-9]", told["by_keys"])


def test_the_page_says_what_was_found_and_what_failed(visited):
    *_, told, _ = visited
    assert told["message"] == ""
    assert told["broken"].startswith(BROKEN)
    assert told["broken"].endswith(".")
    assert told["dropped"].startswith("dropped.txt ")
    assert [card.splitlines()[0] for card in told["cards"]] == ["query_0.jpg", "query_<b>1.tif"]
    for card, absent in zip(told["cards"], told["absent"], strict=True):
        assert all(word in card for word in ("disc", "dot", "presence", "confidence", "area"))
        assert "disc: not there" in absent
    of_page = [line for line in told["console"] if line.startswith(told["origin"])]
    assert [line for line in of_page if "422" not in line] == []  # the broken photo's


def test_nothing_goes_out_and_nothing_is_kept(visited):
    *_, told, _ = visited
    assert set(told["loaded"]) == {told["origin"]}
    assert told["origin"].startswith("http://127.0.0.1:")
    assert told["left"] == []
    assert "WRITES" not in told["said"]
    if alone():
        assert told["interfaces"] == ["lo"]


def test_an_interrupt_ends_it(visited):
    *_, told, _ = visited
    assert told["exit"] == 130
    assert told["said"].strip().endswith("Stopped. All photos and masks of the page are gone.")
    assert "Traceback" not in told["said"]
