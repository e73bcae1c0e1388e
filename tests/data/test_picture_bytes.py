"""Files that a user names as pictures: whatever they are, nothing waits, and a sentence names them."""

import os
import socket

import pytest

from fsjax.data import mask_kinds, photo_files, pictures
from fsjax.errors import InputError
from tests.datasets.own_folders import encoded, pixels


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        before = os.getcwd()
        os.chdir(path.parent)  # for a socket's name is short
        try:
            end.bind(path.name)
        finally:
            os.chdir(before)


def a_photo_of_a_telephone(path):
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


WRONG = {
    "a pipe": (a_pipe, r"is no ordinary file: name a picture's file\."),
    "a socket": (a_socket, r"is no ordinary file: name"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no ordinary file: name"),
    "a folder": (os.mkdir, "is a folder: name a picture's file"),
    "nothing": (lambda path: None, "mend the name, or put it there"),
    "a link to nothing": (lambda path: path.symlink_to("gone"), "mend the name, or put it there"),
    "an empty file": (lambda path: path.write_bytes(b""), "is empty: save it again, or leave it out"),
    "a text": (lambda path: path.write_text("photo"), "is damaged, or no picture"),
    "HEIC": (a_photo_of_a_telephone, "is a HEIC or AVIF photo, which is not read: save it as JPEG"),
    "half a photo": (lambda path: path.write_bytes(encoded(pixels(40, 60, 3), "JPEG")[:900]), "is damaged"),
}


@pytest.mark.parametrize("read", [photo_files.read_photo, mask_kinds.read_mask])
@pytest.mark.parametrize(("make", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_no_picture(tmp_path, make, sentence, read):
    make(tmp_path / "x.png")
    with pytest.raises(InputError, match=sentence) as error:
        read(tmp_path / "x.png")
    assert str(tmp_path / "x.png") in str(error.value)


@pytest.mark.parametrize("name", ["x\0y.png", "x" * 300 + ".png"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(InputError, match="cannot be read"):
        photo_files.read_photo(name)


def test_a_file_below_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with pytest.raises(InputError, match=r"There is no file .*x/y\.png"):
        photo_files.read_photo(tmp_path / "x" / "y.png")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PermissionError(13, "Permission denied"),
            r"x.png' cannot be read \(Permission denied\): give leave",
        ),
        (FileNotFoundError(2, "No such file"), "There is no file .*x.png"),  # it was there a moment ago
        (OSError(5, "Input/output error"), r"x.png' cannot be read \(Input/output error\)"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path, monkeypatch, error, sentence):
    def refuse(*_):
        raise error

    (tmp_path / "x.png").write_bytes(encoded(pixels(4, 4, 3)))
    monkeypatch.setattr(pictures.os, "open", refuse)
    with pytest.raises(InputError, match=sentence):
        photo_files.read_photo(tmp_path / "x.png")


def test_a_file_that_has_become_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    a_pipe(tmp_path / "x.png")
    (tmp_path / "y.png").write_bytes(b"1")
    ordinary = os.stat(tmp_path / "y.png")
    with monkeypatch.context() as patch:
        patch.setattr(pictures.os, "stat", lambda path: ordinary)
        with pytest.raises(InputError, match=r"x\.png is empty"):
            pictures.encoded_of(tmp_path / "x.png")


def test_a_file_that_is_too_large(tmp_path):
    (tmp_path / "x.png").write_bytes(bytes(11))
    assert pictures.encoded_of(tmp_path / "x.png", 11) == bytes(11)
    with pytest.raises(InputError, match=r"x\.png has over .* MB: make it smaller"):
        pictures.encoded_of(tmp_path / "x.png", 10)
