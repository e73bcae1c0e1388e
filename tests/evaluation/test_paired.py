"""Rows are compared episode by episode, and an episode is what it shows."""

import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.evaluation.metrics import summarize
from fsjax.evaluation.paired import common, paired_difference

POLICY = {"void": "ignore", "counting": "strict"}
CLASSES = {1: "cat", 2: "dog"}


def episode(query, hit=5, missed=5, run=0, index=0, support="s", class_id=1, row="plain"):
    """An episode of one way and one shot, whose class has these numbers of pixels."""
    return {
        "row": row,
        "run": run,
        "index": index,
        "class_ids": [class_id],
        "support": [[support]],
        "shown": [class_id],
        "query": [query],
        "confusion": [[[7, 0], [missed, hit], [0, 0]]],
    }


def random_row(rng, runs=2, episodes=30):
    hits = rng.integers(0, 50, (runs, episodes))
    return [
        episode(f"q{run}_{i}", int(hits[run, i]), 50, run, run * episodes + i, class_id=1 + i % 2)
        for run in range(runs)
        for i in range(episodes)
    ]


def renamed(row):
    """The same episodes under other numbers, in another order."""
    return [record | {"index": 1000 - record["index"], "row": "other"} for record in row[::-1]]


def difference(records, others):
    return paired_difference(records, others, CLASSES, **POLICY)


def test_what_the_rows_share_cancels():
    rng = np.random.default_rng(4)
    sizes, shares = rng.integers(100, 2000, 60), rng.uniform(0.2, 0.7, 60)

    def row(more):
        hits = [int(size * (share + more)) for size, share in zip(sizes.tolist(), shares, strict=True)]
        return [
            episode(f"q{i}", hit, size - hit, index=i)
            for i, (hit, size) in enumerate(zip(hits, sizes.tolist(), strict=True))
        ]

    plain, better = row(0.0), row(0.1)
    result = difference(better, renamed(plain))

    assert result["episodes"] == 60
    assert result["difference"] == pytest.approx(10, abs=0.2)
    low, high = result["ci95"]
    alone = summarize(plain, CLASSES, **POLICY)["ci95"]
    assert low < result["difference"] < high
    assert high - low < 0.1 * (alone[1] - alone[0])


def test_the_interval_is_that_of_redrawing_both_rows_alike():
    rng = np.random.default_rng(5)
    first, second = random_row(rng), random_row(rng)
    low, high = difference(first, renamed(second))["ci95"]

    def score(drawn):
        of_class = [[r["confusion"][0] for r in drawn if r["class_ids"] == [c]] for c in CLASSES]
        return np.mean([sum(m[1][1] for m in ms) / sum(sum(m[1]) for m in ms) for ms in of_class])

    redrawn = []
    for _ in range(600):
        runs = []
        for run in (0, 1):
            drawn = 30 * run + rng.integers(0, 30, 30)
            runs.append(score([first[i] for i in drawn]) - score([second[i] for i in drawn]))
        redrawn.append(100 * np.mean(runs))
    assert [low, high] == pytest.approx(np.percentile(redrawn, [2.5, 97.5]), abs=0.12 * (high - low))


def test_names_and_order_of_episodes_change_nothing():
    rng = np.random.default_rng(6)
    first, second = random_row(rng), random_row(rng)
    assert difference(first, second) == difference(first, renamed(second))


def test_equal_numbers_do_not_make_a_pair():
    rows = [[episode(f"{name}{i}", index=i) for i in range(4)] for name in ("a", "b")]
    with pytest.raises(InputError, match=r"8 episodes are in one .* the first is episode 0 of run 0 .* a0:"):
        difference(*rows)


@pytest.mark.parametrize(
    "change",
    [
        {"query": ["other"]},
        {"support": [["other"]]},
        {"support": [["s", "t"]]},
        {"class_ids": [2], "shown": [2]},
        {"shown": [2]},
    ],
)
def test_each_part_of_an_episode_counts(change):
    row = [episode("a"), episode("b", index=1)]
    with pytest.raises(InputError, match="2 episodes are in one of the two rows only"):
        difference(row, [row[0], row[1] | change])


@pytest.mark.parametrize("swapped", [False, True])
def test_an_episode_that_one_side_lacks_is_an_error(swapped):
    row = [episode(f"q{i}", index=i) for i in range(5)]
    rows = (row[:3] + row[4:], row) if swapped else (row, row[:3] + row[4:])
    with pytest.raises(InputError, match=r"1 episode is in .* episode 3 of run 0 of row 'plain', .* q3:"):
        difference(*rows)


def test_an_episode_that_occurs_twice_is_two():
    twice = [episode("a", 9, 1), episode("b", 5, 5, index=1), episode("a", 1, 9, run=1, index=2)]
    # the first row's runs have IoUs of 14/20 and 1/10, the second's of 14/20 and 3/10
    others = [episode("a", 3, 7, run=1, index=2), episode("a", 9, 1), episode("b", 5, 5, index=1)]
    result = difference(twice, others)
    assert result["episodes"] == 3
    assert result["difference"] == pytest.approx(100 * ((14 / 20 + 1 / 10) - (14 / 20 + 3 / 10)) / 2)
    with pytest.raises(InputError, match=r"1 episode is in one of the two rows only, .* run 1 .* a:"):
        difference(twice, others[1:])


def test_the_runs_need_not_be_numbered_alike():
    row = [episode("a", 9, 1), episode("b", 1, 9, run=1, index=1)]
    others = [episode("a", 5, 5, run=3), episode("b", 1, 9, run=4, index=1)]
    assert difference(row, others)["difference"] == pytest.approx(20)


def test_a_row_of_the_first_episodes_is_compared_where_both_are():
    rng = np.random.default_rng(7)
    whole, other = random_row(rng), renamed(random_row(rng))
    adapted = [record for record in whole if record["index"] % 30 < 10]
    with pytest.raises(InputError, match="40 episodes are"):
        difference(adapted, other)
    shared = common(other, adapted)
    assert shared == [record for record in other if (1000 - record["index"]) % 30 < 10]
    assert difference(adapted, shared)["episodes"] == 20
    assert common(other, whole) == other


def test_what_is_common_is_of_the_same_run_where_an_episode_repeats():
    row = [
        episode("a", 9, 1),
        episode("a", 8, 2, index=1),
        episode("b", index=2),
        episode("a", 1, 9, run=1, index=3),
    ]
    assert common(row, [row[3], row[0]]) == [row[0], row[3]]
    assert common(row, [row[3]]) == [row[3]]
    assert common(row, [episode("a", run=7)]) == [row[0]]
    assert common(row, [episode("c"), row[2]]) == [row[2]]


def test_rows_of_no_episodes_are_not_compared():
    with pytest.raises(InputError, match="no episodes"):
        difference([], [])
