"""The embedded benchmark: what its classes share and do not share, and that it is what it says."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import shapes
from datasets.prepared import place_of
from datasets.shapes import outlines, textures
from datasets.shapes.drawing import VISIBLE_PIXELS, fill
from fsjax import config
from fsjax.errors import InputError
from fsjax.files import claimed

ALL = range(1, 21)


@pytest.fixture(scope="module")
def sample():
    """Some pictures of the test split with their labels."""
    return [shapes.draw_example("test", i) for i in range(160)]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The configuration of a benchmark of ten pictures."""
    monkeypatch.setattr(shapes, "SPLITS", {"train": 6, "test": 4})
    data = config.default().data
    data.name, data.tfds_dir = "shapes", str(tmp_path / "built")
    return data


def test_a_picture_is_a_pure_function_of_its_split_and_number():
    first, labels = shapes.draw_example("train", 3)
    shapes.draw_example("train", 4)
    again, labels_again = shapes.draw_example("train", 3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, labels_again)
    other, _ = shapes.draw_example("test", 3)
    assert other.shape != first.shape or np.any(other != first)


def test_no_family_belongs_to_two_classes():
    classes = [entry for fold in shapes.FOLDS for entry in fold]
    assert [len(fold) for fold in shapes.FOLDS] == [5, 5, 5, 5]
    for column in range(3):  # name, outline, texture
        assert len({entry[column] for entry in classes}) == 20
    assert sorted(c for fold in shapes.FOLD_IDS for c in fold) == list(range(1, 21))
    for fold, ids in zip(shapes.FOLDS, shapes.FOLD_IDS, strict=True):
        assert [shapes.CLASS_NAMES[c - 1] for c in ids] == [name for name, *_ in fold]
        assert [shapes.FAMILIES[c - 1].texture for c in ids] == [texture for *_, texture, _ in fold]


def test_pictures_have_the_sizes_and_objects_that_are_promised(sample):
    counts = []
    for image, labels in sample:
        assert image.dtype == labels.dtype == np.uint8
        assert image.shape == (*labels.shape, 3)
        assert 128 <= min(labels.shape) <= 176
        assert max(labels.shape) <= 1.51 * min(labels.shape)
        areas = np.bincount(labels.ravel(), minlength=256)
        assert not areas[21:255].any()
        assert areas[255] > 0
        shown = np.flatnonzero(areas[1:21])
        assert (areas[1:21][shown] >= VISIBLE_PIXELS).all()
        counts.append(len(shown))
    assert set(counts) == {1, 2, 3}
    assert np.mean(np.array(counts) >= 2) > 0.85


def test_void_separates_every_two_labels(sample):
    for _, labels in sample[:40]:
        for one, next_to_it in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
            assert np.all((one == next_to_it) | (one == 255) | (next_to_it == 255))


def test_any_object_is_a_poor_answer(sample):
    shared = np.zeros((20, 2))
    for _, labels in sample:
        objects = (labels > 0) & (labels < 255)
        for c in np.unique(labels[objects]):
            shared[c - 1] += np.sum(labels == c), np.sum(objects)
    assert 100 * np.mean(shared[:, 0] / shared[:, 1]) <= 45


@pytest.mark.parametrize("clue", ["colour", "place"])
def test_colour_and_place_do_not_tell_classes_apart(sample, clue):
    points, classes = [], []
    for image, labels in sample:
        for c in np.unique(labels[(labels > 0) & (labels < 255)]):
            inside = labels == c
            place = np.argwhere(inside).mean(axis=0) / labels.shape
            points.append(image[inside].mean(axis=0) if clue == "colour" else place)
            classes.append(c)
    points, classes = np.array(points), np.array(classes)
    hits = 0
    for i in range(len(points)):  # the nearest class mean of all other objects
        others = np.arange(len(points)) != i
        means = np.stack([points[others & (classes == c)].mean(axis=0) for c in range(1, 21)])
        hits += np.argmin(np.linalg.norm(means - points[i], axis=1)) + 1 == classes[i]
    assert hits / len(points) < 0.12  # chance is 0.05


@pytest.mark.parametrize("family", shapes.FAMILIES, ids=shapes.CLASS_NAMES)
def test_an_outline_fits_the_unit_disk_and_fills_much_of_it(family):
    corners = family.outline()
    assert corners.ndim == 2
    assert np.linalg.norm(corners, axis=1).max() < 1.1
    assert 0.7 < fill(50 * corners + 60, (120, 120)).alpha.sum() / 50**2 < 2.3


@pytest.mark.parametrize("family", shapes.FAMILIES, ids=shapes.CLASS_NAMES)
def test_a_texture_alternates_within_a_few_periods(family):
    u, v = np.meshgrid(*2 * [np.arange(-3, 3, 0.05, dtype=np.float32)])
    ink = np.asarray(family.texture(u, v, np.random.default_rng(1)), np.float32)
    assert ink.shape == u.shape
    assert ink.min() >= 0
    assert ink.max() <= 1
    for quarter in (ink[:60, :60], ink[:60, 60:], ink[60:, :60], ink[60:, 60:]):
        assert 0.1 < quarter.mean() < 0.9
        assert quarter.std() > 0.15


def test_textures_of_the_grid_repeat_with_their_period():
    u, v = np.meshgrid(*2 * [np.arange(-3, 3, 0.1, dtype=np.float32) + np.float32(0.03)])
    for texture in (textures.grid, textures.stripes, textures.triangles, textures.scales, textures.hexagons):
        ink = [np.asarray(texture(u + shift, v, np.random.default_rng(2)), float) for shift in (0, 1)]
        assert np.mean(ink[0] != ink[1]) < 0.02


def test_fill_covers_what_a_polygon_covers():
    square = np.array([[2.5, 3.0], [7.5, 3.0], [7.5, 6.0], [2.5, 6.0]])
    frame = np.zeros((10, 12))
    shape = fill(square, frame.shape)
    frame[shape.window] = shape.alpha
    expected = np.zeros((10, 12))
    expected[3:6, 3:7] = 1
    expected[3:6, [2, 7]] = 0.5
    np.testing.assert_allclose(frame, expected, atol=0.3)  # edges are smooth, to a quarter of a pixel
    np.testing.assert_allclose(frame.sum(), 15, rtol=0.1)


def test_fill_leaves_holes_and_the_frame_open():
    shape = fill(40 * outlines.ring() + 50, (100, 60))
    frame = np.zeros((100, 60), np.float32)
    frame[shape.window] = shape.alpha
    radius = np.hypot(np.arange(100)[:, None] - 49.5, np.arange(60)[None] - 49.5) / 40
    assert np.all(frame[(radius < 0.42) | (radius > 0.96)] == 0)
    assert np.all(frame[(radius > 0.49) & (radius < 0.9)] == 1)


def test_a_built_benchmark_gives_back_what_was_drawn(small, caplog, capsys):
    with caplog.at_level(logging.INFO, "datasets"):
        splits = datasets.load(small)
        assert datasets.load(small)["test"].ids == splits["test"].ids
    said = [record.getMessage() for record in caplog.records if record.name.startswith("datasets")]
    assert len(said) == 1
    assert "Drawing the data set shapes in" in said[0]
    assert capsys.readouterr().out == ""
    assert {split: len(source.ids) for split, source in splits.items()} == shapes.SPLITS
    source = pickle.loads(pickle.dumps(splits["test"]))
    assert (source.name, source.version, source.title) == ("shapes", "1.1.0", "shapes")
    assert source.split == "test"
    assert source.ids[2] == "test_00002"
    assert source.cache_dir.is_dir()
    for i in range(4):
        image, labels = shapes.draw_example("test", i)
        np.testing.assert_array_equal(source.mask(i, ALL, None), labels)
        assert source.image(i).dtype == np.uint8
        assert np.abs(source.image(i).astype(int) - image).mean() < 12  # JPEG
        assert source.size(i) == labels.shape
        areas = source.areas(i)
        assert areas.dtype == np.int32
        assert areas.tolist() == [np.sum(labels == c) for c in range(1, 21)]


def test_a_damaged_record_is_named(small):
    source = datasets.load(small)["test"]
    (records,) = source.cache_dir.glob("*.array_record*")
    content = bytearray(records.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    records.write_bytes(content)
    with pytest.raises(
        InputError, match=r"array_record.* is damaged \(image test_0000\d cannot be read\): delete"
    ):
        [source.image(i) for i in range(4)]


@pytest.mark.parametrize("name", ["metadata.json", "dataset_info.json", "photos-photos.array_record-00000"])
def test_a_damaged_file_is_drawn_anew(small, name, caplog):
    place = datasets.load(small)["test"].cache_dir
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    path = place / name
    path.write_bytes(path.read_bytes()[:-9])
    assert datasets.load(small)["test"].mask(3, ALL, None).any()
    assert {path.name: path.read_bytes() for path in place.iterdir()} == whole
    assert f"{name} in {place} is damaged" in caplog.text or "dataset_info.json or" in caplog.text


def test_of_several_processes_one_draws_and_the_others_wait(small, monkeypatch, caplog):
    monkeypatch.setattr(shapes, "WAIT", 0.01)
    place = place_of(Path(small.tfds_dir), "shapes")
    with ThreadPoolExecutor() as pool:
        with claimed(place.parent):
            loading = pool.submit(datasets.load, small)
            while "waiting" not in caplog.text:
                assert not loading.done()
        assert len(loading.result()["test"].ids) == 4


def test_an_unknown_data_set_is_named(small):
    datasets.load(small)
    small.name = "shape"
    with pytest.raises(
        InputError, match=r"There is no data set shape in .*built \(there is shapes\): prepare it"
    ):
        datasets.load(small)
