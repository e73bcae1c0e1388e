"""A few of the damaged files and settings that benchmarks/fuzz_files.py makes; by hand, thousands of them."""

import logging
from functools import partial

import pytest

from benchmarks import fuzz_files
from benchmarks.damaged_data import KINDS
from benchmarks.damaged_kind import Kind
from benchmarks.fuzz_files import SETTINGS, SOUND, harmed, outcomes, settings

SLOW = "checkpoint", "export", "weights, .npz", "weights, .safetensors"
"""Kinds that take more than a second."""


@pytest.fixture(autouse=True)
def logs_again():
    yield
    logging.disable(logging.NOTSET)


def found(name, seeds, folder):
    work = settings if name == SETTINGS else partial(outcomes, name)
    return [(seed, said["file"]) for seed, said in zip(seeds, work(seeds, folder), strict=True)]


@pytest.mark.parametrize("name", [*(name for name in KINDS if name not in SLOW), SETTINGS])
def test_damage_is_refused_mended_or_no_matter(tmp_path, name):
    wrong = [one for one in found(name, [7, 16, 42], tmp_path) if one[1] not in SOUND]
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, SETTINGS])
def test_much_damage(tmp_path, name):
    wrong = [one for one in found(name, range(100), tmp_path) if one[1] not in SOUND]
    assert not wrong


def test_what_the_fuzzing_calls_what(tmp_path, monkeypatch):
    """A file whose reader mends a first line, takes a third for nothing, and believes a second."""
    path = tmp_path / "files" / "a"

    def read():
        _, second, *_ = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join([b"first", second, b"third"]))
        return second.decode()

    def make(folder, sealed):
        path.write_bytes(b"first\nsecond\nthird")
        return Kind([path], read, [str(path)], sealed, earlier="before")

    def harm(change):
        monkeypatch.setattr(fuzz_files, "harmed", lambda path, *_: path.write_bytes(change))

    def said(sealed):
        monkeypatch.setitem(KINDS, "x", partial(make, sealed=sealed))
        return found("x", [1], tmp_path)[0][1]

    for change, sealed, expected in (
        (b"other\nsecond\nthird", True, "made anew"),
        (b"first\nsecond\nthird", True, "the same"),
        (b"first\nbefore\nthird", True, "earlier"),
        (b"first\nother\nthird", True, "another result"),
        (b"first\nother\nthird", False, "other"),
    ):
        harm(change)
        assert said(sealed) == expected
        for rest in tmp_path.iterdir():
            fuzz_files.shutil.rmtree(rest)


def test_files_are_harmed_alike_each_time_and_differ(tmp_path):
    def harms(seed):
        path = tmp_path / "x"
        path.write_bytes(b'{"a": [1, 2], "b": "c"}\n{"a": 5}\n')
        harmed(path, seed, [b"other"])
        made = path.read_bytes() if path.is_file() else None
        if path.exists():
            path.rmdir() if path.is_dir() else path.unlink()
        return made

    first = [harms(seed) for seed in range(60)]
    assert first == [harms(seed) for seed in range(60)]
    assert len({*first}) > 40
    assert None in first
