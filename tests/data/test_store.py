"""The store of arrays: exact, within its bound of memory, and whole whatever happens to its files."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from fsjax.data.store import Store
from fsjax.errors import InputError

REPOSITORY = Path(__file__).parents[2]
LAYOUT = {"cells": ((3, 4), "float16"), "flags": ((5,), "bool"), "mean": ((), "float32")}
BYTES = 3 * 4 * 2 + 5 + 4


def made(number=0):
    rng = np.random.default_rng(number)
    return {
        "cells": rng.integers(-99, 99, (3, 4)).astype(np.float16),
        "flags": rng.random(5) < 0.5,
        "mean": np.array(rng.random(), np.float32),
    }


def assert_same(found, expected):
    assert found is not None
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found[name], array)


def files(folder):
    return sorted(path for path in folder.rglob("*.safetensors*") if path.is_file())


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


# ---- what is put is got ----


@pytest.mark.parametrize("memory", [0, 10**6])
def test_arrays_come_back_exactly(tmp_path, memory):
    keys = ["2007_000528", "a b/../c\\:*?", "ä" * 300, ""]
    with Store(tmp_path / "store", memory, LAYOUT) as store:
        for number, key in enumerate(keys):
            assert key not in store
            assert store.get(key) is None
            store.put(key, made(number))
        for number, key in enumerate(keys):
            assert key in store
            assert_same(store.get(key), made(number))
    assert len(files(tmp_path)) == (0 if memory else 4)


@pytest.mark.parametrize("memory", [0, 10**6])
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int32", "uint32", "uint8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 0), (3, 5, 2)])
def test_any_shape_and_type(tmp_path, memory, dtype, shape):
    store = Store(tmp_path, memory)
    every_other = np.arange(120).reshape(6, 10, 2)[::2, ::2].astype(dtype)  # not contiguous
    array = every_other if shape == (3, 5, 2) else np.ones(shape, dtype)
    store.put("key", {"x": array, "swapped": array.T})
    assert_same(store.get("key"), {"x": array, "swapped": array.T})


@pytest.mark.parametrize("memory", [0, 10**6])
def test_what_is_stored_is_a_copy_that_nobody_changes(tmp_path, memory):
    store, arrays = Store(tmp_path, memory), made()
    store.put("key", arrays)
    arrays["cells"][:] = 7
    del store.get("key")["mean"]
    assert_same(store.get("key"), made())
    if memory:
        with pytest.raises(ValueError, match="read-only"):
            store.get("key")["cells"][:] = 7


def test_putting_again_replaces(tmp_path):
    store = Store(tmp_path, 2 * BYTES)
    for number in range(3):
        store.put("key", made(number))
        assert_same(store.get("key"), made(number))
    large = {"x": np.zeros(1000)}
    store.put("key", large)  # from memory to the disk ...
    assert_same(store.get("key"), large)
    store.put("key", made(3))  # ... and back
    assert_same(store.get("key"), made(3))
    store.put("other", made(4))
    assert len(files(tmp_path)) == 1


# ---- memory and the disk ----


def test_memory_is_filled_to_its_bound_and_no_further(temporary):
    with Store(None, 3 * BYTES + 5) as store:
        for number in range(3):
            store.put(str(number), made(number))
        assert not any(temporary.iterdir())
        for number in range(3, 6):
            store.put(str(number), made(number))
        assert len(files(temporary)) == 3
        assert store.keep("small", {"x": np.zeros(5, np.uint8)})
        for number in range(6):
            assert_same(store.get(str(number)), made(number))
    assert not list(temporary.iterdir())
    assert store.get("0") is store.get("5") is None


def test_keep_writes_nothing(tmp_path):
    store = Store(tmp_path / "store", BYTES)
    assert store.keep("a", made(1))
    assert not store.keep("b", made(2))
    assert store.get("b") is None
    assert store.keep("a", made(3))  # in its own place
    assert not store.keep("a", {"x": np.zeros(1000)})
    assert_same(store.get("a"), made(3))
    assert not (tmp_path / "store").exists()


def test_memory_holds_no_more_than_what_was_put():
    batch = np.zeros((8, 100))
    store = Store(None, 800)
    store.put("row", {"x": batch[0]})
    assert store.get("row")["x"].base is None  # a view would hold the whole batch


def test_threads_share_a_store(temporary):
    with Store(None, 20 * BYTES) as store, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(str(number), made(number)), range(60)))
        assert len(files(temporary)) == 40
        for number, found in enumerate(pool.map(lambda number: store.get(str(number)), range(60))):
            assert_same(found, made(number))


# ---- damage ----


def cut_anywhere(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        yield


def flip_any_byte(path):
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        yield


def other_files(path):
    for content in (b"no arrays", b"\xff" * 400, bytes(400), save({"x": np.zeros(3)})):
        path.write_bytes(content)
        yield
    path.unlink()
    path.mkdir()
    yield


def changed_arrays(path):
    """The same checksum over other arrays."""
    arrays = load(path.read_bytes())
    for change in (
        {"cells": arrays["cells"] + 1},
        {"cells": arrays["cells"].T.reshape(4, 3)},
        {"cells": arrays["cells"].view(np.int16)},
        {"more": arrays["cells"]},
    ):
        path.write_bytes(save(arrays | change))
        yield


@pytest.mark.parametrize("harm", [cut_anywhere, flip_any_byte, other_files, changed_arrays])
def test_a_damaged_file_counts_as_missing_and_is_made_anew(tmp_path, harm):
    Store(tmp_path).put("key", made())
    (path,), store = files(tmp_path), Store(tmp_path)
    assert_same(store.get("key"), made())
    for _ in harm(path):
        assert store.get("key") is None
        assert "key" not in store
    if path.is_dir():
        path.rmdir()
    store.put("key", made())
    assert_same(store.get("key"), made())


def test_a_file_of_another_key_counts_as_missing(tmp_path):
    Store(tmp_path / "one").put("key", made())
    Store(tmp_path / "two").put("other", made())
    for path in files(tmp_path / "one"):
        files(tmp_path / "two")[0].replace(path)
    assert Store(tmp_path / "one").get("key") is None


@pytest.mark.parametrize(
    "change",
    [
        {"cells": np.zeros((4, 3), np.float16)},
        {"cells": np.zeros((3, 4), np.float32)},
        {"more": np.zeros(1)},
        {"mean": np.zeros(1, np.float32)},
    ],
)
def test_a_file_of_another_layout_counts_as_missing(tmp_path, change):
    Store(tmp_path).put("key", made() | change)
    store = Store(tmp_path, layout=LAYOUT)
    assert store.get("key") is None
    with pytest.raises(ValueError, match="not of the layout"):
        store.put("key", made() | change)


@pytest.mark.parametrize("memory", [0, 10**6])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(tmp_path, memory, value):
    store, arrays = Store(tmp_path, memory), made()
    arrays["cells"][1, 2] = value
    with pytest.raises(
        InputError, match=r"'cells' of 'key' holds values that are not finite; check the weights"
    ):
        store.put("key", arrays)
    assert "key" not in store


def test_what_is_not_finite_in_a_file_counts_as_missing(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("fsjax.data.store._finite", lambda array: True)
        Store(tmp_path).put("key", {"x": np.array([1, np.nan])})
        assert "key" in Store(tmp_path)
    assert Store(tmp_path).get("key") is None


def test_types_that_files_do_not_hold_are_refused_in_memory_too():
    with pytest.raises(ValueError, match="bfloat16, which is none of NumPy's own types"):
        Store(None, 10**6).put("key", {"x": np.zeros(3, np.dtype("bfloat16"))})


# ---- the disk ----


def full(*arguments, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_reported_and_leaves_what_was_there(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    store.put("key", made())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        said = r"'.*store' cannot be written to \(No space left on device\): make room there, or name another"
        with pytest.raises(InputError, match=said):
            store.put("key", made(1))
    assert_same(store.get("key"), made())
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("where", [(Path, "write_bytes"), (os, "mkdir")])
def test_a_full_temporary_folder_is_reported(temporary, monkeypatch, where):
    said = rf"'{temporary}' cannot be written to \(No space .*\): make room there, or let the variable TMPDIR"
    with Store(None) as store, monkeypatch.context() as patch:
        patch.setattr(*where, full)
        with pytest.raises(InputError, match=said):
            store.put("key", made())
    assert not list(temporary.iterdir())


# ---- processes ----


def test_a_pickled_store_reads_and_writes_the_same_folder(tmp_path):
    store = Store(tmp_path, BYTES, LAYOUT)
    store.put("memory", made(0))
    store.put("disk", made(1))
    sent = pickle.loads(pickle.dumps(store))
    assert_same(sent.get("disk"), made(1))
    assert "memory" not in sent
    sent.put("a", made(2))
    sent.put("b", made(3))
    assert_same(store.get("b"), made(3))
    with pytest.raises(ValueError, match="layout"):
        sent.put("c", {"x": np.zeros(2)})
    with pytest.raises(TypeError, match="without a folder"):
        pickle.dumps(Store(None, 10))


# Writes ten keys again and again, as another process does.
SCRIPT = """
import sys
from pathlib import Path
from fsjax.data.store import Store
from tests.data.test_store import large

store = Store(Path(sys.argv[1]))
while True:
    for number in range(10):
        store.put(str(number), large(number))
"""


def large(number):
    return {"x": np.random.default_rng(number).integers(0, 99, (40, 41, 64)).astype(np.float16)}


def test_processes_share_a_folder_and_may_be_killed(tmp_path):
    command = [sys.executable, "-c", SCRIPT, tmp_path]
    running = [subprocess.Popen(command, cwd=REPOSITORY) for _ in range(2)]
    try:
        store, deadline, reads = Store(tmp_path), time.monotonic() + 60, 0
        while reads < 100:
            assert time.monotonic() < deadline, "nothing came in a minute"
            found = store.get(str(reads % 10))
            if found is None:  # not written yet: what is there is always whole
                assert reads < 10
                time.sleep(0.002)
                continue
            assert_same(found, large(reads % 10))
            reads += 1
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
    for number in range(10):
        assert_same(store.get(str(number)), large(number))


def test_it_needs_nothing_that_only_unix_has():
    unix = ("fcntl", "resource", "pwd", "grp", "termios")
    blocked = f"import sys; sys.modules.update(dict.fromkeys({unix}))"
    subprocess.run([sys.executable, "-c", f"{blocked}; import fsjax.data.store"], cwd=REPOSITORY, check=True)
