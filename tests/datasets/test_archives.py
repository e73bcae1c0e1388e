"""Files out of folders, zips and tars: the same bytes, and every kind of damage one sentence."""

import io
import os
import tarfile
import zipfile
import zlib

import pytest

from datasets import archives
from fsjax.errors import InputError

FILES = {"a/1.jpg": os.urandom(5000), "a/2.jpg": b"two" * 900, "b/list.txt": b""}


def write_tar(path, files=FILES, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path, files=FILES, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_folder(path, files=FILES):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])
    return path


@pytest.mark.parametrize(
    ("write", "name"), [(write_folder, "files"), (write_zip, "files.zip"), (write_tar, "files.tar")]
)
def test_all_hold_the_same_files(tmp_path, write, name):
    path = write(tmp_path / name)
    assert set(archives.open_files(path).names) == set(FILES)
    assert {file: archives.read(path, file) for file in FILES} == FILES
    with pytest.raises(InputError, match=r"c/3\.jpg"):
        archives.read(path, "c/3.jpg")


def test_a_compressed_tar_is_streamed(tmp_path):
    path = write_tar(tmp_path / "files.tgz", mode="w:gz")
    found = dict(archives.stream(path, lambda name: name.startswith("a/")))
    assert found == {name: content for name, content in FILES.items() if name.startswith("a/")}


@pytest.mark.parametrize("length", [0, 100, 3000, -1000, -10])
def test_a_zip_that_was_cut_short(tmp_path, length):
    path = write_zip(tmp_path / "files.zip", compression=zipfile.ZIP_STORED)
    with pytest.raises(InputError, match=r"files\.zip .*cut short.*fetch it again"):
        archives.open_files(cut(path, length))


@pytest.mark.parametrize("length", [0, 100, 3000, 512 + 5120, 2 * 512 + 5120 + 3072])
def test_a_tar_that_was_cut_short(tmp_path, length):
    """Also between two files, where Python's own reading finds no fault."""
    path = cut(write_tar(tmp_path / "files.tar"), length)
    with pytest.raises(InputError, match=r"files\.tar .*cut short.*fetch it again"):
        archives.open_files(path)


@pytest.mark.parametrize("length", [0, 20, 3000, -20])
def test_a_compressed_tar_that_was_cut_short(tmp_path, length):
    path = cut(write_tar(tmp_path / "files.tgz", mode="w:gz"), length)
    with pytest.raises(InputError, match=r"files\.tgz is damaged or was cut short"):
        list(archives.stream(path, lambda name: True))


@pytest.mark.parametrize("place", [1000, -6])
def test_a_changed_byte_in_a_compressed_tar(tmp_path, place):
    path = write_tar(tmp_path / "files.tgz", mode="w:gz")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"files\.tgz is damaged"):
        list(archives.stream(path, lambda name: True))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_in_a_zip(tmp_path, compression):
    path = write_zip(tmp_path / "files.zip", compression=compression)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"files\.zip is damaged"):
        archives.read(path, "a/1.jpg")
    assert archives.read(path, "a/2.jpg") == FILES["a/2.jpg"]


@pytest.mark.parametrize("name", ["../out.jpg", "a/../../out.jpg", "/etc/out.jpg", "..\\out.jpg"])
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_name_that_leads_out(tmp_path, write, name):
    path = write(tmp_path / {write_zip: "files.zip", write_tar: "files.tar"}[write], FILES | {name: b"x"})
    with pytest.raises(InputError, match="leads out of it: fetch it again, from its owner"):
        archives.open_files(path)


def test_a_name_that_leads_out_of_a_stream_or_a_folder(tmp_path):
    path = write_tar(tmp_path / "files.tgz", {"../out": b"x"}, "w:gz")
    with pytest.raises(InputError, match="leads out of it"):
        list(archives.stream(path, lambda name: True))
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(InputError, match="leads out of it"):
        archives.read(write_folder(tmp_path / "files"), "../secret")


def test_a_file_that_unpacks_to_too_much(tmp_path):
    path = write_zip(tmp_path / "files.zip", {"bomb": b"\0" * 3_000_000})
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"bomb in .* would take 3 MB, and 1 are allowed"):
        archives.read(path, "bomb", largest=2**20)
    for other in (write_folder(tmp_path / "files"), write_tar(tmp_path / "files.tar")):
        with pytest.raises(InputError, match="are allowed"):
            archives.read(other, "a/1.jpg", largest=4999)


def test_a_bomb_that_says_it_is_small(tmp_path):
    path = write_zip(tmp_path / "files.zip", {"bomb": b"\0" * 3_000_000})
    content = path.read_bytes().replace((3_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        archives.read(path, "bomb")


def test_a_bomb_in_a_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 4999)
    path = write_tar(tmp_path / "files.tgz", mode="w:gz")
    with pytest.raises(InputError, match="are allowed"):
        list(archives.stream(path, lambda name: True))


def test_a_zip_with_a_password(tmp_path):
    path = write_zip(tmp_path / "files.zip", {"a": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="asks for a password"):
        archives.open_files(path)


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "files.zip")
    for ask in (
        lambda: archives.open_files(tmp_path / "files.zip"),
        lambda: list(archives.stream(tmp_path / "files.zip", lambda name: True)),
        lambda: archives.read(tmp_path, "files.zip"),
    ):
        with pytest.raises(InputError, match="is no ordinary file"):
            ask()


def test_what_is_no_archive(tmp_path):
    (tmp_path / "files.rar").write_bytes(b"Rar!" * 100)
    with pytest.raises(InputError, match="is no folder, no zip and no tar"):
        archives.open_files(tmp_path / "files.rar")
    with pytest.raises(InputError, match="There is no file"):
        archives.open_files(tmp_path / "other.zip")


def test_a_name_that_is_not_in_the_encoding_it_says(tmp_path):
    path = write_zip(tmp_path / "files.zip", {"é.jpg": b"x"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"files\.zip is damaged or was cut short"):
        archives.open_files(path)


def test_damage_in_a_zip_compressed_by_lzma(tmp_path):
    path = write_zip(tmp_path / "files.zip", {"a": b"many times " * 900}, zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    content[35 : 35 + 5] = b"\xff" * 5  # the properties of the compression
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"files\.zip is damaged or was cut short"):
        archives.read(path, "a")


@pytest.mark.parametrize(
    ("write", "name"), [(write_folder, "files"), (write_zip, "files.zip"), (write_tar, "files.tar")]
)
def test_what_has_changed_since_is_seen(tmp_path, write, name):
    path = write(tmp_path / name)
    assert set(archives.open_files(path).names) == set(FILES)
    write(tmp_path / name, {**FILES, "c": b"new"})
    assert set(archives.open_files(path).names) == {*FILES, "c"}
    assert archives.read(path, "c") == b"new"


def test_only_zips_hold_checksums(tmp_path):
    files = archives.open_files(write_zip(tmp_path / "files.zip"))
    assert {name: files.checksum(name) for name in FILES} == {n: zlib.crc32(FILES[n]) for n in FILES}
    for other in (write_folder(tmp_path / "files"), write_tar(tmp_path / "files.tar")):
        assert archives.open_files(other).checksum("a/1.jpg") is None
