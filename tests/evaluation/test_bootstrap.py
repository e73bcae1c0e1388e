"""Intervals against episodes redrawn one by one, of rows, policies and means over folds."""

import numpy as np
import pytest

from fsjax.evaluation.metrics import count, known_mean, mean_over, ratio, resampled, scores, summarize
from tests.evaluation.test_metrics import ONE_WAY, POLICY, one_way, random_records, record

CLASSES = {1: "cat", 2: "dog", 3: "cow"}


def ious_of(records, classes, void):
    """mean-IoU and binary-IoU of one run, in percent, matrix by matrix."""
    both, either = dict.fromkeys([0, *classes], 0), dict.fromkeys([0, *classes], 0)
    for one in records:
        for matrix in np.asarray(one["confusion"]):
            labelled = matrix[:-1].copy()
            labelled[0] += matrix[-1] * (void == "background")
            for way, name in enumerate([0, *one["class_ids"]]):
                both[name] += labelled[way, way]
                either[name] += labelled[way].sum() + labelled[:, way].sum() - labelled[way, way]
    mean = np.mean([both[c] / either[c] for c in classes if either[c]])
    pooled = sum(both[c] for c in classes) / sum(either[c] for c in classes)
    return 100 * mean, 100 * (pooled + both[0] / either[0]) / 2


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_intervals_are_those_of_a_row_that_is_redrawn_alone(void):
    """How often an episode is drawn is known; it is here repeated so often."""
    records = random_records(np.random.default_rng(6), episodes=9, classes=3, ways=2, runs=2)
    runs = [[r for r in records if r["run"] == run] for run in (0, 1)]
    rng = np.random.default_rng(0)
    times = [rng.multinomial(9, np.full(9, 1 / 9), size=1000) for _ in runs]
    ious = np.mean(
        [
            [ious_of([r for r, n in zip(of_run, of_one, strict=True) for _ in range(n)], CLASSES, void)
             for of_one in drawn]
            for of_run, drawn in zip(runs, times, strict=True)
        ],
        axis=0,
    )  # fmt: skip
    found = next(s for s in scores(records, CLASSES) if (s["void"], s["counting"]) == (void, "strict"))
    assert found["ci95"] == pytest.approx(np.percentile(ious[:, 0], [2.5, 97.5]), rel=1e-12)
    assert found["binary_ci95"] == pytest.approx(np.percentile(ious[:, 1], [2.5, 97.5]), rel=1e-12)


def test_intervals_stay_those_of_earlier_versions():
    records = random_records(np.random.default_rng(6), episodes=20, classes=3, ways=2, runs=2)
    intervals = {
        "ignore": ([18.35036867239377, 21.074724369903443], [18.701939500642705, 21.633238121681927]),
        "background": ([15.466505745327265, 17.722960523959223], [19.751496660140404, 22.17047190599602]),
    }
    for score in scores(records, CLASSES):
        assert (score["ci95"], score["binary_ci95"]) == intervals[score["void"]]


def test_a_row_is_redrawn_alike_whatever_was_scored_before():
    rows = [
        random_records(np.random.default_rng(7), episodes, runs=runs)
        for episodes, runs in ((9, 2), (18, 1), (6, 3), (9, 2), (5, 1), (4, 1))
    ]
    forward = [summarize(row, ONE_WAY, **POLICY) for row in rows]
    backward = [summarize(row, ONE_WAY, **POLICY) for row in rows[::-1]]
    assert forward == backward[::-1]
    assert forward[0] == forward[3]
    assert len({tuple(one["ci95"]) for one in forward}) == 5


def test_groups_of_pixels_are_redrawn_as_classes_are():
    counts = count(random_records(np.random.default_rng(8), 12, 3, ways=3, runs=2), CLASSES, **POLICY)
    (groups,) = resampled([counts], ratio)
    (means,) = resampled([counts], lambda parts, wholes: known_mean(ratio(parts, wholes)[..., 1:]))
    assert groups.shape == (1000, 4)
    assert groups[:, 1:].mean(axis=1) == pytest.approx(means)


def folds(rng, *sizes):
    """Evaluations of other classes each, with (episodes, runs)."""
    found = []
    for fold, (episodes, runs) in enumerate(sizes):
        first = 1 + 2 * fold
        records = random_records(rng, episodes, runs=runs)
        records = [r | {"class_ids": [first - 1 + c for c in r["class_ids"]]} for r in records]
        found.append((records, {first: f"class {first}", first + 1: f"class {first + 1}"}))
    return found


def test_a_mean_over_folds_agrees_with_redrawing_each_by_itself():
    evaluations = folds(np.random.default_rng(9), (12, 2), (8, 1), (10, 1))
    found = mean_over([count(*one, **POLICY) for one in evaluations])
    alone = [summarize(*one, **POLICY) for one in evaluations]
    assert found["mean_iou"] == pytest.approx(np.mean([one["mean_iou"] for one in alone]), rel=1e-12)
    assert found["binary_iou"] == pytest.approx(np.mean([one["binary_iou"] for one in alone]), rel=1e-12)

    rng, means = np.random.default_rng(10), []
    for _ in range(800):
        of_folds = []
        for records, classes in evaluations:
            runs = [[r for r in records if r["run"] == run] for run in {r["run"] for r in records}]
            drawn = [[of_run[i] for i in rng.integers(0, len(of_run), len(of_run))] for of_run in runs]
            of_folds.append(np.mean([ious_of(one, classes, "ignore") for one in drawn], axis=0))
        means.append(np.mean(of_folds, axis=0))
    for name, column in (("ci95", 0), ("binary_ci95", 1)):
        low, high = found[name]
        expected = np.percentile(np.asarray(means)[:, column], [2.5, 97.5])
        assert [low, high] == pytest.approx(expected, abs=0.12 * (high - low))


def test_a_mean_over_folds_by_hand():
    """Of 8 pixels 6 and of 10 pixels 2 are found; the background is found whole, and in one half."""
    cats = [one_way(6, 2, 0, background=4, index=i) for i in range(3)]
    dogs = [one_way(2, 4, 4, background=0, class_id=2, index=i) for i in range(5)]
    evaluations = [count(cats, {1: "cat"}, **POLICY), count(dogs, {2: "dog"}, **POLICY)]
    found = mean_over(evaluations)
    assert found["mean_iou"] == pytest.approx((75 + 20) / 2)
    assert found["binary_iou"] == pytest.approx(((75 + 100 * 4 / 6) / 2 + (20 + 0) / 2) / 2)
    assert found["ci95"] == pytest.approx([47.5, 47.5])  # all episodes of a fold agree
    assert found["binary_ci95"] == pytest.approx([found["binary_iou"]] * 2)


def test_folds_are_drawn_independently():
    """The mean of n folds with the same spread has an interval narrower by the square root of n."""
    rng = np.random.default_rng(11)
    cats = [one_way(*(9, 1) if rng.random() < 0.5 else (1, 9), 0, index=i) for i in range(200)]
    counts = count(cats, {1: "cat"}, **POLICY)
    widths = [np.diff(mean_over([counts] * number)["ci95"]).item() for number in (1, 4)]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.12)


def test_the_mean_over_one_fold_is_that_of_its_row():
    ((records, classes),) = folds(np.random.default_rng(12), (9, 2))
    row = summarize(records, classes, **POLICY)
    found = mean_over([count(records, classes, **POLICY)])
    assert found == {name: row[name] for name in ("mean_iou", "ci95", "binary_iou", "binary_ci95")}


def test_a_mean_is_not_defined_where_a_fold_is_not():
    nothing = record([[[0, 0], [0, 0], [9, 9]]], [2])
    defined = count([one_way(6, 2, 0, background=4)], {1: "cat"}, **POLICY)
    found = mean_over([defined, count([nothing], {2: "dog"}, **POLICY)])
    assert found == {"mean_iou": None, "ci95": None, "binary_iou": None, "binary_ci95": None}
