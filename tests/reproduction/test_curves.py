"""Figures open, say what was not run, and are the same bytes each time; their data are read back."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from fsjax.errors import InputError
from fsjax.reproduction import Point, draw_curves, draw_panels, read_curves

SERIES = {
    "fold-1": [Point(0, 100 / 3), Point(2, 50.5, 49.0, 51.25), Point(1, 48.0, 47.0, 49.0)],
    "fold-2": [],
    "mean": [Point(0, 40.0), Point(1, 41.0), Point(2, 42.0)],
}
NOTE = "120 steps: not comparable"


def texts(path):
    """Returns what an SVG of matplotlib says: it draws letters as paths and names them in comments."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def test_the_pictures_and_what_they_say(tmp_path):
    draw_curves(tmp_path / "beta0.2", "Figure 3", "fusion", "mean-IoU (%)", SERIES, header=[NOTE])
    assert {path.name for path in tmp_path.iterdir()} == {"beta0.2.png", "beta0.2.svg", "beta0.2.csv"}
    with Image.open(tmp_path / "beta0.2.png") as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 30
    said = texts(tmp_path / "beta0.2.svg")
    for text in (
        "Figure 3",
        "fusion",
        "mean-IoU (%)",
        NOTE,
        "fold-1",
        "fold-2: not run",
        "mean",
        "95% interval",
    ):
        assert text in said
    assert [text for text in said if text in "012"] == ["0", "1", "2"]  # a tick for each x


def test_a_panel_without_a_run_says_so(tmp_path):
    panels = {"PASCAL-5i": {"mean": [Point(0.2, 58.0)]}, "COCO-20i": {"mean": []}}
    draw_panels(tmp_path / "figure5", "Figure 5", "beta", "mean-IoU (%)", panels)
    said = texts(tmp_path / "figure5.svg")
    assert {"PASCAL-5i", "COCO-20i", "not run", "mean: not run"} <= set(said)
    assert "95% interval" not in said
    assert read_curves(tmp_path / "figure5.csv") == panels


def test_the_data_are_read_back_in_order_of_x(tmp_path):
    draw_curves(tmp_path / "a", "Title", "x", "y", SERIES)
    in_order = {name: sorted(points, key=lambda point: point.x) for name, points in SERIES.items()}
    assert read_curves(tmp_path / "a.csv") == {"": in_order}
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:2] == ["panel,series,x,y,low,high", f",fold-1,0,{100 / 3!r},,"]
    assert ",fold-2,,,," in lines


def test_the_same_curves_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        draw_curves(tmp_path / name / "figure", "Title", "x", "y", SERIES, header=[NOTE])
    for ending in ("png", "svg", "csv"):
        first, second = ((tmp_path / name / f"figure.{ending}").read_bytes() for name in ("a", "b"))
        assert first == second
    assert "dc:date" not in (tmp_path / "a" / "figure.svg").read_text()


@pytest.mark.parametrize("bad", [Point(0, float("nan")), Point(0, 1.0, 0.0, float("inf"))])
def test_a_number_that_is_not_finite(tmp_path, bad):
    with pytest.raises(ValueError, match="of fold-1 is not finite"):
        draw_curves(tmp_path / "a", "Title", "x", "y", {"fold-1": [bad]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,loss\n1,2\n", "no heading"),
        ("panel,series,x,y,low,high\n,a,1,2,,\n,a,1,2\n", "Line 3 of"),
        ("panel,series,x,y,low,high\n,a,1,,,\n", "Line 2 of"),
        ("panel,series,x,y,low,high\n,a,1,nan,,\n", "Line 2 of"),
        ("", "no heading"),
    ],
)
def test_damaged_data_are_refused(tmp_path, text, says):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_curves(path)


def test_data_that_are_not_text_or_not_there(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(InputError, match="is no CSV"):
        read_curves(tmp_path / "a.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_curves(tmp_path / "b.csv")
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(InputError, match="is no ordinary file"):
        read_curves(tmp_path / "c.csv")


def test_a_folder_in_place_of_the_picture(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        draw_curves(tmp_path / "a", "Title", "x", "y", SERIES)
