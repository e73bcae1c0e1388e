"""The pictures are looked at by people; here: they open, and show what they were given."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fsjax.evaluation.pictures.figures import WAY_COLORS, Picture, episode_sheet, learning_curve


def disk(height, width, label, place=0.5):
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - place * height, x - place * width) < 0.3 * height
    return np.where(inside, label, 0).astype(np.uint8)


def make_picture(ways, mask_scale=1, title="disk"):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    truth = disk(24 * mask_scale, 32 * mask_scale, 1)
    truth[:3] = 255
    supports = [(photo[:20], disk(20, 32, way)) for way in range(1, ways + 1)]
    empty, full = np.zeros_like(truth), np.full_like(truth, ways)
    predictions = {"fusion 0": empty, "fusion 1": full, "fusion 2": np.where(truth == 255, 0, truth)}
    return Picture(title, supports, photo, truth, rng.random((6, 8)), predictions)


def opened(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_color(pixels, name, within=40):
    color = 255 * np.asarray(to_rgb(name))
    return (np.abs(pixels.astype(float) - color).max(axis=-1) < within).any()


def test_sheet_grows_with_episodes_and_columns(tmp_path):
    one, two, two_way = (tmp_path / f"{name}.png" for name in ("one", "two", "two_way"))
    episode_sheet(one, [make_picture(1)])
    episode_sheet(two, [make_picture(1)] * 2)
    episode_sheet(two_way, [make_picture(2, title="cat\ndog")])
    height, width = opened(one).shape[:2]
    assert opened(two).shape[0] > 1.5 * height
    assert opened(two).shape[1] == width
    assert opened(two_way).shape[1] > width
    assert len(np.unique(opened(one).reshape(-1, 3), axis=0)) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png", "two_way.png"]


def test_each_way_has_its_colour(tmp_path):
    path = tmp_path / "sheet.png"
    episode_sheet(path, [make_picture(2)])
    pixels = opened(path)
    assert has_color(pixels, WAY_COLORS[0])
    assert has_color(pixels, WAY_COLORS[1])


def test_labels_may_be_larger_than_their_photo(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    episode_sheet(small, [make_picture(1)])
    episode_sheet(large, [make_picture(1, mask_scale=3)])
    assert opened(small).shape == opened(large).shape


@pytest.mark.parametrize("records", [1, 100])
def test_learning_curve(tmp_path, records):
    path = tmp_path / "curve.png"
    lines = [{"step": i, "loss": 1 / (1 + i), "learning_rate": 0.1} for i in range(records)]
    learning_curve(path, lines)
    assert len(np.unique(opened(path).reshape(-1, 3), axis=0)) > 30
