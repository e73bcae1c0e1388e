"""Differences as a picture: what is drawn of each; people look at it, too."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.forest import forest


def one(difference, ci95, **more):
    return {"row": "fusion2, $x", "other_row": "fusion0", "difference": difference, "ci95": ci95, **more}


def accent(path, *found, notes=()):
    """Returns where the colour of the marks is, bool [H, W]."""
    forest(path, "ours minus $theirs", found, notes)
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
    return (pixels == np.round(255 * np.array(to_rgb(figures.ACCENT)))).all(-1)


def test_each_difference_has_its_interval(tmp_path):
    path = tmp_path / "forest.png"
    both = accent(path, one(3.0, [1.0, 5.0]), one(-3.0, [-5.0, -1.0]))
    rows = np.flatnonzero(both.any(1))
    upper, lower = both[: rows.mean().astype(int)], both[rows.mean().astype(int) :]
    left, right = np.flatnonzero(lower.any(0)), np.flatnonzero(upper.any(0))
    assert left.max() < right.min()
    assert len(left) == pytest.approx(len(right), abs=3)


def test_an_interval_that_holds_0_is_hollow(tmp_path):
    path = tmp_path / "forest.png"
    assert accent(path, one(3.0, [-1.0, 5.0])).sum() < accent(path, one(3.0, [0.1, 6.1])).sum()


def test_what_nothing_defines_has_no_mark(tmp_path):
    assert not accent(tmp_path / "forest.png", one(None, None, folder="runs/a"), notes=["Of $2."] * 9).any()
