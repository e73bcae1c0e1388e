"""The cache of features: exact, told apart by all that features depend on, and whole whoever is killed."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from fsjax.data.feature_cache import FeatureCache
from fsjax.errors import InputError
from tests.toy import ToySource

REPOSITORY = Path(__file__).parents[2]
SHAPE = (4, 5, 8)
RECORD = 4 * 5 * 8 * 2  # bytes
ASKED = {"backbone": "ab" * 32, "size": 33, "shape": SHAPE}


def opened(folder, source=None, **changes):
    return FeatureCache.open(folder, source or ToySource(), **(ASKED | changes))


def features_of(position, flipped, shape=SHAPE):
    """Made-up features of a photo, exact in float16."""
    rng = np.random.default_rng([position, flipped])
    return rng.integers(-2000, 2000, shape).astype(np.float32) / 4


def stacked(positions, flipped, shape=SHAPE):
    return np.stack([features_of(position, flipped, shape) for position in positions])


@pytest.fixture
def cache(tmp_path):
    return opened(tmp_path / "features")


def files(cache):
    return {path.suffix: path for path in cache.path.parent.iterdir()}


# ---- what is written is read ----


def test_records_come_back_exactly(cache):
    assert cache.shape == SHAPE
    for flipped, positions in ((False, [0, 39, 7]), (True, [7, 8])):
        cache.write(positions, flipped, stacked(positions, flipped))
    for flipped, positions in ((False, [7, 0, 39]), (True, [8, 7])):
        for position in positions:
            found = cache.read(position, flipped)
            assert found.dtype == np.float16
            np.testing.assert_array_equal(found, features_of(position, flipped).astype(np.float16))


def test_the_file_is_laid_out_as_described(cache):
    cache.write([3], True, stacked([3], True))
    content = np.fromfile(cache.path, np.float16).reshape(40, 2, *SHAPE)
    np.testing.assert_array_equal(content[3, 1], features_of(3, True))
    content[3, 1] = 0
    assert not content.any()


def test_float32_is_rounded_and_bfloat16_taken(cache):
    third = np.full((1, *SHAPE), 1 / 3, np.float32)
    cache.write([0], False, third)
    assert (cache.read(0, False) == np.float16(1 / 3)).all()
    bfloat16 = third.astype(np.dtype("bfloat16"))
    cache.write([1], False, bfloat16)
    np.testing.assert_array_equal(cache.read(1, False), bfloat16[0].astype(np.float16))
    every_other = np.arange(2 * RECORD, dtype=np.float16).reshape(1, 4, 5, 8, -1)[..., ::4][..., 0]
    cache.write([2], False, every_other)  # not contiguous
    np.testing.assert_array_equal(cache.read(2, False), every_other[0])


def test_missing_follows_what_is_written(cache):
    assert cache.missing([5, 1, 3], False) == [5, 1, 3]
    cache.write([1], False, stacked([1], False))
    cache.write([5], True, stacked([5], True))
    assert cache.missing([5, 1, 3], False) == [5, 3]
    assert cache.missing([5, 1, 3], True) == [1, 3]
    again = opened(cache.path.parent)
    assert again.missing(range(40), False) == [p for p in range(40) if p != 1]
    with pytest.raises(InputError, match="no features of image 'toy_003'; fill the cache first"):
        cache.read(3, False)
    with pytest.raises(InputError, match="no features of the mirror image of image 'toy_001'"):
        cache.read(1, True)


def test_a_record_never_changes(cache):
    cache.write([4], False, stacked([4], False))
    cache.write([4, 5], False, stacked([14, 5], False))
    np.testing.assert_array_equal(cache.read(4, False), features_of(4, False))
    np.testing.assert_array_equal(cache.read(5, False), features_of(5, False))


def test_without_mirror_images(tmp_path):
    cache = opened(tmp_path, views=1)
    assert cache.path.stat().st_size == 40 * RECORD
    cache.write([39], False, stacked([39], False))
    np.testing.assert_array_equal(cache.read(39, False), features_of(39, False))
    for ask in (cache.read, lambda p, flipped: cache.missing([p], flipped)):
        with pytest.raises(InputError, match="without mirror images; open the cache with views=2"):
            ask(0, True)
    with pytest.raises(InputError, match="views=3 is unknown"):
        opened(tmp_path, views=3)


def test_wrong_calls_change_nothing(cache):
    with pytest.raises(IndexError):
        cache.write([40], False, stacked([40], False))
    with pytest.raises(IndexError):
        cache.read(-1, False)
    with pytest.raises(ValueError, match="records"):
        cache.write([0, 1], False, stacked([0], False))
    assert cache.missing(range(40), False) == list(range(40))
    assert cache.path.stat().st_size == 80 * RECORD


@pytest.mark.parametrize("value", [np.inf, np.nan, 65520.0, -7e4])
def test_what_float16_cannot_hold_is_refused(cache, value):
    features = stacked([0, 1], False)
    features[1, 2, 3, 4] = value
    with pytest.raises(InputError, match="image 'toy_001' are not finite in float16"):
        cache.write([0, 1], False, features)
    assert cache.missing([0, 1], False) == [0, 1]
    features[1, 2, 3, 4] = 65504
    cache.write([0, 1], False, features)
    assert cache.read(1, False).max() == 65504


# ---- whose features they are ----


def changed_source(**fields):
    source = ToySource(n=fields.pop("n", 40))
    for name, value in fields.items():
        setattr(source, name, value)
    return source


@pytest.mark.parametrize(
    "changes",
    [
        {"source": changed_source(name="other")},
        {"source": changed_source(version="1.0.1")},
        {"source": changed_source(split="train")},
        {"source": changed_source(n=39)},
        {"source": changed_source(ids=[f"toy_{p:03d}" for p in reversed(range(40))])},
        {"backbone": "cd" * 32},
        {"size": 41},
        {"shape": (5, 4, 8)},
        {"input": "longside"},
        {"views": 1},
    ],
    ids=lambda changes: "_".join(changes),
)
def test_features_of_something_else_are_other_files(cache, changes):
    cache.write([0], False, stacked([0], False))
    other = opened(cache.path.parent, **changes)
    assert other.path != cache.path
    assert other.missing([0], False) == [0]
    assert opened(cache.path.parent).missing([0], False) == []


def test_the_description_is_for_people(cache):
    assert cache.path.name.startswith("features_test_33_")
    assert set(files(cache)) == {".f16", ".done", ".json"}
    described = json.loads(files(cache)[".json"].read_text())
    expected = {"data_set": "toy", "version": "1.0.0", "split": "test", "images": 40, "size": 33}
    assert described == described | expected | {"backbone": "ab" * 32, "shape": [4, 5, 8], "input": "square"}


def test_files_of_another_key_are_refused(cache):
    path = files(cache)[".json"]
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"backbone": "ef" * 32}))
    with pytest.raises(InputError, match=r"other features than .* delete features_test_33_\w+\.\*"):
        opened(cache.path.parent)
    for content in ("", "[]", "{"):
        path.write_text(content)
        with pytest.raises(InputError, match="delete"):
            opened(cache.path.parent)


@pytest.mark.parametrize("suffix", [".f16", ".done"])
@pytest.mark.parametrize("described", [True, False])
def test_files_cut_short_are_refused(cache, suffix, described):
    path = files(cache)[suffix]
    os.truncate(path, path.stat().st_size - 1)
    if not described:
        files(cache)[".json"].unlink()
    length = path.stat().st_size
    with pytest.raises(InputError, match="not whole"):
        opened(cache.path.parent)
    assert path.stat().st_size == length
    path.unlink()
    if described:
        with pytest.raises(InputError, match="not whole"):
            opened(cache.path.parent)


def test_damage_is_noticed(cache):
    cache.write([0, 1], False, stacked([0, 1], False))
    with cache.path.open("r+b") as file:
        file.seek(2 * RECORD + 17)
        file.write(b"\xff")
    np.testing.assert_array_equal(cache.read(0, False), features_of(0, False))
    with pytest.raises(InputError, match=r"were changed; delete features_test_33_\w+\.\*"):
        cache.read(1, False)
    os.truncate(cache.path, RECORD - 2)  # under an open cache
    with pytest.raises(InputError, match="not whole"):
        cache.read(0, False)
    cache.path.unlink()
    with pytest.raises(InputError, match="not whole"):
        cache.read(0, False)


def test_marks_without_their_features_are_noticed(cache):
    cache.write([0], False, stacked([0], False))
    cache.path.unlink()
    files(cache)[".json"].unlink()
    with pytest.raises(InputError, match="were changed"):
        opened(cache.path.parent).read(0, False)


def test_half_made_files_are_finished(tmp_path):
    whole = opened(tmp_path)
    whole.write([0], False, stacked([0], False))
    files(whole)[".json"].unlink()
    np.testing.assert_array_equal(opened(tmp_path).read(0, False), features_of(0, False))
    for suffix in (".json", ".done"):
        files(whole)[suffix].unlink()
    assert opened(tmp_path).missing([0], False) == [0]


# ---- the disk ----


def test_room_is_asked_for_first(cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * RECORD))
    cache.reserve(3)
    with pytest.raises(InputError, match=r"4 views need 0\.0 GB and '.*features' has 0\.0 GB left"):
        cache.reserve(4)
    large = opened(cache.path.parent, shape=(41, 41, 1536))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 12_345_000_000))
    with pytest.raises(InputError, match=r"20000 views need 103\.3 GB and .* has 12\.3 GB left"):
        large.reserve(20_000)


def test_an_empty_cache_takes_no_room(tmp_path):
    cache = opened(tmp_path, shape=(41, 41, 1536))
    assert cache.path.stat().st_size == 80 * 41 * 41 * 1536 * 2
    assert cache.path.stat().st_blocks * 512 < 1e6


def test_a_disk_that_fills_up_is_reported(cache):
    cache.write([0], False, stacked([0], False))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * RECORD, hard))  # as good as a full disk
    try:
        with pytest.raises(InputError, match=r"cannot be written to '.*features' \(.+\); make room"):
            cache.write([1, 2], False, stacked([1, 2], False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cache.missing([0, 1, 2], False) == [1, 2]
    cache.write([1, 2], False, stacked([1, 2], False))
    np.testing.assert_array_equal(cache.read(2, False), features_of(2, False))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to '.*folder' .*name a folder that can"):
        opened(tmp_path / "file" / "folder")


def test_reading_needs_no_right_to_write(cache, monkeypatch):
    cache.write([0], False, stacked([0], False))
    folder, plain = cache.path.parent, Path.open

    def read_only(path, mode="r", *arguments, **more):
        if set(mode) & set("wax+"):
            raise PermissionError(13, "Permission denied")
        return plain(path, mode, *arguments, **more)

    monkeypatch.setattr(Path, "open", read_only)  # the tests may run as root, who may write everywhere
    again = opened(folder)
    again.reserve(len(again.missing([0], False)))
    np.testing.assert_array_equal(again.read(0, False), features_of(0, False))
    for refused in (
        lambda: again.reserve(1),
        lambda: again.write([1], False, stacked([1], False)),
        lambda: opened(folder, size=7),
    ):
        with pytest.raises(InputError, match=r"cannot be written to '.*features' \(Permission denied\)"):
            refused()


# ---- processes ----


def test_a_pickled_cache_reads_and_writes(cache):
    cache.write([0], False, stacked([0], False))
    sent = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(sent.read(0, False), features_of(0, False))
    sent.write([1], True, stacked([1], True))
    np.testing.assert_array_equal(cache.read(1, True), features_of(1, True))
    assert len(pickle.dumps(cache)) < 5000


# Fills a cache, three photos at a time, with features_of + offset. It kills itself instead of bringing a
# file to the disk for the stop-th time, those of the data being even; with stop=-1 it waits to be killed.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from fsjax.data import feature_cache
from tests.data.test_feature_cache import LARGE, opened, stacked

ready, offset, stop = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
to_disk, calls = feature_cache._to_disk, 0

def counted(file):
    global calls
    if calls == stop:
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1
    to_disk(file)

feature_cache._to_disk = counted
ready.touch()
while not (ready.parent / "go").exists():
    time.sleep(0.001)
cache = opened(ready.parent / "features", shape=LARGE)
for flipped in (False, True):
    for first in range(0, 40, 3):
        chunk = list(range(first, min(first + 3, 40)))
        cache.write(chunk, flipped, stacked(chunk, flipped, LARGE) + offset)
if stop == -1:
    signal.pause()
"""
LARGE, NEVER = (21, 21, 96), 1000


@pytest.fixture
def start(tmp_path):
    """Starts the script; the processes wait for the file "go"."""
    (tmp_path / "script.py").write_text(SCRIPT)
    running = []

    def run(*, offset=0, stop):
        ready = tmp_path / f"ready{len(running)}"
        command = [sys.executable, tmp_path / "script.py", ready, str(offset), str(stop)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def go(folder, count):
    """Lets `count` processes go as soon as all are ready."""
    wait_for(lambda: len(list(folder.glob("ready*"))) == count)
    (folder / "go").touch()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing came in a minute"
        time.sleep(0.002)


def check_and_fill(cache):
    """Returns how many records are there, all of them right; then fills the rest."""
    there = 0
    for flipped in (False, True):
        missing = cache.missing(range(40), flipped)
        for position in sorted(set(range(40)) - set(missing)):
            expected = features_of(position, flipped, LARGE)
            np.testing.assert_array_equal(cache.read(position, flipped), expected)
            there += 1
        for position in missing:
            with pytest.raises(InputError, match="fill the cache first"):
                cache.read(position, flipped)
        cache.write(missing, flipped, stacked(missing, flipped, LARGE))
    return there


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    cache = opened(tmp_path_factory.mktemp("whole"), shape=LARGE)
    for flipped in (False, True):
        cache.write(range(40), flipped, stacked(range(40), flipped, LARGE))
    return cache


def same_files(cache, other):
    return all(files(cache)[kind].read_bytes() == path.read_bytes() for kind, path in files(other).items())


@pytest.mark.parametrize(("stop", "least", "most"), [(-1, 1, 80), (0, 0, 0), (8, 12, 12), (9, 12, 15)])
def test_a_killed_writer_leaves_nothing_wrong(tmp_path, start, uninterrupted, stop, least, most):
    """Killed at any moment (-1), with data (0, 8) and with marks (9) on their way to the disk."""
    process = start(stop=stop)
    go(tmp_path, 1)
    if stop == -1:
        done = tmp_path / "features" / uninterrupted.path.with_suffix(".done").name
        wait_for(lambda: done.exists() and np.fromfile(done, np.uint32).any())
        process.kill()
    assert process.wait(60) == -signal.SIGKILL, process.stderr.read()
    cache = opened(tmp_path / "features", shape=LARGE)
    assert least <= check_and_fill(cache) <= most
    assert same_files(cache, uninterrupted)


def test_two_writers_at_once(tmp_path, start):
    """Each record is one writer's, whole, though the two disagree (as two kinds of GPU may)."""
    writers = [start(offset=offset, stop=NEVER) for offset in (0, 0.25)]
    go(tmp_path, 2)
    for writer in writers:
        assert writer.wait(60) == 0, writer.stderr.read()
    cache = opened(tmp_path / "features", shape=LARGE)
    for flipped in (False, True):
        assert cache.missing(range(40), flipped) == []
        for position in range(40):
            difference = cache.read(position, flipped) - features_of(position, flipped, LARGE)
            assert np.unique(difference).tolist() in ([0], [0.25])


def test_the_cache_needs_no_jax():
    code = "import sys, fsjax.data.feature_cache; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
