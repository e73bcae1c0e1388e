"""What is counted photo by photo is what one episode at a time gives."""

from dataclasses import replace
from itertools import permutations

import jax
import pytest

from fsjax.data.sampling import EpisodeSpec, other_support
from fsjax.evaluation.adapted import evaluate_adapted
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import MOST_EPISODES, Scoring
from fsjax.models.scales import Scales
from fsjax.segmenter import Segmenter
from tests.evaluation.episodes import (
    LONGSIDE,
    SIDE,
    SOURCE,
    Alike,
    assert_same,
    crowded,
    dpnet,
    drawn,
    photos,
    prnet,
    sampler,
)

THREE = Scales((0.75, 1.0, 1.5), "probability")


def both_in_one():
    """Two-way episodes: a support photo that shows both ways, for either or for both of them."""
    pairs = [(a, b) for a in range(1, 7) for b in range(1, 7) if a != b and SOURCE.showing(a, b)]
    specs = []
    for i, (a, b) in enumerate(pairs):
        (shared, *_), (query, other, *_) = SOURCE.showing(a, b), SOURCE.showing(b)[::-1]
        ways = ((shared,), (shared if i % 2 else other,))
        specs.append(EpisodeSpec(i, (a, b), ways, (query,), (a, b)))
    return specs


def rescued():
    """One-way episodes whose support, or query, shows a single pixel of its class."""
    (tiny, *others) = SOURCE.showing(1)
    assert tiny == SOURCE.tiny
    shows = [EpisodeSpec(i, (1,), ((tiny,),), (query,), (1,)) for i, query in enumerate(others)]
    return [*shows, EpisodeSpec(len(shows), (1,), ((others[0],),), (tiny,), (1,))]


CASES = {
    "many episodes a query": (prnet(), photos(), crowded()),
    "one episode a query": (prnet(), photos(batch_size=2), drawn(9, classes=(1, 2, 3, 4, 5, 6))),
    "a support of both ways": (prnet(), photos(), both_in_one()),
    "a rescued object": (prnet(), photos(), rescued()),
    "five shots": (prnet(), photos(), drawn(10, shots=5)),
    "three queries, joint": (prnet(joint=True), photos(), drawn(10, ways=2, shots=2, queries=3)),
    "dpnet": (dpnet(), photos(size=SIDE + 1, label="original"), drawn(9, ways=2, shots=2)),
}
MORE_CASES = {
    "three queries, original, longside, scales": (
        prnet(scales=THREE, input="longside"),
        photos(**LONGSIDE),
        drawn(10, ways=2, queries=3),
    ),
}


@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_CASES)]
)
def test_counts_are_those_of_one_episode_at_a_time(name):
    segmenter, read, specs = (CASES | MORE_CASES)[name]
    outputs = segmenter.method.outputs
    (counts,) = evaluate(read, [Scoring(segmenter, specs, outputs)]).counts
    assert counts.keys() == set(outputs)
    assert_same(counts, *evaluate_adapted(read, segmenter, specs, None), outputs)


def shown_its_truth(spec):
    """The episode in which every way is shown all queries."""
    return replace(spec, support=(spec.query,) * len(spec.class_ids))


def same_queries():
    """Two-way episodes of the same two queries, which are segmented in one call."""
    queries = SOURCE.showing(1, 3)[0], SOURCE.showing(2, 6)[0]
    classes = list(permutations((1, 2, 3, 6), 2))[:MOST_EPISODES]
    return [EpisodeSpec(i, pair, ((0,), (0,)), queries, pair) for i, pair in enumerate(classes)]


@pytest.mark.parametrize("specs", [drawn(9), same_queries()], ids=["one way", "two ways"])
def test_the_oracle_is_shown_the_truth_of_its_queries(specs):
    read = replace(photos(), source=Alike())
    (counts,) = evaluate(read, [Scoring(prnet(), specs, ("fusion0",), oracle=True)]).counts
    by_hand = [shown_its_truth(spec) for spec in specs]
    assert_same(counts, *evaluate_adapted(read, prnet(), by_hand, None), ["fusion0"])


def test_the_oracle_segments_at_one_scale():
    specs = drawn(9, ways=2, queries=2)
    scaled = replace(prnet(), scales=THREE)
    oracles = [Scoring(segmenter, specs, ("fusion0",), oracle=True) for segmenter in (prnet(), scaled)]
    one, three = (evaluate(photos(), [oracle]).counts[0] for oracle in oracles)
    assert_same(three, one, ["fusion0"])


def test_scorings_share_a_pass_and_keep_their_own_counts():
    draw = {"classes": (1, 2, 3)}
    specs = drawn(20, **draw)
    wrong = [s for spec in specs if (s := other_support(spec, sampler(**draw), False)) is not None]
    plain, joint = prnet(), prnet(joint=True)
    scorings = [
        Scoring(plain, specs, ("fusion0", "fusion2")),
        Scoring(plain, wrong, ("fusion2",)),
        Scoring(None, specs, ("any_object",)),
        Scoring(joint, drawn(5, ways=2, queries=3), ("fusion1",)),
        Scoring(plain, specs, ("fusion0",), oracle=True),
    ]
    counted = evaluate(photos(), scorings)
    for scoring, counts in zip(scorings, counted.counts, strict=True):
        (alone,) = evaluate(photos(), [scoring]).counts
        assert_same(counts, alone, scoring.outputs)
    assert_same(counted.counts[1], *evaluate_adapted(photos(), plain, wrong, None), ["fusion2"])
    assert not any(spec.shown == spec.class_ids for spec in wrong)


def test_a_call_takes_one_episode_where_more_would_take_too_much(monkeypatch):
    scoring, asked = Scoring(prnet(), same_queries(), ("fusion0",)), []
    segment = Segmenter.segment_features

    def spied(self, fitted, queries, shape, sizes):
        asked.append(jax.tree.leaves(fitted)[0].shape[1:3])
        return segment(self, fitted, queries, shape, sizes)

    monkeypatch.setattr(Segmenter, "segment_features", spied)
    (many,) = evaluate(replace(photos(), batch_size=4), [scoring]).counts
    monkeypatch.setattr("fsjax.evaluation.counting.LARGEST", 1)
    (one,) = evaluate(replace(photos(), batch_size=4), [scoring]).counts
    assert_same(one, many, ["fusion0"])
    assert asked[0] != (1, 1)
    assert asked[-1] == (1, 1)
