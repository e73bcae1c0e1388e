"""The methods' own sheets: fusion and its stages, the branches; they open, and show what they were given."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fsjax.evaluation.pictures import figures, fusion
from fsjax.evaluation.pictures.branches import COLUMNS, branch_sheet
from fsjax.evaluation.pictures.figures import WAY_COLORS
from fsjax.evaluation.pictures.fusion import fusion_sheet, stage_sheet
from fsjax.evaluation.pictures.shown import Shown, named
from fsjax.models.prnet.explanation import FusionExplanation

GREY = 200


def make_shown(ways=1, known=True, selected=(), cells=(4, 6), grid=(5, 7), outputs=("fusion0", "fusion2")):
    """A grey photo; `selected` are the cells (row, column, class) of both stages."""
    rng = np.random.default_rng(0)
    photo = np.full((40, 60, 3), GREY, np.uint8)
    truth = np.zeros((40, 60), np.uint8)
    truth[10:30, 20:40] = ways
    chosen = np.zeros((*grid, ways + 1), bool)
    for place in selected:
        chosen[place] = True
    maps = [rng.uniform(0, 1, chosen.shape).astype(np.float32) for _ in range(4)]
    explanation = FusionExplanation(
        maps[0], chosen, maps[1], maps[2], chosen, maps[3], np.asarray(cells, np.int32)
    )
    logits = {name: np.float32(4 * np.eye(ways + 1)[truth]) for name in outputs}
    supports = [(photo, np.where(truth, way, 0)) for way in range(1, ways + 1)]
    classes = ("disk", "a_very_long_name_of_a_class_that_goes_on")[:ways]
    return Shown(classes, supports, photo, truth if known else None, logits, explanation)


def opened(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def near(pixels, color, within=12):
    color = 255 * np.asarray(to_rgb(color)) if isinstance(color, str) else np.asarray(color)
    return np.abs(pixels.astype(float) - color).max(axis=-1) < within


def test_fusion_has_a_column_for_every_stage_and_the_truth_only_where_it_is_known(tmp_path):
    names = ("fusion0", "fusion1", "fusion2")
    one = make_shown(outputs=names)
    widths = []
    for shown in ([one], [one, replace(one, truth=None)], [replace(one, truth=None)]):
        fusion_sheet(tmp_path / "fusion.png", shown, names)
        widths.append(opened(tmp_path / "fusion.png").shape[1])
    assert widths[0] == widths[1] > widths[2]
    fusion_sheet(tmp_path / "one.png", [one], names[:1])
    assert widths[0] - opened(tmp_path / "one.png").shape[1] == pytest.approx(
        2 * (widths[0] - widths[2]), abs=3
    )


def columns_of(pixels, color, within=12):
    """The parts of a picture, from left to right, that have a colour: slices of columns."""
    there = np.flatnonzero(near(pixels, color, within).any(axis=0))
    ends = np.flatnonzero(np.diff(there, append=10**6) > 25)
    starts = np.concatenate([[0], ends[:-1] + 1])
    return [slice(there[a], there[b] + 1) for a, b in zip(starts, ends, strict=True)]


def test_selected_cells_are_tinted_where_they_are(tmp_path):
    """Cell (1, 4) of 4 x 6 valid ones, in both stages, in the colour of the way."""
    path = tmp_path / "stages.png"
    stage_sheet(path, [make_shown(known=False, selected=[(1, 4, 1)])], "fusion2")
    pale = 0.4 * GREY + 0.6 * 255
    tint = 0.8 * 255 * np.asarray(to_rgb(WAY_COLORS[0])) + 0.2 * pale
    pixels = opened(path)
    photos = columns_of(pixels[: int(0.8 * len(pixels))], tint, 3)
    assert len(photos) == 2
    for columns in photos:
        background = near(pixels[:, columns.start], [pale] * 3, 3)
        rows = np.flatnonzero(background | near(pixels[:, columns.start], tint, 3))
        rows = rows[: np.flatnonzero(np.diff(rows, append=10**6) > 5)[0] + 1]  # words stand below
        tinted = np.flatnonzero(near(pixels[:, columns.start], tint, 3))
        height = np.ptp(rows) + 1
        assert (tinted.min() - rows.min()) / height == pytest.approx(1 / 4, abs=0.02)
        assert (np.ptp(tinted) + 1) / height == pytest.approx(1 / 4, abs=0.02)
        assert (columns.stop - columns.start) / height == pytest.approx(60 / 40 / 6, abs=0.02)


@pytest.fixture
def few_pixels(monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)


def test_every_way_has_a_row_and_rows_are_bounded(tmp_path, monkeypatch, few_pixels):
    heights = []
    for shown in ([make_shown()], [make_shown(2)], [make_shown(2)] * 2):
        stage_sheet(tmp_path / "stages.png", shown, "fusion2")
        heights.append(len(opened(tmp_path / "stages.png")))
    assert heights[2] - heights[1] == pytest.approx(2 * (heights[1] - heights[0]), abs=4)
    monkeypatch.setattr(fusion, "MOST_ROWS", 2)
    stage_sheet(tmp_path / "stages.png", [make_shown(2)] * 2, "fusion2")
    assert len(opened(tmp_path / "stages.png")) == heights[1]


def test_branches_go_below_when_they_are_many(tmp_path, few_pixels):
    names, sizes = ("aux", "master"), {}
    for count in (1, COLUMNS, COLUMNS + 1):
        shown = [make_shown(outputs=names)] * count
        branch_sheet(tmp_path / "branches.png", shown, names)
        sizes[count] = opened(tmp_path / "branches.png").shape
    assert sizes[COLUMNS][1] > 4 * sizes[1][1]
    assert sizes[COLUMNS][0] == sizes[1][0]
    assert sizes[COLUMNS + 1][0] > 1.8 * sizes[1][0]
    assert sizes[COLUMNS + 1][1] < sizes[COLUMNS][1]


def test_titles_say_why_and_break_long_names():
    shown = replace(make_shown(2), note="worst")
    assert shown.title == "(worst)\ndisk\na very long name of a\nclass that goes on"
    assert shown.title_of(2) == "(worst)\na very long name of a\nclass that goes on"
    assert replace(shown, note="").title_of(1) == "disk"
    assert named("traffic_light") == "traffic light"
