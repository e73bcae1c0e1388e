"""The class index: exact, kept, checked when it is read, and lean."""

import logging
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from fsjax.data.index import ClassIndex, build_index
from fsjax.data.source import LISTED, SHRINKS
from tests.toy import ToySource


def index_of(areas):
    areas = np.array(areas, np.int32)
    flags = np.full(areas.shape, LISTED | SHRINKS, np.uint8)
    ids, sizes = [f"i{p}" for p in range(len(areas))], np.full((len(areas), 2), 9, np.int32)
    return ClassIndex(ids, areas, flags, sizes)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index(ToySource(tmp_path_factory.mktemp("cache")))


def test_index_counts_every_pixel(index):
    source = ToySource()
    for position in (0, 1, 17, 39):
        labels = source.labels(position)
        counts = [sum(int(label == c) for label in labels.ravel()) for c in range(1, 7)]
        assert index.areas[position].tolist() == counts
        assert index.sizes[position].tolist() == list(labels.shape)
    assert index.areas.dtype == index.sizes.dtype == np.int32


class Unscannable(ToySource):
    """Fails when it is scanned."""

    def areas(self, position):
        raise AssertionError("scanned again")


def test_index_is_kept_and_follows_the_data(tmp_path):
    first = build_index(ToySource(tmp_path))
    again = build_index(Unscannable(tmp_path))
    np.testing.assert_array_equal(first.areas, again.areas)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]

    fewer = build_index(ToySource(tmp_path, n=30))
    assert len(fewer.areas) == 30
    newer = ToySource(tmp_path, n=30, seed=1)
    newer.version = "1.0.1"
    assert (build_index(newer).areas != fewer.areas).any()


def test_index_splits_do_not_meet(tmp_path):
    build_index(ToySource(tmp_path))
    other = Unscannable(tmp_path)
    other.split = "train"
    with pytest.raises(AssertionError, match="scanned again"):
        build_index(other)


def test_index_survives_a_broken_or_unwritable_cache(tmp_path):
    expected = build_index(ToySource(tmp_path)).areas
    (path,) = tmp_path.iterdir()
    intact = path.read_bytes()
    flipped = [intact[:at] + bytes([intact[at] ^ 0xFF]) + intact[at + 1 :] for at in range(0, len(intact), 7)]
    for content in (b"", b"no archive", intact[:100], *flipped):
        path.write_bytes(content)
        np.testing.assert_array_equal(build_index(ToySource(tmp_path)).areas, expected)
    np.testing.assert_array_equal(build_index(ToySource(path / "below_a_file")).areas, expected)


def test_what_counts_for_a_class():
    flags = [[3, 3], [3, 3], [1, 2], [2, 3]]
    index = replace(index_of([[4, 0], [5, 0], [6, 1], [9, 9]]), flags=np.array(flags, np.uint8))

    def counted(rule):
        return [np.flatnonzero(column).tolist() for column in index.counts(rule).T]

    assert counted(5) == [
        [1, 2],
        [3],
    ]  # photo 3 is listed for the second class alone
    assert counted(0) == [[0, 1, 2], [3]]  # a class that is absent never counts
    assert counted("oslsm") == [[0, 1], [3]]


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept | {"areas": kept["areas"][:-1]},
        lambda kept: kept | {"areas": kept["areas"][:, 1:]},
        lambda kept: kept | {"areas": kept["areas"].astype(np.float32)},
        lambda kept: kept | {"sizes": kept["sizes"].astype(np.int64)},
        lambda kept: kept | {"sizes": kept["sizes"].T},
        lambda kept: kept | {"flags": kept["flags"][1:]},
        lambda kept: kept | {"flags": kept["flags"].astype(np.int32)},
        lambda kept: kept | {"digest": np.array("0" * 64)},
        lambda kept: {"digest": kept["digest"], "areas": kept["areas"]},
    ],
)
def test_what_is_kept_is_checked(tmp_path, change):
    expected = build_index(ToySource(tmp_path))
    (path,) = tmp_path.iterdir()
    with np.load(path) as kept:
        np.savez(path, **change(dict(kept)))
    again = build_index(ToySource(tmp_path))
    np.testing.assert_array_equal(again.areas, expected.areas)
    np.testing.assert_array_equal(again.flags, expected.flags)
    np.testing.assert_array_equal(again.sizes, expected.sizes)
    assert again.areas.dtype == again.sizes.dtype == np.int32


class Many(ToySource):
    """As many photos and classes as COCO has, without the photos."""

    class_names = tuple(f"class {c}" for c in range(80))

    def __init__(self, cache_dir, n):
        super().__init__(cache_dir, n=0)
        self.ids = [f"{position:012d}" for position in range(n)]

    def size(self, position):
        return 480, 640 + position % 3

    def areas(self, position):
        areas = np.zeros(80, np.int32)
        areas[position % 80] = position
        return areas

    def eligible(self, position):
        return np.full(80, LISTED, np.uint8)


def test_progress_is_shown_and_what_was_counted_is_kept(tmp_path, caplog):
    source = Many(tmp_path, 3000)
    with caplog.at_level(logging.INFO):
        index = build_index(source)
    positions = np.arange(3000)
    np.testing.assert_array_equal(index.areas[positions, positions % 80], positions)
    assert index.sizes[[0, 1, 2]].tolist() == [[480, 640], [480, 641], [480, 642]]
    assert "class index of toy test: 3000 of 3000 photos" in caplog.text
    assert np.count_nonzero(build_index(source).areas) == 2999  # read back


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    source = Many(tmp_path, 120_000)  # whose ids alone are 8 MB
    tracemalloc.start()
    try:
        index = build_index(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = index.areas.nbytes + index.flags.nbytes + index.sizes.nbytes
    assert peak - kept < 20e6  # a list of small arrays takes 56 MB


def test_a_pipe_in_its_place_is_replaced(tmp_path):
    expected = build_index(ToySource(tmp_path))
    (path,) = tmp_path.iterdir()
    path.unlink()
    os.mkfifo(path)
    np.testing.assert_array_equal(build_index(ToySource(tmp_path)).areas, expected.areas)
    assert path.is_file()
