"""What is wrong with VOC's or SBD's files is said in one sentence, and nothing is left half-written."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from PIL import Image

from tests.datasets import voc_archives
from tests.datasets.voc_archives import (
    CMYK,
    IN_SBD,
    IN_VOC,
    SBD_TGZ,
    TRAIN,
    VAL,
    VOC_TAR,
    lines,
    mat,
    run,
    sbd_files,
    voc_files,
    voc_labels,
    write_archives,
    write_folder,
    write_tar,
)
from tests.voc import mask_png

PHOTO = f"{IN_VOC}JPEGImages/{TRAIN[1]}.jpg"
MASK = f"{IN_VOC}SegmentationClass/{TRAIN[1]}.png"
MAT = f"{IN_SBD}cls/{CMYK}.mat"


def bomb(width, height):
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def refused(folder, capsys, **flags):
    """Returns the sentence of a build that must be refused, and leave nothing behind."""
    capsys.readouterr()
    assert run(folder, **flags) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert said.endswith(".")
    assert not list((folder.parent / "built").rglob("*.array_record*"))
    return said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (PHOTO, voc_files()[PHOTO][:-300], "2008_000002.jpg is damaged"),
        (PHOTO, bomb(60_000, 60_000), "2008_000002.jpg has over 100,000,000 pixels"),
        (PHOTO, None, "names 2008_000002, of which there is no photo"),
        (MASK, voc_files()[MASK][:-60], "2008_000002.png is damaged"),
        (MASK, mask_png(voc_labels(TRAIN[0])), "2008_000002.png is 128x160 and its photo 134x150 pixels"),
        (MASK, mask_png(voc_labels(TRAIN[1]) // 255 * 21), "holds the value 21: allowed are 0 to 20 and 255"),
        (MASK, mask_png(voc_labels(TRAIN[1]) // 255 * 254), "holds the value 254: allowed are 0 to 20"),
        (MASK, mask_png(np.stack(3 * [voc_labels(TRAIN[1])], -1)), "2008_000002.png holds colours"),
        (MASK, bomb(60_000, 60_000), "2008_000002.png has over 100,000,000 pixels"),
        (
            f"{IN_VOC}ImageSets/Segmentation/val.txt",
            lines([*VAL, "2009_009999"]),
            "val names 2009_009999, of",
        ),
        (f"{IN_VOC}ImageSets/Segmentation/val.txt", None, "no ImageSets/Segmentation with train.txt and val"),
        ("../outside.jpg", b"", "holds '../outside.jpg', which leads out of it"),
        ("/etc/outside.jpg", b"", "holds '/etc/outside.jpg', which leads out of it"),
    ],
)
def test_a_bad_file_in_vocs_tar_is_named(tmp_path, capsys, name, content, sentence):
    files = voc_files() | {name: content}
    files = {name: content for name, content in files.items() if content is not None}
    folder = write_archives(tmp_path / "downloads", voc=files)
    assert sentence in refused(folder, capsys)


def not_a_mask():
    encoded = io.BytesIO()
    scipy.io.savemat(encoded, {"GTinst": {"Segmentation": np.zeros((4, 4), np.uint8)}})
    return encoded.getvalue()


def other_numbers():
    encoded = io.BytesIO()
    scipy.io.savemat(encoded, {"GTcls": {"Segmentation": np.zeros((4, 4))}})
    return encoded.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (MAT, sbd_files()[MAT][:200], "benchmark.tgz/cls/2008_000006.mat is damaged, or none of SBD's masks"),
        (MAT, b"", "2008_000006.mat is damaged, or none of SBD's masks"),
        (MAT, not_a_mask(), "2008_000006.mat is damaged, or none of SBD's masks"),
        (MAT, other_numbers(), "2008_000006.mat holds no mask of class ids"),
        (MAT, mat(np.zeros((30, 40), np.uint8)), "2008_000006.mat is 30x40 and its photo 143x135 pixels"),
        (MAT, bytes(2**20 + 1), "2008_000006.mat in"),
        (MAT, None, "has no mask of 2008_000006, which it lists: it was cut short."),
        (f"{IN_SBD}val.txt", None, "has no dataset/val.txt: it was cut short, or is not SBD's."),
        ("benchmark_RELEASE/../../outside", b"", "which leads out of it: fetch it again"),
    ],
)
def test_a_bad_file_in_sbds_archive_is_named(tmp_path, capsys, name, content, sentence):
    files = sbd_files() | {name: content}
    files = {name: content for name, content in files.items() if content is not None}
    folder = write_archives(tmp_path / "downloads", sbd=files)
    assert sentence in refused(folder, capsys)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("name", [VOC_TAR, SBD_TGZ])
def test_an_archive_that_was_cut_short_is_named(tmp_path, capsys, name, share):
    folder = write_archives(tmp_path / "downloads")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * share)])
    said = refused(folder, capsys)
    assert f"{folder / name} " in said
    assert "cut short" in said


def test_a_tar_that_was_cut_between_two_files_is_named(tmp_path, capsys):
    folder = write_archives(tmp_path / "downloads")
    whole = (folder / VOC_TAR).read_bytes()
    end = len(whole.rstrip(b"\0"))
    (folder / VOC_TAR).write_bytes(whole[: -(-end // 512) * 512])
    assert "is damaged or was cut short (it has no end)" in refused(folder, capsys)


@pytest.mark.parametrize("name", [VOC_TAR, SBD_TGZ])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(20_000)])
def test_an_archive_that_is_none_is_named(tmp_path, capsys, name, content):
    folder = write_archives(tmp_path / "downloads")
    (folder / name).write_bytes(content)
    assert str(folder / name) in refused(folder, capsys)


@pytest.mark.parametrize("name", [VOC_TAR, SBD_TGZ])
def test_a_pipe_in_an_archives_place_is_not_waited_for(tmp_path, capsys, name):
    folder = write_archives(tmp_path / "downloads")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{folder / name} is no ordinary file" in refused(folder, capsys)


def test_vocs_archive_of_another_year_is_named(tmp_path, capsys):
    files = {name.replace("VOC2012", "VOC2007"): content for name, content in voc_files().items()}
    folder = write_archives(tmp_path / "renamed", voc=files)
    assert f"{VOC_TAR} holds no VOCdevkit/VOC2012/JPEGImages, so it is of another year" in refused(
        folder, capsys
    )
    folder = tmp_path / "other"
    folder.mkdir()
    write_tar(folder / "VOCtrainval_06-Nov-2007.tar", files)
    assert "VOCtrainval_06-Nov-2007.tar is not VOC 2012's archive: put VOCtrainval_11-May" in refused(
        folder, capsys
    )


def test_what_is_missing_is_named_with_where_it_is_to_be_had(tmp_path, capsys):
    folder = tmp_path / "downloads"
    folder.mkdir()
    said = refused(folder, capsys)
    assert all(what in said for what in (VOC_TAR, SBD_TGZ, "SegmentationClassAug", "host.robots.ox.ac.uk"))
    write_tar(folder / VOC_TAR, voc_files())
    said = refused(folder, capsys)
    assert "has VOC's own masks only: put SBD's benchmark.tgz there" in said
    assert "--lists" in said


def test_a_pipe_in_a_photos_place_is_not_waited_for(tmp_path, capsys):
    folder = tmp_path / "unpacked"
    write_folder(folder, voc_files() | voc_archives.sbd_files())
    (folder / PHOTO).unlink()
    os.mkfifo(folder / PHOTO)
    assert "names 2008_000002, of which there is no photo" in refused(folder, capsys)


def test_a_mask_with_a_palette_of_sixteen_bits_or_colours_is_no_label_map(tmp_path, capsys):
    encoded = io.BytesIO()
    Image.fromarray(voc_labels(TRAIN[1]).astype(np.uint16)).save(encoded, "PNG")
    folder = write_archives(tmp_path / "downloads", voc=voc_files() | {MASK: encoded.getvalue()})
    assert "2008_000002.png holds colours: save it as a PNG with a palette, or grey" in refused(
        folder, capsys
    )


def test_a_build_can_be_repeated_after_the_file_was_mended(tmp_path, capsys):
    folder = tmp_path / "unpacked"
    write_folder(folder, voc_files() | voc_archives.sbd_files())
    whole = (folder / MASK).read_bytes()
    (folder / MASK).write_bytes(whole[:-60])
    refused(folder, capsys)
    (folder / MASK).write_bytes(whole)
    assert run(folder) == 0


@pytest.mark.parametrize(("id", "part"), [("2008_000002", "trainaug"), ("2008_000005", "val")])
def test_a_mask_of_vocs_that_is_lacking_is_not_taken_from_sbd(tmp_path, capsys, id, part):
    files = {name: content for name, content in voc_files().items() if not name.endswith(f"{id}.png")}
    folder = write_archives(tmp_path / "downloads", voc=files)
    assert f"The list {part} names {id}, of which there is no mask" in refused(folder, capsys)
