"""The notebook's page for outlining, in a browser: what is clicked is what the supports then show."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datasets.supports import read_supports
from tests.app import browser

PAGE = Path(__file__).parents[2] / "notebooks" / "outline.html"
ENTER, BACKSPACE = "\ue007", "\ue003"

pytestmark = pytest.mark.skipif(not browser.is_installed(), reason="there is no Chromium with its driver")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page, as a file of its own, in a browser."""
    folder = tmp_path_factory.mktemp("outline")
    file = folder / "outline.html"
    file.write_text(PAGE.read_text() + "<script>document.body.dataset.ready = 'yes'</script>")
    (folder / "downloads").mkdir()
    with browser.Page.opened(file.as_uri(), folder) as opened:
        yield opened


def click(page, points):
    """Clicks at shares of the photo's width and height."""
    place = page.run(
        "const at = document.querySelector('canvas').getBoundingClientRect();"
        "return [at.left, at.top, at.width, at.height]"
    )
    left, top, width, height = place
    acts = []
    for x, y in points:
        to = {
            "type": "pointerMove",
            "duration": 0,
            "x": round(left + x * width),
            "y": round(top + y * height),
        }
        acts += [to, *({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))]
    page.ask("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": acts}])


def test_corners_become_the_masks_of_supports(page, tmp_path):
    level, turned = tmp_path / "level.jpg", tmp_path / "turned.jpg"
    Image.new("RGB", (400, 300), "white").save(level)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees: upright it is 300 wide and 400 high
    Image.new("RGB", (400, 300), "white").save(turned, exif=exif)
    files, label = page.all(".fsjax-outline input")
    canvas, choice = page.all("canvas")[0], page.all("select")[0]
    files.write(f"{level}\n{turned}")
    page.wait(
        "document.querySelectorAll('option').length === 2 && document.querySelector('canvas').width === 400"
    )
    label.rewrite("thing")

    save = page.all(".fsjax-outline button")[0]
    click(page, [(0.1, 0.2), (0.5, 0.2), (0.5, 0.6), (0.9, 0.9)])
    canvas.write(BACKSPACE)  # the last corner was a slip
    click(page, [(0.1, 0.6)])
    canvas.write(ENTER)
    (tmp_path / "level.json").write_bytes(page.saved(save, "level.json"))
    page.run("arguments[0].selectedIndex = 1; arguments[0].onchange()", choice.name)
    click(page, [(0.5, 0.1), (0.9, 0.9), (0.2, 0.8)])  # and left open: saving closes it
    (tmp_path / "turned.json").write_bytes(page.saved(save, "turned.json"))
    assert page.log() == []

    supports = read_supports(str(tmp_path))
    assert supports.classes == ("thing",)
    corners = {
        "level": [(40, 60), (200, 60), (200, 180), (40, 180)],
        "turned": [(150, 40), (270, 360), (60, 320)],
    }
    for photo in supports.photos:
        drawn = Image.new("L", photo.mask.shape[::-1])
        ImageDraw.Draw(drawn).polygon(corners[photo.name], fill=1)
        either = (photo.mask == 1) | (np.asarray(drawn) == 1)
        both = (photo.mask == 1) & (np.asarray(drawn) == 1)
        assert both.sum() / either.sum() > 0.96
