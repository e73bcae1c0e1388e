"""Cases and groups against loops over pixels; by class they are the scores of the table."""

import csv

import numpy as np
import pytest

from fsjax.evaluation import failure_files
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.failures import CLASS, LABELLED, PARTS, SIZE, find_cases, group
from fsjax.evaluation.metrics import summarize
from tests.evaluation.test_paired import POLICY, episode, random_row

NAMES = {3: "cat", 5: "dog", 8: "cow"}


def random_episodes(rng, count=12, ways=2, queries=2):
    """Records with the masks that they were counted from, truth and prediction of every query."""
    records, masks = [], []
    for index in range(count):
        ids = rng.choice(list(NAMES), ways, replace=False).tolist()
        truths = rng.choice([*range(ways + 1), 255], (queries, 9, 11), p=[0.5, 0.3, 0.1, 0.1])
        truths[0][truths[0] == ways] = 0  # a way that the first query does not show
        truths, predictions = truths.astype(np.uint8), rng.integers(0, ways + 1, (queries, 9, 11))
        pairs = zip(predictions, truths, strict=True)
        record = {
            "row": "a",
            "run": index % 2,
            "index": index,
            "class_ids": ids,
            "support": [[f"s{index}{way}"] for way in range(ways)],
            "query": [f"q{index}{t}" for t in range(queries)],
            "confusion": [count_prediction(p, t, ways).tolist() for p, t in pairs],
        }
        records.append(record)
        masks.append((truths, predictions))
    return records, masks


@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("counting", ["strict", "panet_compat"])
def test_cases_are_those_of_the_pixels(void, counting):
    records, masks = random_episodes(np.random.default_rng(0))
    cases = iter(find_cases(records, NAMES, void=void, counting=counting))
    for record, (truths, predictions) in zip(records, masks, strict=True):
        for t, (truth, prediction) in enumerate(zip(truths, predictions, strict=True)):
            scored = truth != 255 if void == "ignore" else np.ones(truth.shape, bool)
            for way, class_id in enumerate(record["class_ids"], 1):
                case = next(cases)
                is_way, found = (truth == way) & scored, (prediction == way) & scored
                counted = is_way.any() or counting == "strict"
                assert (case.class_name, case.query, case.number) == (NAMES[class_id], record["query"][t], t)
                assert (case.run, case.index) == (record["run"], record["index"])
                assert case.supports == tuple(record["support"][way - 1])
                assert case.pixels == (truth == way).sum()
                assert case.share == pytest.approx(100 * (truth == way).mean())
                assert case.intersection == (is_way & found).sum()
                assert case.union == (is_way | found).sum() * counted
                assert case.iou is None or case.iou == pytest.approx(100 * case.intersection / case.union)
    assert next(cases, None) is None


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_classes_score_what_the_table_says(void):
    records, _ = random_episodes(np.random.default_rng(1), 40)
    policy = {"void": void, "counting": "strict"}
    groups = group(find_cases(records, NAMES, **policy), list(NAMES.values()))
    table = summarize(records, NAMES, **policy)["per_class"]
    assert {one.name: one.iou for one in groups[CLASS]} == pytest.approx(table)
    assert sum(one.cases for one in groups[CLASS]) == 40 * 2 * 2
    assert set(groups) == {SIZE, CLASS}


def test_a_group_is_pooled_over_a_run_and_averaged_over_runs():
    """A small object found and a large one missed are one group, of 3% and 4% of their photos."""
    found, missed = episode("q", 30, 0), episode("r", 0, 40, index=1)
    found["confusion"], missed["confusion"] = [[[970, 0], [0, 30], [0, 0]]], [[[960, 0], [40, 0], [0, 0]]]
    other = {**found, "run": 1, "index": 2}
    groups = {
        one.name: one for one in group(find_cases([found, missed, other], {1: "it"}, **POLICY), ["it"])[SIZE]
    }
    assert groups["2.5 to 5"].iou == pytest.approx((100 * 30 / 70 + 100) / 2)
    assert (groups["2.5 to 5"].cases, groups["2.5 to 5"].episodes) == (3, 3)
    assert groups["below 1"].iou is None
    assert groups["below 1"].ci95 is None


def test_sizes_have_their_bounds_where_they_are_told():
    names = {}
    for pixels in (9, 10, 24, 25, 399, 400, 1000):
        record = episode("q")
        record["confusion"] = [[[1000 - pixels, 0], [0, pixels], [0, 0]]]
        groups = group(find_cases([record], {1: "it"}, **POLICY), ["it"])[SIZE]
        (names[pixels],) = (one.name for one in groups if one.cases)
    assert names == {
        9: "below 1", 10: "1 to 2.5", 24: "1 to 2.5", 25: "2.5 to 5", 399: "20 to 40", 400: "40 and more",
        1000: "40 and more",
    }  # fmt: skip


def test_what_was_counted_of_the_queries_makes_groups():
    shown = [episode(f"q{i}", 10 * i, 90 - 10 * i, index=i) for i in range(5)]
    counted = [r | {"parts": [[1 + r["index"]]], "labelled": [1 + r["index"] % 2]} for r in shown]
    groups = group(find_cases(counted, {1: "it"}, **POLICY), ["it"])
    assert [(one.name, one.cases) for one in groups[PARTS]] == [
        ("1", 1), ("2", 1), ("3", 1), ("4 and more", 2),
    ]  # fmt: skip
    assert groups[PARTS][3].iou == pytest.approx(100 * 70 / 180)
    assert [one.cases for one in groups[LABELLED]] == [3, 2, 0, 0]
    assert groups[LABELLED][1].iou == pytest.approx(100 * 40 / 180)


def test_a_query_without_its_class_counts_by_class_alone():
    record = episode("q")
    record["confusion"] = [[[50, 50], [0, 0], [0, 0]]]
    groups = group(find_cases([record | {"parts": [[0]], "labelled": [2]}], {1: "it"}, **POLICY), ["it"])
    assert [one.cases for one in groups[SIZE]] == [0] * 7
    assert PARTS not in groups
    assert (groups[CLASS][0].cases, groups[CLASS][0].iou) == (1, 0)


def test_intervals_cover_a_known_share():
    """Of 400 episodes each is found or missed: an IoU of a half, whose error is that of 400 coins."""
    rng = np.random.default_rng(2)
    shown = [episode(f"q{i}", *(100, 0) if rng.random() < 0.5 else (0, 100), index=i) for i in range(400)]
    (one,) = group(find_cases(shown, {1: "it"}, **POLICY), ["it"])[CLASS]
    low, high = one.ci95
    assert low < one.iou < high
    assert high - low == pytest.approx(100 * 2 * 1.96 * 0.5 / np.sqrt(400), rel=0.1)
    assert one.iou == pytest.approx(50, abs=8)


def test_the_files_hold_every_case_the_worst_first(tmp_path):
    shown = random_row(np.random.default_rng(3), 1, 9)
    nothing = episode("empty", 0, 0, index=9)
    cases = find_cases([*shown, nothing], {1: 'a "cat", grey', 2: "dog"}, **POLICY)
    failure_files.write(tmp_path, cases, group(cases, ['a "cat", grey', "dog"]))
    with (tmp_path / "failures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    ious = [float(line["iou"]) for line in lines[:-1]]
    assert ious == sorted(ious)
    assert (lines[-1]["iou"], lines[-1]["query"]) == ("", "empty")
    assert {line["class"] for line in lines} == {'a "cat", grey', "dog"}
    expected = {case.query: case for case in cases}
    for line in lines[:-1]:
        case = expected[line["query"]]
        assert float(line["iou"]) == pytest.approx(case.iou, abs=0.005)
        assert (int(line["size_pixels"]), line["supports"], line["parts"]) == (case.pixels, "s", "")
    with (tmp_path / "by_size.csv").open(newline="") as file:
        assert sum(int(line["cases"]) for line in csv.DictReader(file)) == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["by_class.csv", "by_size.csv", "failures.csv"]
