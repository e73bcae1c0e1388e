"""Builds that are killed, refused by the disk, or two at once: a data set is whole or not there."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import coco20i, shards
from datasets.building import build
from datasets.prepared import PreparedList, about_of, is_prepared, place_of
from fsjax.errors import InputError
from tests import coco

REPOSITORY = Path(__file__).parents[2]
PHOTOS = 80
SECONDS = 60
"""After which a test gives up; nothing takes nearly as long."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with photos enough for two workers."""
    annotated = coco.instances()
    image, objects = annotated["images"][0], annotated["annotations"][:4]
    annotated["images"] = [image | {"id": n, "file_name": f"{n:04}.jpg"} for n in range(PHOTOS)]
    annotated["annotations"] = [thing | {"image_id": n} for n in range(PHOTOS) for thing in objects]
    folder = tmp_path_factory.mktemp("coco")
    coco.write_piece(folder, annotated)
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    """The files of a build in one process, without a pause."""
    return contents(build(coco20i.plan(photos), "mine", tmp_path_factory.mktemp("built"), workers=0))


@pytest.fixture
def gate(tmp_path):
    folder = tmp_path / "gate"
    folder.mkdir()
    return folder


@pytest.fixture
def start(photos, tmp_path, gate):
    """Starts builds in processes of their own, which end with the test."""
    started = []

    def begin(workers, *largest):
        command = [sys.executable, "-m", "tests.datasets.gated", photos, tmp_path / "built", workers, gate]
        process = subprocess.Popen(
            [*map(str, command), *map(str, largest)],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def contents(place):
    return {path.name: path.read_bytes() for path in place.iterdir()}


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def readers(gate):
    return {int(path.name) for path in gate.iterdir() if path.name.isdigit()}


def runs(process_id):
    """Says whether a process is at work; one that has ended may wait for somebody to ask how."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def reach_the_gate(process, gate, workers):
    """Waits until the process has written some of its records, and its readers wait at the gate."""
    half = gate.parent / "built" / "mine"
    wait_for(
        lambda: process.poll() is not None or (len(readers(gate)) == workers and list(half.rglob("*-0*")))
    )
    assert process.poll() is None, process.communicate()


def finish(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.mark.parametrize("workers", [0, 2])
def test_all_numbers_of_workers_write_the_same(start, gate, tmp_path, undisturbed, workers):
    (gate / "open").touch()
    assert finish(start(workers))[:2] == (0, "")
    assert contents(place_of(tmp_path / "built", "mine")) == undisturbed


def test_a_killed_build_leaves_nothing_that_loads_and_starts_again(start, gate, tmp_path, undisturbed):
    process, place = start(2), place_of(tmp_path / "built", "mine")
    reach_the_gate(process, gate, 2)
    processes = readers(gate)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_prepared(place)
    assert not place.exists()
    wait_for(lambda: not any(map(runs, processes)))
    (gate / "open").touch()
    assert finish(start(2))[:2] == (0, "")
    assert contents(place) == undisturbed
    assert [path.name for path in place.parent.iterdir() if path.name != ".claimed"] == [place.name]


def test_a_second_build_at_the_same_time_is_refused(start, gate, tmp_path, undisturbed):
    first = start(0)
    reach_the_gate(first, gate, 1)
    code, out, _ = finish(start(0))
    assert code == 2
    assert out == (
        f"Another process is at work in {tmp_path}/built/mine: wait for it to end, or name another folder.\n"
    )
    (gate / "open").touch()
    assert finish(first)[:2] == (0, "")
    assert contents(place_of(tmp_path / "built", "mine")) == undisturbed


def test_a_worker_that_is_killed_ends_the_build(start, gate, tmp_path):
    process = start(2)
    reach_the_gate(process, gate, 2)
    one, other = readers(gate)
    os.kill(one, signal.SIGKILL)
    code, out, _ = finish(process)
    assert (code, out.count("\n")) == (2, 1)
    assert out.startswith("A process that reads photos was ended, as by a lack of memory: give fewer with")
    assert list((tmp_path / "built").iterdir()) == []
    wait_for(lambda: not runs(other))


@pytest.mark.slow
def test_an_interrupted_build_leaves_nothing(start, gate, tmp_path):
    process = start(2)
    reach_the_gate(process, gate, 2)
    processes = readers(gate)
    process.send_signal(signal.SIGINT)
    (gate / "open").touch()  # what is being read is read to its end
    assert finish(process)[0] != 0
    assert list((tmp_path / "built").iterdir()) == []
    wait_for(lambda: not any(map(runs, processes)))


def test_a_disk_that_is_full(start, gate, tmp_path, undisturbed):
    (gate / "open").touch()
    code, out, _ = finish(start(0, 70_000))  # its records take more
    assert code == 2
    assert out == (
        f"The data set mine cannot be written to {tmp_path}/built/mine (File too large): make room there or "
        "name another folder, and start the same command again.\n"
    )
    assert list((tmp_path / "built").iterdir()) == []
    assert finish(start(0))[:2] == (0, "")
    assert contents(place_of(tmp_path / "built", "mine")) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root mounts disks")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_small_disk(photos, small_disk):
    (small_disk / "other").write_text("kept")
    with pytest.raises(InputError, match=r"\(No space left on device\): make room there or name another"):
        build(coco20i.plan(photos), "mine", small_disk, workers=0)
    assert {path.name for path in small_disk.iterdir()} == {"other"}
    assert (small_disk / "other").read_text() == "kept"


def test_a_disk_that_is_full_when_all_records_are_written(photos, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards, "_describe", refuse)
    with pytest.raises(InputError, match="No space left on device"):
        build(coco20i.plan(photos), "mine", tmp_path, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_records_in_several_files(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PER_SHARD", 32)
    place = build(coco20i.plan(photos), "mine", tmp_path, workers=0)
    assert len(list(place.glob("*.array_record*"))) == 3
    about = about_of(place)
    opened = {name: PreparedList(place, about, name, []) for name in about["lists"]}
    assert sum(len(some.ids) for some in opened.values()) == PHOTOS
    for some in opened.values():
        for position in range(len(some.ids)):  # each record is the one of that id, or it is refused
            assert some.size(position) == (60, 80)


def test_what_is_there_is_kept(photos, tmp_path, monkeypatch):
    plan = coco20i.plan(photos)
    place = build(plan, "mine", tmp_path, workers=0)
    before = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    assert build(plan, "mine", tmp_path, workers=0) == place
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == before
    with pytest.raises(InputError, match="holds another data set, made of other files, lists or options"):
        build(coco20i.plan(photos, crowd="void"), "mine", tmp_path, workers=0)
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == before


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_photo_ends_the_build_with_its_name(photos, tmp_path, workers):
    plan = coco20i.plan(photos)
    damaged = plan.tasks[40]._replace(size=(61, 80))
    plan.tasks[40] = damaged
    sentence = r"0040\.jpg is 60x80 and its annotations are of 61x80 pixels \(height x width\): fetch both"
    with pytest.raises(InputError, match=sentence):
        build(plan, "mine", tmp_path, workers=workers)
    assert list(tmp_path.iterdir()) == []


PIPED = """
from pathlib import Path
from datasets import shapes
shapes.SPLITS = {"train": 20, "test": 20}
shapes.prepare(Path(FOLDER))
"""


def test_a_program_from_a_pipe_builds_without_other_processes(tmp_path):
    program = PIPED.replace("FOLDER", repr(str(tmp_path)))
    command, environment = [sys.executable, "-"], {**os.environ, "PYTHONPATH": "."}
    subprocess.run(command, input=program, text=True, check=True, cwd=REPOSITORY, env=environment)
    assert is_prepared(place_of(tmp_path, "shapes"))


def test_what_is_no_whole_data_set_is_told_before_the_build(photos, tmp_path):
    place = place_of(tmp_path, "mine")
    place.mkdir(parents=True)
    (place / "metadata.json").write_text("{}")
    plan = dataclasses.replace(coco20i.plan(photos), read=None)  # which nothing may call
    with pytest.raises(InputError, match=r"mine/2\.0\.0 is no whole data set: delete it"):
        build(plan, "mine", tmp_path, workers=0)
    assert (place / "metadata.json").exists()


def test_a_writer_that_stops_without_a_word(tmp_path, monkeypatch):
    class Stopped:
        def __init__(self, *_):
            pass

        def write(self, record):
            pass

        def ok(self):
            return False

        def close(self):
            pass

    monkeypatch.setattr(shards, "ArrayRecordWriter", Stopped)
    with pytest.raises(OSError, match=r"photos-photos\.array_record-00000 could not be written"):
        shards.write(iter([b"record"]), tmp_path, "mine", dict)
    assert list(tmp_path.iterdir()) == []
