"""Archives of the benchmarks that are fetched: from a server on 127.0.0.1, and no other address."""

import errno
import hashlib
import os
import re
import socket
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.utils import Size

from datasets import coco20i, downloads, pascal5i, prepare
from fsjax.errors import InputError
from tests import coco
from tests.datasets import voc_archives

HERE = "127.0.0.1"
NAME, CONTENT = "train2017.zip", bytes(range(256)) * 40


class Server(ThreadingHTTPServer):
    """Files by their names, and how they are sent.

    Attributes:
        files: name -> content.
        cut: name -> bytes after which its next connections end.
        ranges: whether it sends files from a position on.
        answer: released, lets it answer at all.
        asked: of each request the name and the header Range.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__((HERE, 0), _Answers)
        self.files, self.cut, self.ranges, self.asked = {}, {}, True, []
        self.answer = threading.Event()
        self.answer.set()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.rpartition("/")[2]
        server.asked.append((name, self.headers["Range"]))
        server.answer.wait()
        if name not in server.files:
            self.send_error(404)
            return
        content, start = server.files[name], 0
        if server.ranges and self.headers["Range"]:
            start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = server.cut.get(name)
        self.wfile.write(content[start:][: cut.pop(0) if cut else None])

    def log_message(self, *arguments):
        """Says nothing."""


@pytest.fixture
def server(monkeypatch):
    """A server whose files TFDS knows, and no others; other addresses are refused."""
    connect = socket.socket.connect

    def only_here(self, address):
        assert address[0] == HERE, f"a test reaches for {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setenv("no_proxy", HERE)
    known = {}
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: known)
    monkeypatch.setattr(downloads, "OTHERS", {})
    server = Server()
    server.known = known
    server.address = f"http://{HERE}:{server.server_port}/zips"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.answer.set()
    server.shutdown()
    server.server_close()
    thread.join()


def serve(server, name=NAME, content=CONTENT):
    """Lets the server send a file, which is registered."""
    server.files[name] = content
    sha256 = hashlib.sha256(content).hexdigest()
    server.known[f"{server.address}/{name}"] = checksums.UrlInfo(Size(len(content)), sha256, name)


def refused(folder, names=(NAME,)):
    """Returns the sentence in which archives are refused, after making sure that nothing is left of them."""
    with pytest.raises(InputError) as raised:
        downloads.fetch(names, folder)
    assert files_in(folder) == []
    return str(raised.value)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".claimed")


def test_what_tfds_has_registered():
    """The sizes are those of the archives as their owners serve them."""
    sizes = {
        "VOCtrainval_11-May-2012.tar": 1_999_639_040,
        "train2014.zip": 13_510_573_713, "val2014.zip": 6_645_013_297,
        "train2017.zip": 19_336_861_798, "val2017.zip": 815_585_330,
        "annotations_trainval2014.zip": 252_872_794, "annotations_trainval2017.zip": 252_907_541,
    }  # fmt: skip
    for name, size in sizes.items():
        known = downloads.registered(name)
        assert known.size == size
        assert known.url.endswith(f"/{name}")
        assert known.algorithm == "sha256"
        assert re.fullmatch("[0-9a-f]{64}", known.checksum)
    assert downloads.registered("train2017.zip").checksum.startswith("69a8bb58ea5f8f99")
    assert downloads.registered("VOCtrainval_11-May-2012.tar").checksum.startswith("e14f763270cf193d")


def test_every_archive_that_may_lack_is_known(tmp_path):
    names = pascal5i.lacking(tmp_path)
    for year in coco20i.whereabouts.YEARS:
        names += coco20i.lacking(tmp_path, year=year)
    assert len(names) == 8
    assert all(downloads.registered(name) for name in names)


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        ("VOC2012/JPEGImages/1.jpg", ["benchmark.tgz"]),
        ("VOCdevkit/VOC2012/SegmentationClassAug/1.png", ["VOCtrainval_11-May-2012.tar"]),
        ("SegmentationClassAug.zip", ["VOCtrainval_11-May-2012.tar"]),
        ("benchmark_RELEASE/dataset/train.txt", ["VOCtrainval_11-May-2012.tar"]),
        ("VOCtrainval_06-Nov-2007.tar", ["VOCtrainval_11-May-2012.tar", "benchmark.tgz"]),
    ],
)
def test_what_pascal_lacks(tmp_path, there, lacking):
    voc_archives.write_folder(tmp_path, {there: b""})
    assert pascal5i.lacking(tmp_path) == lacking


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        ("images/train2014/1.jpg", ["annotations_trainval2014.zip", "val2014.zip"]),
        (
            "annotations/instances_val2017.json",
            ["annotations_trainval2017.zip", "train2017.zip", "val2017.zip"],
        ),
        ("annotations_trainval2014.zip", ["train2014.zip", "val2014.zip"]),
    ],
)
def test_what_coco_lacks(tmp_path, there, lacking):
    voc_archives.write_folder(tmp_path, {there: b""})
    assert coco20i.lacking(tmp_path) == lacking


def test_an_archive_is_fetched_as_it_is(server, tmp_path):
    serve(server)
    serve(server, "val2017.zip", b"other")
    downloads.fetch([NAME, "val2017.zip"], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert (tmp_path / "val2017.zip").read_bytes() == b"other"
    assert server.asked == [(NAME, None), ("val2017.zip", None)]
    assert files_in(tmp_path) == [NAME, "val2017.zip"]


def test_a_connection_that_breaks_goes_on_where_it_was(server, tmp_path):
    serve(server)
    server.cut[NAME] = [4_000, 4_000]
    downloads.fetch([NAME], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=4000-"), (NAME, "bytes=8000-")]


def test_a_server_that_knows_no_positions_begins_anew(server, tmp_path):
    serve(server)
    server.cut[NAME], server.ranges = [4_000], False
    downloads.fetch([NAME], tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=4000-")]


def test_a_body_that_is_always_cut_short(server, tmp_path):
    serve(server)
    server.cut[NAME], server.ranges = [4_000] * 9, False
    assert refused(tmp_path) == (
        f"{server.address}/{NAME} cannot be fetched (it ends after 4,000 of 10,240 bytes): put {NAME} into "
        f"{tmp_path} by other means, and start the same command again."
    )
    assert len(server.asked) == 2


def test_a_server_that_sends_a_little_at_a_time(server, tmp_path):
    serve(server)
    server.cut[NAME] = [1] * 99
    assert "(it ends after 20 of 10,240 bytes)" in refused(tmp_path)
    assert len(server.asked) == downloads.TRIES


@pytest.mark.parametrize("sent", [CONTENT[::-1], CONTENT[:-1], CONTENT + b"!"], ids=["bytes", "less", "more"])
def test_another_file_than_the_registered_one(server, tmp_path, sent):
    serve(server)
    server.files[NAME] = sent
    why = "by its sha256" if len(sent) == len(CONTENT) else "which has 10,240 bytes"
    said = refused(tmp_path)
    assert said.startswith(f"{server.address}/{NAME} is not the file that is known, {why}: put {NAME} into ")


def test_a_file_that_is_gone(server, tmp_path):
    serve(server)
    serve(server, "val2017.zip")
    del server.files[NAME]
    said = refused(tmp_path, [NAME, "val2017.zip"])
    assert f"(404 Not Found): put {NAME} and val2017.zip into {tmp_path} by other means" in said


def test_nobody_answers(server, tmp_path):
    serve(server)
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    server.known[f"http://{HERE}:{port}/{NAME}"] = server.known.pop(f"{server.address}/{NAME}")
    assert f"cannot be fetched ({os.strerror(errno.ECONNREFUSED)}): put {NAME} into" in refused(tmp_path)


def test_the_host_is_unknown(server, tmp_path, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    serve(server)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert f"(Name or service not known): put {NAME} into" in refused(tmp_path)


def test_a_silent_server(server, tmp_path, monkeypatch):
    serve(server)
    server.answer.clear()
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    assert f"(timed out): put {NAME} into" in refused(tmp_path)


def test_an_archive_without_an_address(server, tmp_path):
    assert refused(tmp_path).startswith(f"TFDS has no address of {NAME}: put {NAME} into")


def test_no_room(server, tmp_path, monkeypatch):
    serve(server)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage(0, 0, len(CONTENT) - 1))
    assert f"{tmp_path} has room for 0.0 GB" in refused(tmp_path)
    assert server.asked == []
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage(0, 0, len(CONTENT)))
    downloads.fetch([NAME], tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_stopped_in_the_middle(server, tmp_path, monkeypatch, error):
    def fails(progress, count):
        raise error

    serve(server)
    monkeypatch.setattr(downloads.Progress, "reach", fails)
    with pytest.raises((InputError, KeyboardInterrupt)) as raised:
        downloads.fetch([NAME], tmp_path)
    assert files_in(tmp_path) == []
    if isinstance(error, OSError):
        assert (
            str(raised.value)
            == f"{tmp_path / NAME} cannot be written (No space left on device): make room there."
        )


def test_what_a_killed_command_left_goes(server, tmp_path):
    serve(server)
    (tmp_path / f".{NAME}.123.abcd").write_bytes(b"half")
    downloads.fetch([NAME], tmp_path)
    assert files_in(tmp_path) == [NAME]


@pytest.fixture
def command(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()

    def run(*flags):
        places = [f"--manual_dir={folder}", f"--tfds_dir={tmp_path / 'built'}", "--workers=0"]
        return prepare.main(["prepare", *places, *flags])

    run.folder = folder
    return run


def test_pascal_is_fetched_and_prepared(server, tmp_path, command, monkeypatch, capsys):
    written = voc_archives.write_archives(tmp_path / "owners")
    sbd = (written / "benchmark.tgz").read_bytes()
    serve(server, voc_archives.VOC_TAR, (written / voc_archives.VOC_TAR).read_bytes())
    server.files["benchmark.tgz"] = sbd
    md5 = hashlib.md5(sbd).hexdigest()
    there = downloads.Archive(f"{server.address}/benchmark.tgz", len(sbd), "md5", md5)
    monkeypatch.setitem(downloads.OTHERS, "benchmark.tgz", there)
    assert command("--dataset=pascal5i") == 2
    assert "or have them fetched with --download" in capsys.readouterr().err
    assert server.asked == []
    assert command("--dataset=pascal5i", "--download") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Fetching {voc_archives.VOC_TAR} and benchmark.tgz.\n")
    assert (tmp_path / "built" / "pascal5i").is_dir()
    assert command("--dataset=pascal5i", "--download") == 0
    assert capsys.readouterr().out.startswith("Nothing is lacking.\n")
    assert len(server.asked) == 2


def test_only_what_coco_lacks_is_fetched(server, tmp_path, command, capsys):
    coco.write_benchmark(command.folder)
    names = sorted(path.name for path in command.folder.iterdir())
    assert "val2017.zip" in names, names
    serve(server, "val2017.zip", (command.folder / "val2017.zip").read_bytes())
    (command.folder / "val2017.zip").unlink()
    assert command("--dataset=coco20i", "--download") == 0
    assert [name for name, _ in server.asked] == ["val2017.zip"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dataset=folders"], "--download is not for --dataset=folders: leave it out."),
        (
            ["--dataset=coco20i"],
            "COCO of which year is to be fetched? Say it with --year=2014 or --year=2017.",
        ),
        (["--dataset=coco20i", "--year=2014", "--holdout=0.2"], "leave --holdout or --download out."),
    ],
)
def test_what_cannot_be_fetched(server, command, capsys, flags, said):
    assert command("--download", *flags) == 2
    assert said in capsys.readouterr().err
    assert server.asked == []
