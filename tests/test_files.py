"""Files that are whole or absent, and their hashes against those of other tools."""

import hashlib
import os

import pytest

from fsjax.errors import InputError
from fsjax.files import file_sha256, folder_sha256, replacing


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_no_two_temporary_names_are_equal(tmp_path):
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        assert one != other  # though the process, or its number on another host, is the same
        one.write_text("one")
        other.write_text("other")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("", "{} is a folder and cannot be written as a file: name a file."),
        (
            "file/deep/new",
            "{} cannot be written, as its folder cannot be made (Not a directory): name another one.",
        ),
    ],
)
def test_a_place_for_no_file_is_named(tmp_path, place, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as raised, replacing(tmp_path / place) as temporary:
        temporary.touch()
    assert str(raised.value) == sentence.format(tmp_path / place)


def test_what_the_system_refuses_names_the_file_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "file"
    named = rf"\] [\w ]+: '{path}'$"
    with pytest.raises(FileNotFoundError, match=named), replacing(path) as temporary:
        temporary.read_text()
    with pytest.raises(FileNotFoundError, match=named), replacing(path):
        pass  # nothing is written
    assert not list(tmp_path.iterdir())


def test_errors_of_other_files_are_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), replacing(tmp_path / "file"):
        (tmp_path / "other").read_text()


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    assert file_sha256(str(path)) == hashlib.sha256(content).hexdigest()


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path):
    def make(name, files):
        for place, content in files.items():
            (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / place).write_text(content)
        return folder_sha256(tmp_path / name)

    files = {"a": "1", "b/c": "2", "b/d": ""}
    first = make("first", files)
    assert first == make("second", dict(reversed(files.items())))
    listed = "".join(f"{hashlib.sha256(files[n].encode()).hexdigest()}  {n}\n" for n in sorted(files))
    assert first == hashlib.sha256(listed.encode()).hexdigest()  # of what sha256sum would list
    others = [{"a": "2", "b/c": "1", "b/d": ""}, {"a": "1", "c": "2", "b/d": ""}, {"a": "1", "b/c": "2"}]
    assert len({first, *(make(f"other{i}", other) for i, other in enumerate(others))}) == 4


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing cannot be read \(No such file"):
        file_sha256(tmp_path / "missing")
    with pytest.raises(InputError, match=r"There is no folder .*missing"):
        folder_sha256(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="There is no folder"):
        folder_sha256(tmp_path / "file")
