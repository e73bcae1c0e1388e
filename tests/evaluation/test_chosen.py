"""The episodes that are shown, against a sort by hand."""

import numpy as np
import pytest

from fsjax.evaluation.chosen import choose, first_ious
from tests.evaluation.test_paired import POLICY, episode


def row(hits, queries=None):
    """Episodes of an object of 100 pixels, of which so many are found."""
    queries = queries or [f"q{i}" for i in range(len(hits))]
    return [episode(q, hit, 100 - hit, index=i) for i, (q, hit) in enumerate(zip(queries, hits, strict=True))]


def places(chosen, note=None):
    return [one.place for one in chosen if note in (None, one.note)]


HITS = [50, 90, 10, 70, 30, 80, 20]  # ranks: 1, 5, 3, 0, 4, 6, 2


@pytest.mark.parametrize(
    ("which", "expected"), [("best", [1, 5, 3]), ("worst", [2, 6, 4]), ("median", [0, 3, 4])]
)
def test_one_kind_is_in_the_order_of_its_ranks(which, expected):
    chosen = choose(row(HITS), 3, which, **POLICY)
    assert places(chosen) == expected
    assert {one.note for one in chosen} == {which}


@pytest.mark.parametrize(
    ("number", "best", "median", "worst"),
    [
        (7, [1, 5, 3], [0, 4], [2, 6]),
        (5, [1, 5], [0, 3], [2]),
        (1, [1], [], []),
        (30, [1, 5, 3], [0, 4], [2, 6]),
    ],
)
def test_a_spread_is_a_third_of_each(number, best, median, worst):
    chosen = choose(row(HITS), number, "spread", **POLICY)
    assert [places(chosen, note) for note in ("best", "median", "worst")] == [best, median, worst]


def test_a_photo_is_shown_once():
    chosen = choose(row([90, 80, 70, 60], ["a", "a", "b", "a"]), 3, "best", **POLICY)
    assert places(chosen) == [0, 2]


def test_it_is_the_first_query_that_counts_with_all_its_ways():
    """Way 1 is found whole and way 2 by half; a way that nowhere occurs is not counted."""
    nothing = [[0, 0, 0]] * 4
    whole = [[0, 0, 0], [0, 8, 0], [0, 0, 0], [0, 0, 0]]
    half = [[0, 0, 0], [0, 8, 0], [4, 0, 4], [0, 0, 0]]
    missed = [[0, 0, 0], [9, 0, 0], [0, 0, 0], [0, 0, 0]]
    episodes = [
        {**episode(f"q{i}", index=i), "class_ids": [1, 2], "support": [["s"], ["t"]], "confusion": matrices}
        for i, matrices in enumerate([[missed, whole], [half, missed], [whole, missed], [nothing, missed]])
    ]
    assert places(choose(episodes, 4, "best", **POLICY)) == [2, 3, 1, 0]


def test_an_iou_that_no_way_defines_is_not_a_number():
    """Way 1 is found by 8 of 12 pixels, way 2 not at all; of the second query nothing counts."""
    part = [[0, 1, 0], [3, 8, 0], [5, 0, 0], [0, 0, 0]]
    shown = {**episode("q"), "class_ids": [1, 2], "confusion": [part, [[0, 9, 9]] * 4]}
    nothing = {**shown, "confusion": [[[7, 0, 0], [0, 0, 0], [0, 0, 0], [0, 5, 0]]] * 2}
    ious = first_ious([shown, nothing], **POLICY)
    assert ious == pytest.approx([(8 / 12 + 0) / 2, np.nan], nan_ok=True)
    ious = first_ious([shown, nothing], void="background", counting="strict")
    assert ious == pytest.approx([(8 / 12 + 0) / 2, 0])


def test_void_counts_as_the_protocol_says():
    shown = [episode("a", 80, 20), episode("b", 70, 30, index=1)]
    shown[0]["confusion"] = [[[7, 0], [20, 80], [0, 100]]]  # void that is taken for the object
    assert places(choose(shown, 1, "best", void="ignore", counting="strict")) == [0]
    assert places(choose(shown, 1, "best", void="background", counting="strict")) == [1]


def test_ranks_are_those_of_numpy():
    hits = np.random.default_rng(0).permutation(101)[:60].tolist()
    assert places(choose(row(hits), 60, "best", **POLICY)) == np.argsort(hits)[::-1].tolist()
