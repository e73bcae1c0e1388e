"""Files that are whole or absent, and their hashes against those of other tools."""

import fcntl
import shutil

import pytest

from fsjax.errors import InputError
from fsjax.files import claimed, has_locks, replacing


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


def test_a_claim_of_a_folder_that_its_owner_deletes_meanwhile(tmp_path, monkeypatch):
    """The lock that is waited for is then one of a file that nobody else can find."""
    genuine, folder = fcntl.flock, tmp_path / "folder"

    def delete_first(file, operation):
        monkeypatch.setattr(fcntl, "flock", genuine)
        shutil.rmtree(folder)
        genuine(file, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with claimed(folder):
        assert (folder / ".claimed").exists()
        with pytest.raises(InputError, match="Another process is at work"), claimed(folder):
            pass


def test_a_folder_may_have_no_locks(tmp_path, monkeypatch):
    def refusing(file, operation):
        raise OSError(37, "No locks available")

    assert has_locks(tmp_path)
    monkeypatch.setattr("fsjax.files.fcntl.flock", refusing)
    assert not has_locks(tmp_path)
    assert not list(tmp_path.iterdir())
