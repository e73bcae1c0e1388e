"""Weights by name: fetched once from a hub, then taken from the cache; whatever fails is one sentence."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import constants

from fsjax.errors import InputError
from fsjax.models.backbones.hub import HubFile, fetch, parse
from tests.hub_server import COMMIT, in_place_of_the_hub, serving

REPOSITORY = "timm/resnet50.tv_in1k"
PATH = f"/{REPOSITORY}/resolve/main/model.safetensors"
CONTENTS = safetensors.numpy.save({"fc.bias": np.arange(1000, dtype=np.float32)})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add(REPOSITORY, CONTENTS)
        yield hub


def refused(file, said):
    with pytest.raises(InputError, match=said) as error:
        fetch(file)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_is_fetched_once_and_then_needs_no_hub(hub, tmp_path):
    path = fetch(HubFile(REPOSITORY))
    assert path.read_bytes() == CONTENTS
    assert path.is_relative_to(tmp_path / "cache")
    assert hub.asked.count(("GET", PATH)) == 1
    asked = len(hub.asked)
    assert fetch(HubFile(REPOSITORY)) == path
    assert len(hub.asked) == asked
    hub.shutdown()
    hub.server_close()
    assert fetch(HubFile(REPOSITORY)) == path


def test_a_revision_and_another_file_are_their_own(hub):
    other = safetensors.numpy.save({"fc.bias": np.zeros(3, np.float32)})
    hub.add("me/mine", other, "weights/resnet.safetensors", "v2")
    assert fetch(parse("hf://me/mine@v2/weights/resnet.safetensors")).read_bytes() == other
    hub.add("me/mine", CONTENTS, revision=COMMIT)
    assert fetch(parse(f"me/mine@{COMMIT}")).read_bytes() == CONTENTS


def unplugged(hub):
    hub.shutdown()
    hub.server_close()


def offline(hub):
    constants.HF_HUB_OFFLINE = True  # the fixture puts it back


def out_of_order(hub):
    del hub.files[PATH]
    hub.refusals[PATH] = 503, ""


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(unplugged, "Connection refused"), (offline, "HF_HUB_OFFLINE is set"), (out_of_order, "503")],
)
def test_without_a_hub_the_sentence_says_what_to_put_where(trouble, reason, hub, monkeypatch):
    trouble(hub)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it tries again and again"))
    sentence = refused(HubFile(REPOSITORY), reason)
    assert f"model.safetensors of {REPOSITORY} is not in the cache" in sentence
    assert f"download {hub.endpoint}{PATH} where there is a network" in sentence
    assert "--config.model.weights=FOLDER/model.safetensors" in sentence


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "RepoNotFound", "no repository that http://127.0.0.1.* shows you: correct the name"),
        (404, "RepoNotFound", "no repository that"),
        (403, "GatedRepo", "open only to those whom its owner lets in"),
        (404, "RevisionNotFound", "has no revision main"),
        (404, "EntryNotFound", r"has no model\.safetensors: name a file of it as timm/none/FILE\."),
        (429, "", "429"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(status, code, said, hub):
    hub.refusals["/timm/none/resolve/main/model.safetensors"] = status, code
    assert "timm/none" in refused(HubFile("timm/none"), said)
    refused(HubFile("timm/none"), said)  # nothing of a failure is taken for a file


def test_a_body_cut_short_leaves_nothing_behind(hub):
    hub.sent[PATH] = CONTENTS[:-100]
    refused(HubFile(REPOSITORY), rf"cannot be fetched \(Consistency check failed.* {len(CONTENTS)} ")
    del hub.sent[PATH]
    assert fetch(HubFile(REPOSITORY)).read_bytes() == CONTENTS


def test_what_is_no_safetensors_is_refused(hub):
    hub.add("me/page", b"<html>Please log in.</html>")
    assert "model.safetensors of me/page" in refused(HubFile("me/page"), r"no whole \.safetensors")


def test_a_file_damaged_in_the_cache_is_fetched_anew(hub):
    path = fetch(HubFile(REPOSITORY))
    path.resolve().write_bytes(CONTENTS[:500])
    assert fetch(HubFile(REPOSITORY)).read_bytes() == CONTENTS
    other = bytearray(CONTENTS)
    other[-1] ^= 1  # weights all the same, but not those of the hub
    path.resolve().write_bytes(other)
    assert fetch(HubFile(REPOSITORY)).read_bytes() == CONTENTS
    path.resolve().write_bytes(CONTENTS[:500])
    unplugged(hub)
    refused(HubFile(REPOSITORY), "damaged there, and cannot be fetched")


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("timm/resnet50.a1_in1k", HubFile("timm/resnet50.a1_in1k")),
        ("hf://runs/mine", HubFile("runs/mine")),
        ("me/mine@v1.0", HubFile("me/mine", revision="v1.0")),
        ("me/mine/a/b.safetensors", HubFile("me/mine", "a/b.safetensors")),
        ("runs/mine", None),
        ("here/mine", None),
        ("weights/resnet50.safetensors", None),
        ("weights/resnet50.npz", None),
        ("resnet50.pth", None),
        ("me/mine/folder", None),
        ("/me/mine", None),
        ("./me/mine", None),
        ("../me", None),
        ("me/mine/../../other.safetensors", None),
        ("C:\\me\\mine", None),
        ("me/mïne", None),
        ("", None),
    ],
)
def test_a_hub_s_file_and_a_path_are_told_apart(text, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert parse(text) == file


@pytest.mark.parametrize("text", ["hf://", "hf://resnet50", "hf://me/mine/model.bin", "hf://me/../mine"])
def test_a_malformed_name_of_the_hub_is_told(text):
    with pytest.raises(InputError, match="names no weights: write hf://owner/name"):
        parse(text)


PROGRAM = """
from fsjax.errors import InputError
from fsjax.models.backbones.hub import HubFile, fetch
try:
    print(fetch(HubFile("me/mine")))
    print(fetch(HubFile("me/other")))
except InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_hub_s_own_variables_are_heard(tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, as a user sets them."""

    def run(**more):
        proxies = {"http_proxy", "https_proxy", "all_proxy"}
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k.lower() not in proxies}
        home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(command, env=plain | home | more, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with serving() as hub:
        hub.add("me/mine", CONTENTS)
        path, sentence = run()
        assert path.startswith(str(tmp_path / "home" / "hub"))
        assert "me/other has no model.safetensors" in sentence
        asked = len(hub.asked)
        again, sentence = run(HF_HUB_OFFLINE="1")
        assert again == path
        assert "HF_HUB_OFFLINE is set" in sentence
        assert len(hub.asked) == asked
