"""Scores against counts of single pixels in Python, and against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.evaluation.metrics import confusion, scores, summarize

POLICY = {"void": "ignore", "counting": "strict"}
ONE_WAY = {1: "cat", 2: "dog"}


def record(matrices, class_ids, run=0, index=0):
    names = {"row": "fusion0", "support": [["a"]], "query": ["b"]}
    matrices = [np.asarray(matrix).tolist() for matrix in matrices]
    return {**names, "run": run, "index": index, "class_ids": class_ids, "confusion": matrices}


def one_way(hit, missed, false, background=0, class_id=1, **where):
    """An episode of one way with these numbers of pixels."""
    return record([[[background, false], [missed, hit], [0, 0]]], [class_id], **where)


def random_records(rng, episodes, classes=2, ways=1, runs=1):
    records = []
    for run in range(runs):
        for index in range(episodes):
            ids = rng.permutation(np.arange(1, classes + 1))[:ways].tolist()
            matrices = rng.integers(0, 50, (2, ways + 2, ways + 1))
            records.append(record(matrices, ids, run, index))
    return records


def test_confusion_counts_each_pixel_once():
    rng = np.random.default_rng(0)
    ways, size = 2, (7, 5)
    prediction = rng.integers(0, ways + 1, (9, 8), dtype=np.int32)
    truth = rng.choice(np.asarray([0, 1, 2, 255], np.uint8), (9, 8))
    expected = np.zeros((ways + 2, ways + 1), int)
    for y in range(size[0]):
        for x in range(size[1]):
            expected[{255: ways + 1}.get(int(truth[y, x]), int(truth[y, x])), prediction[y, x]] += 1

    counted = jax.jit(confusion, static_argnames="ways")(
        jnp.asarray(prediction), jnp.asarray(truth), jnp.asarray(size), ways=ways
    )

    assert counted.dtype == jnp.int32
    np.testing.assert_array_equal(counted, expected)


def pixel_scores(masks, classes, void, counting):
    """mean-IoU and binary-IoU of one run, pixel by pixel: masks is a list of (ids, prediction, truth)."""
    names = [0, *classes]
    both, either = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for ids, prediction, truth in masks:
        pixels = list(zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True))
        if void == "ignore":
            pixels = [(p, t) for p, t in pixels if t != 255]
        else:
            pixels = [(p, 0 if t == 255 else t) for p, t in pixels]
        for label, name in enumerate([0, *ids]):
            if counting == "panet_compat" and all(t != label for _, t in pixels):
                continue
            both[name] += sum(p == label and t == label for p, t in pixels)
            either[name] += sum(p == label or t == label for p, t in pixels)
    mean = np.mean([both[c] / either[c] for c in classes if either[c]])
    pooled = sum(both[c] for c in classes) / sum(either[c] for c in classes)
    return 100 * mean, 100 * (pooled + both[0] / either[0]) / 2


@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("counting", ["strict", "panet_compat"])
def test_scores_agree_with_pixels(void, counting):
    rng = np.random.default_rng(1)
    classes = {3: "cat", 5: "dog", 8: "cow"}
    masks, records = [], []
    for index in range(12):
        ids = rng.permutation(list(classes))[:2].tolist()
        labels = np.asarray([0, 1, 2, 255] if index % 2 else [0, 2, 255], np.uint8)
        truth, prediction = rng.choice(labels, (6, 7)), rng.integers(0, 3, (6, 7), dtype=np.int32)
        masks.append((ids, prediction, truth))
        matrix = confusion(jnp.asarray(prediction), jnp.asarray(truth), jnp.asarray([6, 7]), ways=2)
        records.append(record([matrix], ids, index=index))

    row = summarize(records, classes, void=void, counting=counting)

    assert (row["mean_iou"], row["binary_iou"]) == pytest.approx(pixel_scores(masks, classes, void, counting))
    assert row["mean_iou"] == pytest.approx(np.mean(list(row["per_class"].values())))


def test_counts_are_summed_before_they_are_divided():
    # IoUs of 1 and 0: their mean is 1/2, but 1 of 101 pixels is right
    row = summarize([one_way(1, 0, 0), one_way(0, 100, 0, index=1)], {1: "cat"}, **POLICY)
    assert row["mean_iou"] == pytest.approx(100 / 101)


def test_false_positives_of_an_absent_class_count_only_when_strict():
    # way 2 (dog) is predicted on 4 pixels of a query that shows only way 1 (cat)
    query = record([[[10, 0, 4], [0, 6, 0], [0, 0, 0], [0, 0, 0]]], [1, 2])
    dogs = record([[[10, 0, 0], [0, 0, 0], [0, 0, 8], [0, 0, 0]]], [1, 2], index=1)
    strict = summarize([query, dogs], ONE_WAY, void="ignore", counting="strict")
    compat = summarize([query, dogs], ONE_WAY, void="ignore", counting="panet_compat")
    assert strict["per_class"] == pytest.approx({"cat": 100, "dog": 100 * 8 / 12})
    assert compat["per_class"] == pytest.approx({"cat": 100, "dog": 100})


def test_void_is_left_out_or_background():
    # 3 void pixels are predicted as the class
    episode = record([[[20, 0], [0, 7], [0, 3]]], [1])
    ignored = summarize([episode], {1: "cat"}, void="ignore", counting="strict")
    background = summarize([episode], {1: "cat"}, void="background", counting="strict")
    assert ignored["mean_iou"] == pytest.approx(100)
    assert background["mean_iou"] == pytest.approx(70)
    assert background["binary_iou"] == pytest.approx((70 + 100 * 20 / 23) / 2)


def test_binary_iou_by_hand():
    # foreground: 3 + 1 of (3 + 1 + 2) + 5; background: 10 of 10 + 1 + 2 + 3
    records = [one_way(3, 1, 2, background=6), one_way(1, 2, 2, background=4, class_id=2, index=1)]
    row = summarize(records, ONE_WAY, **POLICY)
    assert row["binary_iou"] == pytest.approx(100 * (4 / 11 + 10 / 17) / 2)


def test_runs_have_a_mean_and_a_deviation():
    records = [one_way(50, 50, 0, run=0), one_way(70, 30, 0, run=1), one_way(90, 10, 0, run=2)]
    row = summarize(records, {1: "cat"}, **POLICY)
    assert row["mean_iou"] == pytest.approx(70)
    assert row["std"] == pytest.approx(np.std([50, 70, 90]))
    assert (row["runs"], row["episodes"]) == (3, 3)
    assert summarize(records[:1], {1: "cat"}, **POLICY)["std"] is None


def test_a_class_that_never_occurs_is_named_and_left_out():
    row = summarize([one_way(1, 1, 0)], ONE_WAY, **POLICY)
    assert row["mean_iou"] == pytest.approx(50)
    assert row["missing_classes"] == ["dog"]
    assert row["per_class"] == {"cat": pytest.approx(50), "dog": None}


def test_nothing_to_divide_by_is_none_and_not_nan():
    row = summarize([record([[[0, 0], [0, 0], [9, 9]]], [1])], {1: "cat"}, **POLICY)
    assert (row["mean_iou"], row["binary_iou"], row["ci95"]) == (None, None, None)


def test_bootstrap_agrees_with_redrawing_episodes_one_by_one():
    records = random_records(np.random.default_rng(2), episodes=30, runs=2)
    low, high = summarize(records, ONE_WAY, **POLICY)["ci95"]

    rng = np.random.default_rng(3)
    means = []
    for _ in range(600):
        drawn = []
        for run in (0, 1):
            of_run = [r for r in records if r["run"] == run]
            drawn += [of_run[i] for i in rng.integers(0, len(of_run), len(of_run))]
        per_run = []
        for run in (0, 1):
            total = {c: np.zeros((3, 2), int) for c in ONE_WAY}
            for r in drawn:
                if r["run"] == run:
                    total[r["class_ids"][0]] += np.sum(r["confusion"], axis=0)
            ious = [t[1, 1] / (t[1, 1] + t[1, 0] + t[0, 1]) for t in total.values() if t[:2].any()]
            per_run.append(np.mean(ious))
        means.append(100 * np.mean(per_run))

    spread = high - low
    assert [low, high] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.12 * spread)


def test_interval_is_a_point_when_all_episodes_agree():
    row = summarize([one_way(3, 1, 0, index=i) for i in range(5)], {1: "cat"}, **POLICY)
    assert row["ci95"] == pytest.approx([75, 75])


@pytest.mark.parametrize(
    ("records", "says"), [([], "no episodes"), ([one_way(1, 0, 0, class_id=7)], "class 7")]
)
def test_errors_say_what_is_wrong(records, says):
    with pytest.raises(InputError, match=says):
        summarize(records, ONE_WAY, **POLICY)


@pytest.mark.parametrize(
    "other", [record([np.ones((4, 3))], [1, 2], index=1), record([np.ones((3, 2))] * 2, [1], index=1)]
)
def test_episodes_of_other_ways_or_queries_are_not_mixed(other):
    with pytest.raises(InputError, match=r"of row 'fusion0' differ in how many ways or queries they have"):
        summarize([one_way(1, 0, 0), other], ONE_WAY, **POLICY)


def test_every_policy_is_counted_from_the_same_records():
    records = random_records(np.random.default_rng(4), episodes=9, classes=3, ways=2, runs=3)
    classes = {1: "cat", 2: "dog", 3: "cow"}
    found = scores(records, classes)
    policies = [(v, c) for v in ("ignore", "background") for c in ("strict", "panet_compat")]
    assert [(score["void"], score["counting"]) for score in found] == policies
    for score in found:
        alone = summarize(records, classes, void=score["void"], counting=score["counting"])
        assert {name: score[name] for name in alone} == alone


def test_runs_are_told_apart():
    records = random_records(np.random.default_rng(5), episodes=12, runs=3)
    row = summarize(records, ONE_WAY, **POLICY)
    alone = [summarize([r for r in records if r["run"] == run], ONE_WAY, **POLICY) for run in range(3)]
    for name, deviation in (("mean_iou", "std"), ("binary_iou", "binary_std")):
        per_run = [run[name] for run in row["per_run"]]
        assert per_run == pytest.approx([of_run[name] for of_run in alone])
        assert row[name] == pytest.approx(np.mean(per_run))
        assert row[deviation] == pytest.approx(np.std(per_run))
    low, high = row["binary_ci95"]
    assert low < row["binary_iou"] < high
