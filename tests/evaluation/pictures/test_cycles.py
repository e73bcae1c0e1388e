"""The cycles shown against plain loops; the sheets open, and show what they were given."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fsjax.evaluation.pictures import cycles as module
from fsjax.evaluation.pictures.cycles import CyclePicture, Cycles, centers, cycle_sheet, cycles, sample

GREEN, WHITE = (0, 200, 0), (255, 255, 255)


def make_picture(
    support=(321, 321),
    query=(321, 321),
    support_cells=(41, 41),
    query_cells=(41, 41),
    foreground=None,
    seed=0,
):
    """A disk on grey before green, matched at random; `foreground` are the support's foreground cells."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: support_cells[0], : support_cells[1]]
    if foreground is None:
        foreground = np.hypot(y - support_cells[0] / 2, x - support_cells[1] / 2) < 0.3 * min(support_cells)
    rows = np.arange(support[0]) * support_cells[0] // support[0]
    columns = np.arange(support[1]) * support_cells[1] // support[1]
    matched = rng.choice(np.flatnonzero(foreground), query_cells)
    unmatched = rng.choice(np.flatnonzero(~foreground), query_cells)
    return CyclePicture(
        title="disk",
        support=np.full((*support, 3), 128, np.uint8),
        support_mask=foreground[np.ix_(rows, columns)].astype(np.uint8),
        query=np.broadcast_to(np.uint8(GREEN), (*query, 3)).copy(),
        truth=np.zeros((50, 60), np.uint8),
        forward=rng.integers(0, query_cells[0] * query_cells[1], foreground.size),
        backward=np.where(rng.random(query_cells) < 0.6, matched, unmatched),
        foreground=foreground,
        similarity=rng.uniform(0.3, 0.8, query_cells).astype(np.float32),
        confidence=rng.random(query_cells).astype(np.float32),
        selected=np.zeros(query_cells, bool),
        aligned=True,
    )


def opened(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def near(pixels, color, within=24):
    color = 255 * np.asarray(to_rgb(color)) if isinstance(color, str) else np.asarray(color)
    return np.abs(pixels.astype(float) - color).max(axis=-1) < within


def test_cycles_are_those_of_a_loop():
    picture = make_picture(support=(41, 61), query=(33, 25), support_cells=(6, 8), query_cells=(5, 4))
    expected = []
    for r in range(6):
        for c in range(8):
            if picture.foreground[r, c]:
                j = int(picture.forward[8 * r + c])
                i = int(picture.backward[j // 4, j % 4])
                expected.append((8 * r + c, j, i, bool(picture.foreground[i // 8, i % 8])))
    found = cycles(picture)
    assert list(zip(*(values.tolist() for values in found), strict=True)) == expected
    assert set(found.kept.tolist()) == {True, False}


def test_forward_matches_of_the_background_are_not_looked_at():
    picture = make_picture()
    strange = np.where(picture.foreground.ravel(), picture.forward, -(10**9))
    for first, second in zip(cycles(picture), cycles(replace(picture, forward=strange)), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("total", "kept"), [(100, 1), (100, 99), (100, 50), (100, 0), (100, 100), (24, 9), (1, 0)]
)
def test_sample_has_both_kinds_in_their_proportion(total, kept):
    rng = np.random.default_rng(total + kept)
    cells = np.sort(rng.choice(41 * 41, total, replace=False))
    is_kept = rng.permutation(np.arange(total) < kept)
    found = Cycles(cells, rng.permutation(total), rng.permutation(total), is_kept)

    shown = sample(found, (41, 41))

    assert len(shown.start) == min(total, 24)
    assert abs(shown.kept.sum() - kept * len(shown.start) / total) <= 1
    assert shown.kept.any() == (kept > 0)
    assert shown.kept.all() == (kept == total)
    every = list(zip(*(values.tolist() for values in found), strict=True))
    some = list(zip(*(values.tolist() for values in shown), strict=True))
    assert some == [cycle for cycle in every if cycle in set(some)]
    assert len(set(some)) == len(some)


def test_sample_leaves_no_part_of_the_foreground_out():
    y, x = np.divmod(np.arange(40 * 40), 40)
    nothing = np.zeros(1600, int)
    shown = sample(Cycles(np.arange(1600), nothing, nothing, np.ones(1600, bool)), (40, 40))
    gaps = np.hypot(y[:, None] - y[shown.start], x[:, None] - x[shown.start]).min(axis=1)
    assert gaps.max() < 10  # 24 cells on a lattice: 6; one random draw in a thousand: 12
    between = np.hypot(*(values[shown.start][:, None] - values[shown.start] for values in (y, x)))
    assert between[~np.eye(24, dtype=bool)].min() > 4


def test_centers_of_the_outermost_cells_are_the_outermost_pixels():
    x, y = centers(np.asarray([0, 40, 41, 41 * 41 - 1]), (41, 41), (321, 321), aligned=True)
    np.testing.assert_allclose(x, [0, 320, 0, 320])
    np.testing.assert_allclose(y, [0, 0, 8, 320])
    x, y = centers(np.asarray([0, 2, 4]), (2, 3), (11, 41), aligned=True)
    np.testing.assert_allclose(x, [0, 40, 20])
    np.testing.assert_allclose(y, [0, 0, 10])
    x, y = centers(np.asarray([0, 1]), (1, 2), (1, 9), aligned=True)
    np.testing.assert_allclose((x, y), [[0, 8], [0, 0]])


def test_centers_of_half_pixel_cells_are_those_of_equal_parts():
    x, y = centers(np.asarray([0, 1, 7]), (2, 4), (32, 64), aligned=False)
    np.testing.assert_allclose(x, [7.5, 23.5, 55.5])  # pixels 0 to 15, 16 to 31, 48 to 63
    np.testing.assert_allclose(y, [7.5, 7.5, 23.5])
    rows, columns = np.divmod(np.arange(21 * 28), 28)
    owner = rows // 7 * 4 + columns // 7  # of each pixel, its cell of 3 x 4
    x, y = centers(np.arange(12), (3, 4), (21, 28), aligned=False)
    np.testing.assert_allclose(y, [rows[owner == cell].mean() for cell in range(12)])
    np.testing.assert_allclose(x, [columns[owner == cell].mean() for cell in range(12)])
    np.testing.assert_allclose(centers(np.asarray([0]), (1, 1), (5, 9), aligned=False), [[4], [2]])


def test_sheet_is_written_whole_and_grows_with_episodes(tmp_path):
    one, two = tmp_path / "folder" / "one.png", tmp_path / "folder" / "two.png"
    cycle_sheet(one, [make_picture()])
    cycle_sheet(two, [make_picture(), make_picture(seed=1)])
    height, width = opened(one).shape[:2]
    assert width > 3.5 * height
    assert 1.6 * height < opened(two).shape[0] < 2 * height
    assert opened(two).shape[1] == width
    assert 10_000 < one.stat().st_size < two.stat().st_size < 2_000_000
    assert sorted(path.name for path in one.parent.iterdir()) == ["one.png", "two.png"]


def test_failed_sheet_leaves_the_old_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def fail(figure, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        cycle_sheet(path, [make_picture()])
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("sheet.png", b"old")]


def test_lines_have_the_colors_of_the_cycles_there_are(tmp_path):
    both = make_picture()
    start = np.flatnonzero(both.foreground)
    for name, end, present in (("kept", start[0], True), ("rejected", 0, False)):
        path = tmp_path / f"{name}.png"
        cycle_sheet(path, [replace(both, backward=np.full_like(both.backward, end))])
        pixels = opened(path)
        photos = pixels[: int(0.8 * len(pixels)), : int(0.4 * pixels.shape[1])]  # without legend and maps
        assert near(photos, module.KEPT).any() == present
        assert near(photos, module.REJECTED).any() != present


def extent(is_photo):
    """Left, right, top and bottom pixel of the leftmost photo."""
    columns = np.flatnonzero(is_photo.sum(axis=0) > 100)
    columns = columns[: np.flatnonzero(np.diff(columns, append=10**6) > 10)[0] + 1]
    rows = np.flatnonzero(is_photo[:, columns].sum(axis=1) > 100)
    return columns[0], columns[-1], rows[0], rows[-1]


def test_single_foreground_cell_joins_the_right_places(tmp_path):
    foreground = np.zeros((41, 41), bool)
    foreground[10, 30] = True
    forward, backward = np.full(41 * 41, 41 * 30 + 20), np.full((41, 41), 41 * 36 + 6)
    path = tmp_path / "sheet.png"
    cycle_sheet(path, [replace(make_picture(foreground=foreground), forward=forward, backward=backward)])

    pixels = opened(path)
    orange = near(pixels, module.REJECTED, 40)
    pale = near(pixels, [0.55 * 128 + 0.45 * 255] * 3, 3)
    for is_photo, cells in ((pale, [(10, 30), (36, 6)]), (near(pixels, GREEN, 3), [(30, 20)])):
        left, right, top, bottom = extent(is_photo)
        for row, column in cells:
            y = round(top + (bottom - top) * row / 40)
            x = round(left + (right - left) * column / 40)
            assert orange[y - 8 : y + 9, x - 8 : x + 9].sum() > 15
    y, x = np.nonzero(orange[top : bottom + 1, left : right + 1])  # the query's part
    assert x.max() / (right - left) == pytest.approx(20 / 40, abs=0.03)  # both lines end at Q1
    crossing = y[x < 3] / (bottom - top) * 40
    assert crossing.min() < 25  # one comes from S1 above
    assert crossing.max() > 31  # and one from S2 below


def test_photos_of_different_shapes_keep_theirs(tmp_path):
    path = tmp_path / "sheet.png"
    picture = make_picture(support=(161, 321), query=(241, 121), support_cells=(21, 41), query_cells=(31, 16))
    cycle_sheet(path, [replace(picture, selected=np.ones((31, 16), bool))])
    pixels = opened(path)
    green = near(pixels, GREEN, 3)
    columns, rows = np.flatnonzero(green.sum(axis=0) > 50), np.flatnonzero(green.sum(axis=1) > 50)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height > 0.6 * len(pixels)
    assert height / width == pytest.approx(241 / 121, rel=0.03)


@pytest.mark.parametrize("aligned", [True, False])
def test_selected_cells_are_tinted_where_they_are(tmp_path, aligned):
    path = tmp_path / "sheet.png"
    selected = np.zeros((11, 11), bool)
    selected[2:5, 6:11] = True
    picture = make_picture(query_cells=(11, 11))
    cycle_sheet(path, [replace(picture, selected=selected, aligned=aligned)])
    pixels = opened(path)
    last = pixels[:, int(0.8 * pixels.shape[1]) :]
    tint = 0.7 * 255 * np.asarray(to_rgb(module.SELECTED)) + 0.3 * np.asarray(GREEN)
    tinted, green = near(last, tint, 8), near(last, GREEN, 3)
    rows, columns = np.nonzero(tinted | green)
    top, left, side = rows.min(), columns.min(), np.ptp(rows) + 1
    y, x = np.nonzero(tinted)
    found = np.asarray([y.min() - top, y.max() + 1 - top, x.min() - left, x.max() + 1 - left]) / side
    edges = np.asarray([2, 5, 6, 11])
    expected = np.minimum(32 * edges - 16 + 0.5, 321) / 321 if aligned else edges / 11
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("value", [-np.inf, 0.5])
def test_no_foreground_cell_and_one_value_everywhere(tmp_path, value):
    path = tmp_path / "sheet.png"
    picture = replace(make_picture(), foreground=np.zeros((41, 41), bool))
    cycle_sheet(path, [replace(picture, similarity=np.full((41, 41), value, np.float32))])
    pixels = opened(path)
    assert not near(pixels[: int(0.8 * len(pixels))], module.KEPT).any()
