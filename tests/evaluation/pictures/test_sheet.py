"""The sheets are looked at by people; here: they open, and show what they were given."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fsjax.evaluation.pictures import sheet
from fsjax.evaluation.pictures.cycles import cycles
from fsjax.evaluation.pictures.figures import WAY_COLORS
from fsjax.evaluation.pictures.sheet import cycle_picture, draw
from fsjax.evaluation.pictures.shown import Shown, iou
from fsjax.models.dpnet.explanation import Explanation

NAMES = ("fusion0", "fusion1", "fusion2")


def disk(height, width, label, place=0.5):
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - place * height, x - place * width) < 0.3 * height
    return np.where(inside, label, 0).astype(np.uint8)


def logits_of(mask, classes):
    """Logits whose argmax is the mask."""
    return np.float32(4 * np.eye(classes)[mask])


def make_shown(ways=1, mask_scale=1, classes=("disk",)):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    truth = disk(24 * mask_scale, 32 * mask_scale, 1)
    truth[:3] = 255
    supports = [(photo[:20], disk(20, 32, way)) for way in range(1, ways + 1)]
    masks = np.zeros_like(truth), np.full_like(truth, ways), np.where(truth == 255, 0, truth)
    logits = {name: logits_of(mask, ways + 1) for name, mask in zip(NAMES, masks, strict=True)}
    return Shown(classes, supports, photo, truth, logits)


def draw_episodes(folder, shown):
    draw(folder, shown, NAMES, "fusion2")
    with Image.open(folder / "episodes.png") as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_color(pixels, name, within=40):
    color = 255 * np.asarray(to_rgb(name))
    return (np.abs(pixels.astype(float) - color).max(axis=-1) < within).any()


def test_the_sheet_grows_with_queries_and_ways(tmp_path):
    one = draw_episodes(tmp_path / "one", [make_shown()])
    two = draw_episodes(tmp_path / "two", [make_shown()] * 2)
    two_way = draw_episodes(tmp_path / "two_way", [make_shown(2, classes=("cat", "dog"))])
    assert two.shape[0] > 1.5 * one.shape[0]
    assert two.shape[1] == one.shape[1]
    assert two_way.shape[1] > one.shape[1]
    assert len(np.unique(one.reshape(-1, 3), axis=0)) > 1000
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["episodes.png"]


def test_each_way_has_its_colour(tmp_path):
    pixels = draw_episodes(tmp_path, [make_shown(2)])
    assert has_color(pixels, WAY_COLORS[0])
    assert has_color(pixels, WAY_COLORS[1])


def test_masks_may_be_larger_than_their_photo(tmp_path):
    small = draw_episodes(tmp_path / "small", [make_shown()])
    large = draw_episodes(tmp_path / "large", [make_shown(mask_scale=3)])
    assert small.shape == large.shape


def test_a_column_for_the_truth_only_where_any_is_known(tmp_path):
    known = make_shown()
    unknown = replace(known, truth=None)
    widths = [
        draw_episodes(tmp_path / str(i), shown).shape[1]
        for i, shown in enumerate([[known], [known, unknown], [unknown]])
    ]
    assert widths[0] == widths[1] > widths[2]


def test_only_the_named_outputs_are_drawn(tmp_path):
    whole = draw_episodes(tmp_path, [make_shown()])
    draw(tmp_path, [make_shown()], ("fusion2",), "fusion2")
    with Image.open(tmp_path / "episodes.png") as image:
        assert image.width < whole.shape[1]


def test_nothing_shown_is_nothing_drawn(tmp_path):
    draw(tmp_path, [], NAMES, "fusion2")
    assert not any(tmp_path.iterdir())


def test_the_iou_of_one_query_is_that_of_its_pixels():
    truth = np.array([[0, 1, 1, 2], [255, 255, 0, 2]], np.uint8)
    prediction = np.array([[0, 1, 0, 2], [1, 2, 0, 0]])
    assert iou(prediction, truth) == pytest.approx(100 * (1 / 2 + 1 / 2) / 2)
    assert iou(np.zeros((2, 4), int), np.zeros((2, 4), np.uint8)) == 100


def test_the_foregrounds_probability_is_of_any_way():
    logits = np.log(np.float32([[[0.5, 0.2, 0.3]], [[0.1, 0.9, 1e-30]]])) + np.float32(7)
    np.testing.assert_allclose(sheet._foreground(logits), [[0.5], [0.9]], atol=1e-6)


# ---- the comparison of cells ----

SUPPORT_CELLS, QUERY_CELLS, SUPPORT_GRID, QUERY_GRID = (4, 5), (6, 3), (7, 8), (7, 8)


def make_explanation(rng, aligned=True):
    """A random comparison of two grids that are padded; every match is of a valid cell."""

    def matches(grid, others, other_grid):
        rows, columns = (rng.integers(0, side, grid) for side in others)
        return rows * other_grid[1] + columns

    return Explanation(
        forward=matches(SUPPORT_GRID, QUERY_CELLS, QUERY_GRID),
        backward=matches(QUERY_GRID, SUPPORT_CELLS, SUPPORT_GRID),
        foreground=rng.random(SUPPORT_GRID) < 0.5,
        similarity=rng.random(QUERY_GRID).astype(np.float32),
        confidence=rng.random(QUERY_GRID).astype(np.float32),
        selected=rng.random(QUERY_GRID) < 0.5,
        support_cells=np.asarray(SUPPORT_CELLS, np.int32),
        query_cells=np.asarray(QUERY_CELLS, np.int32),
        aligned=np.asarray(aligned),
    )


def test_cycles_are_those_of_the_padded_grids():
    found = make_explanation(np.random.default_rng(1))
    picture = cycle_picture(make_shown(2, classes=("polar bear",)), found)
    assert picture.title == "polar bear".replace("_", " ")
    assert set(np.unique(picture.support_mask)) == {0, 1}
    expected = []
    for r in range(SUPPORT_CELLS[0]):
        for c in range(SUPPORT_CELLS[1]):
            if found.foreground[r, c]:
                query = divmod(int(found.forward[r, c]), QUERY_GRID[1])
                back = divmod(int(found.backward[query]), SUPPORT_GRID[1])
                expected.append(((r, c), query, back, bool(found.foreground[back])))
    drawn = cycles(picture)
    places = [
        [divmod(int(cell), width) for cell in cells]
        for cells, width in ((drawn.start, 5), (drawn.middle, 3), (drawn.end, 5))
    ]
    assert list(zip(*places, drawn.kept.tolist(), strict=True)) == expected
    assert {kept for *_, kept in expected} == {True, False}
    for name in ("similarity", "confidence", "selected"):
        np.testing.assert_array_equal(getattr(picture, name), getattr(found, name)[:6, :3])


@pytest.mark.parametrize("aligned", [True, False])
def test_where_cells_lie_is_told_to_the_picture(aligned):
    picture = cycle_picture(make_shown(), make_explanation(np.random.default_rng(1), aligned))
    assert picture.aligned is aligned


@pytest.mark.parametrize("known", [True, False])
def test_a_comparison_is_drawn_beside_the_episodes(tmp_path, known):
    found = make_explanation(np.random.default_rng(2))
    shown = replace(make_shown(), explanation=found)
    draw(tmp_path, [shown if known else replace(shown, truth=None), make_shown()], NAMES, "fusion2")
    names = ["branches.png", "cycles.png", "episodes.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with Image.open(tmp_path / "cycles.png") as image:
        assert image.format == "PNG"
