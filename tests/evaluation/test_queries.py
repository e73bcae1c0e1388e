"""Every query photo is read once and embedded once a scale, whatever rows and episodes show it."""

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.data.images import load_photo
from fsjax.data.sampling import other_support
from fsjax.data.store import Store
from fsjax.errors import InputError
from fsjax.evaluation.controls import ANY_OBJECT
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.queries import Queries
from fsjax.evaluation.scoring import Scoring, group_queries
from fsjax.evaluation.supports import Supports
from fsjax.evaluation.trees import Trees
from fsjax.models.baselines.over_features import OverFeatures
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.scales import Scales
from fsjax.segmenter import Segmenter
from tests.evaluation.episodes import BACKBONE, SIDE, Toy, dpnet, drawn, photos, prnet, sampler
from tests.evaluation.spied import (
    Read,
    in_full_batches,
    once,
    query_photos,
    seen_photos,
    spied,
    support_photos,
)
from tests.models.dpnet.toy import METHOD


@contextmanager
def planned(scorings, read):
    """The queries of some scorings, no support having been embedded."""
    with Store(None, read.memory) as store:
        trees = Trees(store)
        groups, supports = group_queries(scorings), Supports(read, [], [], trees)
        yield Queries(read, scorings, groups, scorings[0].segmenter, supports, trees)


@pytest.mark.parametrize("memory", [0, 10**9])
def test_each_scale_of_a_query_is_embedded_once(memory):
    factors = (0.5, 1.0, 1.5)
    specs = drawn(20, queries=2)
    supports, queries = support_photos(specs), query_photos(specs)
    segmenter = prnet(scales=Scales(factors, "logit"))
    counted = evaluate(photos(memory), [Scoring(segmenter, specs, ("fusion0",))])
    new = queries - supports if memory else queries
    assert len(new) < len(queries) or not memory
    expected = once(supports, "support") + once(new, "query") + once(queries, "query", 0.5, 1.5)
    assert counted.extracted == expected


def test_rows_of_the_same_variables_share_every_extraction():
    backbone, seen = spied(METHOD.backbone)
    own = replace(dpnet(), method=replace(METHOD, backbone=backbone))
    prototypes = replace(
        own, method=OverFeatures(own.method, PRNet(own.method.backbone)), settings=FusionSettings()
    )
    draw = {"classes": (1, 2, 3)}
    specs = drawn(20, **draw)
    wrong = [s for spec in specs if (s := other_support(spec, sampler(**draw), present=False))]
    scorings = [
        Scoring(own, specs, ("aux", "master")),
        Scoring(prototypes, specs, ("fusion0", "fusion2")),
        Scoring(own, wrong, ("master",)),
        Scoring(own, specs, ("aux",), oracle=True),
        Scoring(None, specs, (ANY_OBJECT,)),
    ]
    source = Read()
    read = Photos(source, photos(size=SIDE + 1).settings, 1, memory=0)
    counted = evaluate(read, scorings)
    supports, queries = support_photos(specs + wrong), query_photos(specs)
    assert counted.extracted == once(supports, "support") + once(queries, "query")
    assert source.images == Counter(supports) + Counter(queries)  # a record is read once a role, too
    assert set(seen_photos(seen, read)) == supports | queries
    assert len(seen) == sum(in_full_batches(len(role), read.slots) for role in (supports, queries))


def test_queries_that_wait_for_one_another_are_embedded_once():
    backbone, seen = spied(BACKBONE)
    specs = drawn(20, ways=2, queries=3)
    plain = prnet(backbone=backbone)
    joint = replace(plain, settings=FusionSettings(joint=True))
    scorings = [Scoring(segmenter, specs, ("fusion2",)) for segmenter in (plain, joint)]
    read = photos(0)
    counted = evaluate(read, scorings)
    supports, queries = support_photos(specs), query_photos(specs)
    assert counted.extracted == once(supports, "support") + once(queries, "query")
    assert len(seen) == sum(in_full_batches(len(role), read.slots) for role in (supports, queries))


def test_groups_come_with_their_own_photos_in_their_own_order():
    specs = drawn(12, ways=2, queries=3)
    scorings = [Scoring(segmenter, specs, ("fusion2",)) for segmenter in (prnet(), prnet(joint=True))]
    read = photos(0, label="original")
    with planned(scorings, read) as queries:
        groups = list(chain.from_iterable(queries.embedded()))
    assert {group.positions for group, _ in groups} == {
        *(spec.query for spec in specs),
        *((position,) for position in query_photos(specs)),
    }
    embed = jax.jit(prnet().method.embed)
    for group, embedded in groups:
        classes = {scorings[place.scoring].specs[place.episode].class_ids for place in group.places}
        for position, one in zip(group.positions, embedded, strict=True):
            height, width = one.truth.size
            assert (height, width) == read.source.size(position)
            for of_classes in classes:
                mask = one.truth.masks[of_classes]
                assert mask.shape == (128, 128)
                assert not mask[height:].any()
                assert not mask[:, width:].any()
                truth = read.source.mask(position, of_classes, None)
                np.testing.assert_array_equal(mask[:height, :width], truth)
            image, size = (jnp.asarray(x)[None] for x in load_photo(read.source, position, read.settings))
            (found,) = one.features
            np.testing.assert_allclose(found.map, embed(prnet().variables, image, size).map[0], atol=1e-5)


def test_the_next_batch_is_on_its_way_while_one_is_used(monkeypatch):
    calls = []
    embed = Segmenter.embed
    monkeypatch.setattr(Segmenter, "embed", lambda *arguments: (calls.append(1), embed(*arguments))[1])
    specs = drawn(40, classes=(1, 2, 3, 4, 5, 6))
    total = -(-len(query_photos(specs)) // photos().slots)
    assert total >= 3
    with planned([Scoring(prnet(), specs, ("fusion0",))], photos()) as queries:
        for used, _ in enumerate(queries.embedded(), 1):
            assert len(calls) == min(used + 1, total)


def test_objects_need_no_features():
    specs = drawn(6)
    counted = evaluate(photos(), [Scoring(None, specs, (ANY_OBJECT,))])
    assert not counted.extracted
    assert len(counted.counts[0][ANY_OBJECT]) == len(specs)


@pytest.mark.parametrize("role", ["support", "query"])
def test_a_photo_that_cannot_be_read_ends_the_evaluation_and_its_threads(role):
    before = set(threading.enumerate())
    source = Toy()

    def broken(position, class_ids, way):
        if (way is None) == (role == "query"):
            raise InputError("photo 7 is broken")
        return Toy.mask(source, position, class_ids, way)

    source.mask = broken
    with pytest.raises(InputError, match="photo 7 is broken"):
        evaluate(Photos(source, photos().settings, 1), [Scoring(prnet(), drawn(40), ("fusion0",))])
    assert set(threading.enumerate()) <= before
