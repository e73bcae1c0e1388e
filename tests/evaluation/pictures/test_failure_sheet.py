"""The picture of failures opens, whatever there is to show."""

import numpy as np
import pytest
from PIL import Image

from fsjax.evaluation.failures import find_cases, group
from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.failure_sheet import MOST, _ranked, failure_sheet
from tests.evaluation.test_paired import POLICY, episode


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)


def analysed(classes, episodes, counted=False):
    rng = np.random.default_rng(0)
    shown = [
        episode(f"q{i}", int(rng.integers(0, 90)), 30, index=i, class_id=1 + i % classes)
        for i in range(episodes)
    ]
    if counted:
        shown = [r | {"parts": [[1 + r["index"] % 6]], "labelled": [1 + r["index"] % 3]} for r in shown]
    names = {i: f"class_number_{i}" for i in range(1, classes + 1)}
    cases = find_cases(shown, names, **POLICY)
    return cases, group(cases, list(names.values()))


def draw(path, *arguments, **options):
    failure_sheet(path, "shapes, fusion2", *analysed(*arguments, **options))
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 30
    return pixels


def test_the_picture_grows_with_what_is_known(tmp_path):
    few = draw(tmp_path / "few.png", 3, 20)
    more = draw(tmp_path / "more.png", 3, 20, counted=True)
    many = draw(tmp_path / "many.png", 26, 60, counted=True)
    assert len(few) < len(more) < len(many)
    assert few.shape[1] == more.shape[1] == many.shape[1]


def test_one_episode_is_enough(tmp_path):
    draw(tmp_path / "one.png", 1, 1, counted=True)


@pytest.mark.parametrize("classes", [5, MOST, MOST + 3])
def test_classes_are_ranked_and_only_the_ends_of_many_are_drawn(classes):
    _, groups = analysed(classes, 3 * classes)
    ious = sorted(one.iou for one in groups["class"])
    drawn = [None if one is None else one.iou for one in _ranked(groups["class"])]
    half = MOST // 2
    assert drawn == (ious if classes <= MOST else [*ious[:half], None, *ious[-half:]])


def test_classes_that_never_occur_have_no_point_but_a_name(tmp_path):
    cases, groups = analysed(3, 1)
    assert [one.iou is None for one in _ranked(groups["class"])] == [True, True, False]
    failure_sheet(tmp_path / "some.png", "one of three", cases, groups)
    assert (tmp_path / "some.png").stat().st_size > 5000
