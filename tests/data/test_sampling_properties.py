"""Episodes keep their rules for any photos, classes, numbers and seed, and manifests give them back."""

import contextlib
import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsjax.data import manifest
from fsjax.data.index import ClassIndex
from fsjax.data.sampling import SAMPLERS, TooFewImagesError, make_sampler, other_support
from fsjax.data.source import LISTED, SHRINKS
from fsjax.errors import InputError
from tests.toy import ToySource

NAMES = ("ant", "bee", "cat", "dog")
C = len(NAMES)
WALKS = tuple(policy for policy in SAMPLERS if policy != "class_uniform")

seeds = st.integers(0, 2**63 - 1)
numbers = st.integers(0, 2**40)  # of episodes


@st.composite
def photos(draw):
    """Pixels and flags of up to twelve photos, some of which show, list or keep little of a class."""
    n = draw(st.integers(3, 12))
    areas = draw(arrays(np.int32, (n, C), elements=st.sampled_from([0, 1, 9, 10, 500, 500, 500])))
    flags = draw(arrays(np.uint8, (n, C), elements=st.sampled_from([LISTED | SHRINKS] * 6 + [0, LISTED])))
    return areas, flags


def index_of(areas, flags):
    n = len(areas)
    return ClassIndex([f"photo {p}" for p in range(n)], areas, flags, np.full((n, 2), 30, np.int32))


@st.composite
def asked(draw, policies=("class_uniform", *SAMPLERS)):
    """A policy and what its sampler is asked for."""
    policy = draw(st.sampled_from(policies))
    free = policy == "class_uniform"
    classes = draw(st.lists(st.integers(1, C), min_size=1, unique=True))
    others = [c for c in range(1, C + 1) if c not in classes]
    return policy, {
        "classes": classes,
        "ways": draw(st.integers(1, 3)) if free else 1,
        "shots": draw(st.integers(1, 3)),
        "queries": draw(st.integers(1, 3)) if free else 1,
        "seed": draw(seeds),
        "min_area": draw(st.sampled_from([0, 1, 10, "oslsm"])),
        "without": draw(st.lists(st.sampled_from(others), max_size=1)) if others else (),
    }


def eligible(index, class_id, min_area, without):
    """The photos that count for a class, by their own sentence."""
    found = []
    for position, (areas, flags) in enumerate(zip(index.areas.tolist(), index.flags.tolist(), strict=True)):
        area, flag = areas[class_id - 1], flags[class_id - 1]
        enough = area > 0 and flag & SHRINKS if min_area == "oslsm" else area >= max(min_area, 1)
        if flag & LISTED and enough and not any(areas[c - 1] for c in without):
            found.append(position)
    return found


def pools(index, wanted):
    return {c: eligible(index, c, wanted["min_area"], wanted["without"]) for c in wanted["classes"]}


def sampler_of(index, policy, wanted):
    """None where the classes have too few photos, which has to be true."""
    need = wanted["shots"] + -(-wanted["queries"] // wanted["ways"])
    few = [NAMES[c - 1] for c, pool in pools(index, wanted).items() if len(pool) < need]
    refused: InputError | None = None
    try:
        sampler = make_sampler(policy, index, NAMES, **wanted)
    except InputError as error:
        sampler, refused = None, error
    if len(wanted["classes"]) < wanted["ways"]:
        assert "as many classes" in str(refused)
    elif few:
        assert isinstance(refused, TooFewImagesError)
        assert set(refused.names) == set(few)
    else:
        assert refused is None
    return sampler


def drawn(sampler, i):
    """An episode, or None where the ways share too few photos."""
    with contextlib.suppress(InputError):
        return sampler(i)


@given(photos(), asked(), numbers)
def test_an_episode_keeps_every_rule(photos, asked, first):
    index, (policy, wanted) = index_of(*photos), asked
    sampler = sampler_of(index, policy, wanted)
    assume(sampler)
    of = pools(index, wanted)
    shared = any(one & other for one, other in itertools.combinations(map(set, of.values()), 2))
    for i in range(first, first + 8):
        spec = drawn(sampler, i)
        if spec is None:
            assert shared
            assert wanted["ways"] > 1
        else:
            assert_rules(spec, i, wanted, of)


def assert_rules(spec, i, wanted, of):
    ways = spec.class_ids
    assert (spec.index, spec.shown) == (i, ways)
    assert len({*ways}) == len(ways) == wanted["ways"]
    assert {*ways} <= {*wanted["classes"]}
    for class_id, way in zip(ways, spec.support, strict=True):
        assert len({*way}) == len(way) == wanted["shots"]
        assert {*way} <= {*of[class_id]}
    assert len({*spec.query}) == len(spec.query) == wanted["queries"]
    assert not {*spec.query} & {*itertools.chain(*spec.support)}
    assert any(  # some order of the ways that the queries walk through
        all(query in of[order[t % len(ways)]] for t, query in enumerate(spec.query))
        for order in itertools.permutations(ways)
    )


@given(photos(), asked(), st.lists(st.integers(0, 60), min_size=2, max_size=6))
def test_an_episode_is_the_same_whatever_was_drawn_before(photos, asked, order):
    index = index_of(*photos)
    sampler = sampler_of(index, *asked)
    assume(sampler)
    fresh = {i: drawn(sampler_of(index, *asked), i) for i in order}
    assert [drawn(sampler, i) for i in order] == [fresh[i] for i in order]
    assert [drawn(sampler, i) for i in reversed(order)] == [fresh[i] for i in reversed(order)]


@given(photos(), asked(WALKS), st.integers(0, 5))
def test_a_walk_visits_every_query_once(photos, asked, epoch):
    index = index_of(*photos)
    policy, wanted = asked
    sampler = sampler_of(index, policy, wanted)
    assume(sampler)
    of = pools(index, wanted)
    pairs = [(c, query) for c, pool in of.items() for query in pool]
    images = sorted({query for _, query in pairs})
    length = len(images) if policy == "image_walk" else len(pairs)
    specs = [sampler(i) for i in range(epoch * length, (epoch + 1) * length)]
    walked = [(spec.class_ids[0], spec.query[0]) for spec in specs]
    if policy == "image_walk":
        assert [query for _, query in walked] == images
    else:
        assert sorted(walked) == sorted(pairs)
        assert walked == pairs or not (policy == "list_walk" and epoch == 0)


@given(photos(), asked(), numbers, st.booleans())
def test_a_control_shows_another_class_or_there_is_none(photos, asked, i, present):
    index = index_of(*photos)
    policy, wanted = asked
    wanted = wanted | {"ways": 1}
    sampler = sampler_of(index, policy, wanted)
    assume(sampler)
    spec = sampler(i)
    (right,) = spec.class_ids

    def pool(class_id):
        everyone = eligible(index, class_id, wanted["min_area"], wanted["without"])
        return {*everyone} - {*spec.query}

    def wrong(class_id):
        """Whether the class may be shown in place of the right one."""
        if present:
            counted = eligible(index, class_id, wanted["min_area"], wanted["without"])
            return {*spec.query} <= {*counted}
        return class_id in wanted["classes"] and not any(index.areas[q, class_id - 1] for q in spec.query)

    possible = [c for c in range(1, C + 1) if c != right and wrong(c) and len(pool(c)) >= wanted["shots"]]
    control = other_support(spec, sampler, present)
    assert control == other_support(spec, sampler, present)
    assert (control is None) == (not possible)
    if control is not None:
        (shown,), (way,) = control.shown, control.support
        assert replace(control, support=spec.support, shown=spec.shown) == spec
        assert shown in possible
        assert len({*way}) == wanted["shots"]
        assert {*way} <= pool(shown)
        clean = {p for p in pool(shown) if not index.areas[p, right - 1]}
        assert present or len(clean) < wanted["shots"] or {*way} <= clean


# ---- manifests ----


class Counted(ToySource):
    """A source without photos, of which a manifest asks no more than pixels by class."""

    class_names = NAMES

    def __init__(self, ids, index):
        super().__init__(n=0)
        self.ids, self.index = ids, index

    def areas(self, position):
        return self.index.areas[position]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests") / "episodes.jsonl"


@given(photos=photos(), asked=asked(), wanted_ids=st.lists(st.text(), min_size=12, max_size=12, unique=True))
def test_a_manifest_gives_its_episodes_back(path, photos, asked, wanted_ids):
    index = index_of(*photos)
    sampler = sampler_of(index, *asked)
    assume(sampler)
    source = Counted(wanted_ids[: len(index.ids)], index)
    header = manifest.describe(source, sampler, fold=0, label_policy="void ignored")
    specs = [spec for spec in (drawn(sampler, i) for i in (0, 1, 2**40)) if spec]
    sha256 = manifest.write(path, header, specs, source.ids)
    whole = path.read_bytes()
    first, _, lines = whole.partition(b"\n")
    assert json.loads(first)["sha256"] == sha256 == hashlib.sha256(lines).hexdigest()
    assert manifest.read(path, source) == (header, specs)
    assert manifest.read_header(path) == header
    assert manifest.digest(specs, source.ids) == sha256
    manifest.write(path, *manifest.read(path, source), source.ids)
    assert path.read_bytes() == whole
    if not sampler.without:
        assert manifest.rule_of(header) == (sampler.min_area or 1)
