"""Manifests: readable without this package, exact on the way back, and strict about what they accept."""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from fsjax.data import manifest
from fsjax.data.index import build_index
from fsjax.data.sampling import EpisodeSampler
from fsjax.errors import InputError
from tests.toy import ToySource


class Accented(ToySource):
    """Its image ids are hard to write down."""

    def __init__(self, cache_dir, n):
        super().__init__(cache_dir, n)
        self.ids = [f'été {position}\u2028"\r' for position in range(len(self.ids))]


@pytest.fixture(params=[ToySource, Accented])
def drawn(request, tmp_path):
    """A source, its sampler and a written manifest."""
    source = request.param(tmp_path / "cache", n=80)
    sampler = EpisodeSampler(
        build_index(source), source.class_names, (1, 2, 5), ways=2, shots=2, queries=3, seed=8, without=(6,)
    )
    path = tmp_path / "new" / "episodes.jsonl"
    header = manifest.describe(source, sampler, fold=1, label_policy="void ignored")
    specs = [sampler(i) for i in range(10)]
    return source, header, specs, path, manifest.write(path, header, specs, source.ids)


def test_any_tool_can_read_it(drawn):
    source, _, specs, path, sha256 = drawn
    first, *lines = path.read_bytes().split(b"\n")[:-1]
    header = json.loads(first)
    sealed_by = header.pop("header_sha256")
    text = json.dumps(dict(sorted(header.items())) | {"classes": dict(sorted(header["classes"].items()))})
    assert sealed_by == hashlib.sha256(text.encode()).hexdigest()
    assert header == {
        "data_set": "toy",
        "version": "1.0.0",
        "split": "test",
        "fold": 1,
        "classes": {"ant": 1, "bee": 2, "emu": 5},
        "eligibility": "at least 1 pixels of the class in the original mask, no pixel of fox",
        "label_policy": "void ignored",
        "ways": 2,
        "shots": 2,
        "queries": 3,
        "runs": 1,
        "seed": 8,
        "policy": "class_uniform",
        "sha256": hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest(),
    }
    assert json.loads(first)["sha256"] == sha256
    for line, spec in zip(lines, specs, strict=True):
        assert json.loads(line) == {
            "index": spec.index,
            "class_ids": list(spec.class_ids),
            "support": [[source.ids[p] for p in way] for way in spec.support],
            "query": [source.ids[p] for p in spec.query],
        }


def test_round_trip(drawn):
    source, header, specs, path, sha256 = drawn
    assert manifest.read(path, source) == (header, specs)
    assert manifest.digest(specs, source.ids) == sha256
    assert manifest.digest(specs[:-1], source.ids) != sha256
    assert [file.name for file in path.parent.iterdir()] == ["episodes.jsonl"]


def test_positions_may_move(drawn):
    source, _, specs, path, sha256 = drawn
    source.ids, source._photos = source.ids[::-1], source._photos[::-1]
    moved = manifest.read(path, source)[1]
    assert moved != specs
    assert manifest.digest(moved, source.ids) == sha256


def rewrite(path, number, change, sign=True):
    """Changes one line, and by default the sha256 with it."""
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = change(lines[number - 1])
    body = b"\n".join(lines[1:])
    if sign and number > 1:
        lines[0] = with_fields(sha256=hashlib.sha256(body).hexdigest())(lines[0])
    if sign:
        lines[0] = unsigned(lines[0])
    path.write_bytes(b"\n".join(lines))


def unsigned(line):
    """A header as fsjax 0.5 and before wrote it."""
    with contextlib.suppress(ValueError, AttributeError, TypeError, RecursionError):
        header = json.loads(line)
        header.pop("header_sha256", None)
        return json.dumps(header).encode()
    return line


def with_fields(**fields):
    return lambda line: json.dumps(json.loads(line) | fields).encode()


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (1, lambda line: b"", "line 1: not a header"),
        (1, lambda line: b"[]", "line 1: not a header"),
        (1, with_fields(surprise=1), "line 1: not a header"),
        (1, with_fields(ways=0), "line 1: not a header"),
        (1, with_fields(runs="5"), "line 1: not a header"),
        (1, with_fields(seed=-1), "line 1: not a header"),
        (1, with_fields(seed=True), "line 1: not a header"),
        (1, with_fields(seed=2**63), "line 1: not a header"),
        (1, with_fields(shots=2.0), "line 1: not a header"),
        (1, with_fields(queries=True), "line 1: not a header"),
        (1, with_fields(fold="1"), "line 1: not a header"),
        (1, with_fields(fold=-1), "line 1: not a header"),
        (1, with_fields(eligibility=None), "line 1: not a header"),
        (1, with_fields(label_policy=["void"]), "line 1: not a header"),
        (1, with_fields(sha256=7), "line 1: not a header"),
        (1, with_fields(classes=[]), "line 1: not a header"),
        (1, with_fields(classes={"ant": "1"}), "line 1: not a header"),
        (1, with_fields(classes={"ant": True}), "line 1: not a header"),
        (1, lambda line: b"\xff\xfe\x00\x01", "line 1: not a header"),
        (1, lambda line: b"[" * 100_000, "line 1: not a header"),
        (
            1,
            with_fields(policy="walk"),
            "line 1: its policy 'walk' is unknown; name one of class_uniform, pair_epoch, list_walk",
        ),
        (1, with_fields(data_set="coco"), "line 1: its data_set is 'coco' and the data's is 'toy'"),
        (1, with_fields(version="2.0.0"), "line 1: its version is '2.0.0'"),
        (1, with_fields(split="train"), "line 1: its split is 'train'"),
        (1, with_fields(classes={"ant": 1, "bee": 3}), "line 1: it gives class 'bee' the id 3"),
        (1, with_fields(classes={"gnu": 7}), "line 1: it gives class 'gnu' the id 7"),
        (3, lambda line: line[:-4], "line 3: not an episode"),
        (3, lambda line: b"7", "line 3: not an episode"),
        (3, lambda line: b"", "line 3: not an episode"),
        (3, lambda line: b"\x89PNG\xff\xfe", "line 3: not an episode"),
        (3, lambda line: b"[" * 100_000, "line 3: not an episode"),
        (4, with_fields(index=-1), "line 4: not an episode"),
        (4, with_fields(index=True), "line 4: not an episode"),
        (4, with_fields(index="2"), "line 4: not an episode"),
        (4, with_fields(index=2.0), "line 4: not an episode"),
        (4, with_fields(index=2**63), "line 4: not an episode"),
        (4, with_fields(class_ids=["1", "2"]), "line 4: not an episode"),
        (4, with_fields(query=[1, 2, 3]), "line 4: not an episode"),
        (4, lambda line: b'{"index": 2}', "line 4: not an episode"),
        (4, with_fields(query=[["a"]] * 3), "line 4: not an episode"),
        (5, with_fields(query=["cow", "cow", "cow"]), "line 5: image 'cow' is not in the data set"),
        (6, with_fields(query=[]), "line 6: not a 2-way 2-shot episode with queries=3"),
        (7, with_fields(class_ids=[1, 3]), "line 7: class_ids"),
        (7, with_fields(class_ids=[5, 5]), r"line 7: class_ids \[5, 5\] hold a class twice"),
    ],
)
def test_bad_lines_are_named(drawn, number, change, message):
    source, path = drawn[0], drawn[3]
    rewrite(path, number, change)
    with pytest.raises(InputError, match=message) as raised:
        manifest.read(path, source)
    assert str(path) in str(raised.value)


def one_twice(episode):
    """A query that another one is."""
    episode["query"][2] = episode["query"][0]
    return episode["query"][0], "query image {} stands twice"


def one_in_both(episode):
    """A query that is a support, of whichever way."""
    episode["query"][1] = episode["support"][1][0]
    return episode["query"][1], "query image {} is a support as well"


def one_support_twice(episode):
    episode["support"][0][1] = episode["support"][0][0]
    return episode["support"][0][0], "support image {} stands twice"


@pytest.mark.parametrize("change", [one_twice, one_in_both, one_support_twice])
def test_what_stands_twice_is_named(drawn, change):
    source, path = drawn[0], drawn[3]
    episode = json.loads(path.read_bytes().split(b"\n")[5])
    image_id, message = change(episode)
    rewrite(path, 6, lambda line: json.dumps(episode).encode())
    with pytest.raises(
        InputError, match=re.escape(f"line 6: {message.format(repr(image_id))}; name another")
    ):
        manifest.read(path, source)


def test_two_ways_may_share_a_support(drawn):
    source, header, specs, path, _ = drawn
    (one, other), query = specs[0].class_ids, specs[0].query
    shared = next(
        position
        for position in range(len(source.ids))
        if {one, other} <= set(source.labels(position).ravel().tolist()) and position not in query
    )
    ways = tuple((shared, next(p for p in way if p != shared)) for way in specs[0].support)
    specs = [replace(specs[0], support=ways)]
    manifest.write(path, header, specs, source.ids)
    assert manifest.read(path, source)[1] == specs


def test_a_query_without_any_class_is_named(drawn):
    source, _, specs, path, _ = drawn
    taken = {*specs[3].query, *(position for way in specs[3].support for position in way)}
    without = next(
        position
        for position in range(len(source.ids))
        if position not in taken and not np.isin(source.labels(position), specs[3].class_ids).any()
    )
    query = [source.ids[position] for position in (*specs[3].query[:2], without)]
    rewrite(path, 5, with_fields(query=query))
    names = ", ".join(source.class_names[class_id - 1] for class_id in specs[3].class_ids)
    shown = re.escape(f"query image {source.ids[without]!r} shows no pixel of {names}; name an image")
    with pytest.raises(InputError, match=f"line 5: {shown}"):
        manifest.read(path, source)


def test_a_support_without_its_class_is_named(drawn):
    source, _, specs, path, _ = drawn
    class_id, (_, *others) = specs[5].class_ids[0], specs[5].support[0]
    without = next(p for p in range(len(source.ids)) if not (source.labels(p) == class_id).any())
    support = [[source.ids[p] for p in way] for way in ((without, *others), specs[5].support[1])]
    rewrite(path, 7, with_fields(support=support))
    shown = re.escape(f"{source.ids[without]!r} shows no pixel of class '{source.class_names[class_id - 1]}'")
    with pytest.raises(InputError, match=f"line 7: support image {shown}"):
        manifest.read(path, source)


def test_changed_episodes_are_noticed(drawn):
    source, path = drawn[0], drawn[3]
    whole = path.read_bytes()
    rewrite(path, 4, with_fields(index=77), sign=False)
    with pytest.raises(InputError, match="changed or cut short"):
        manifest.read(path, source)
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="changed or cut short"):
        manifest.read(path, source)


@pytest.mark.parametrize("change", [{"seed": 9}, {"fold": None}, {"header_sha256": "0" * 64}])
def test_a_changed_header_is_noticed(drawn, change):
    source, header, _, path, _ = drawn
    rewrite(path, 1, with_fields(**change), sign=False)
    for read in (lambda: manifest.read(path, source), lambda: manifest.read_header(path)):
        with pytest.raises(InputError, match="line 1: it is not the header that was written"):
            read()
    rewrite(path, 1, unsigned)  # by hand, or by fsjax 0.5
    assert replace(manifest.read(path, source)[0], **{"seed": 8, "fold": 1}) == header


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl.*check the path"):
        manifest.read(tmp_path / "nowhere.jsonl", ToySource())
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="is a folder, a pipe or a device; name a file"):
            manifest.read_header(path)
