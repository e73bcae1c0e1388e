"""Scores obey their laws for any labels, and are the exact fractions that single pixels make."""

from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fsjax.evaluation import metrics
from fsjax.evaluation.metrics import count, summarize, sums_by_run

WAYS, SHAPE, VOID = 2, (4, 5), 255
CLASSES = {3: "cat", 5: "dog", 8: "cow"}

confusion = jax.jit(metrics.confusion, static_argnames="ways")
policies = st.fixed_dictionaries(
    {
        "void": st.sampled_from(["ignore", "background"]),
        "counting": st.sampled_from(["strict", "panet_compat"]),
    }
)
truths = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, VOID]))
predictions = arrays(np.int32, SHAPE, elements=st.integers(0, WAYS))
whole_picture = np.int32(SHAPE)


@st.composite
def episodes(draw):
    """Some episodes of two queries each: runs, class ids, and each query's prediction and truth."""
    labels = st.sampled_from([0, 1, 2, VOID])
    pictures = arrays(np.uint8, (2, 2, 2, 3), elements=labels)  # prediction and truth, queries, h, w
    one = st.tuples(st.integers(0, 1), st.permutations(list(CLASSES)), pictures)
    drawn = draw(st.lists(one, min_size=1, max_size=4))
    return [(run, ids[:WAYS], np.where(both[0] == VOID, 0, both[0]), both[1]) for run, ids, both in drawn]


def record_of(run, ids, prediction, truth, index=0):
    """A line of episodes.jsonl whose matrices are counted by a loop over pixels."""
    matrices = np.zeros((len(truth), WAYS + 2, WAYS + 1), int)
    for t, y, x in np.ndindex(*truth.shape):
        matrices[t, WAYS + 1 if truth[t, y, x] == VOID else truth[t, y, x], prediction[t, y, x]] += 1
    found = {"row": "fusion0", "run": run, "index": index, "class_ids": list(ids)}
    return {**found, "confusion": matrices.tolist()}


def records_of(drawn):
    return [record_of(*episode, index) for index, episode in enumerate(drawn)]


def ious(drawn, void, counting):
    """IoU of every class and of the pooled foreground by pixels' sets, for one run; None for 0 of 0."""
    both, either = (dict.fromkeys([0, *CLASSES], 0) for _ in range(2))
    for _, ids, predictions, truths in drawn:
        for prediction, truth in zip(predictions, truths, strict=True):
            if void == "background":
                truth = np.where(truth == VOID, 0, truth)
            counted = {tuple(p) for p in np.argwhere(truth != VOID).tolist()}
            for label, class_id in enumerate([0, *ids]):
                mine, its = ({p for p in counted if image[p] == label} for image in (prediction, truth))
                if its or counting == "strict":
                    both[class_id] += len(mine & its)
                    either[class_id] += len(mine | its)
    found = {c: Fraction(both[c], either[c]) if either[c] else None for c in both}
    pooled = sum(both[c] for c in CLASSES), sum(either[c] for c in CLASSES)
    return found, Fraction(*pooled) if pooled[1] else None


def mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def assert_percent(ours, fraction):
    assert (ours is None) == (fraction is None)
    assert ours is None or ours == pytest.approx(100 * float(fraction), rel=1e-12)


# ---- counting pixels ----


@given(predictions, truths, st.tuples(*(st.integers(1, length) for length in SHAPE)))
def test_confusion_is_a_loop_over_the_valid_pixels(prediction, truth, size):
    ours = confusion(prediction, truth, np.int32(size), ways=WAYS)
    valid = prediction[None, : size[0], : size[1]], truth[None, : size[0], : size[1]]
    assert np.asarray(ours).tolist() == record_of(0, (), *valid)["confusion"][0]
    assert np.asarray(ours).sum() == size[0] * size[1]


@given(predictions, truths, st.permutations(range(WAYS + 1)))
def test_renaming_labels_moves_rows_and_columns(prediction, truth, order):
    new = np.arange(256)
    new[: WAYS + 1] = order
    ours = confusion(prediction, truth, whole_picture, ways=WAYS)
    renamed = confusion(np.int32(new[prediction]), np.uint8(new[truth]), whole_picture, ways=WAYS)
    moved = np.asarray(renamed)[[*order, WAYS + 1]][:, order]
    np.testing.assert_array_equal(ours, moved)


# ---- scores ----


@given(policies, episodes())
def test_scores_are_the_fractions_that_pixels_make(policy, drawn):
    row = summarize(records_of(drawn), CLASSES, **policy)
    runs = sorted({run for run, *_ in drawn})
    by_run = [ious([episode for episode in drawn if episode[0] == run], **policy) for run in runs]
    means = [mean(found[c] for c in CLASSES) for found, _ in by_run]
    assert_percent(row["mean_iou"], mean(means))
    assert_percent(row["binary_iou"], mean(mean([found[0], pooled]) for found, pooled in by_run))
    for class_id, name in CLASSES.items():
        assert_percent(row["per_class"][name], mean(found[class_id] for found, _ in by_run))
    for ours, wanted in zip(row["per_run"], means, strict=True):
        assert_percent(ours["mean_iou"], wanted)
    for ours in (row["mean_iou"], row["binary_iou"], *row["per_class"].values(), *(row["ci95"] or ())):
        assert ours is None or 0 <= ours <= 100
    assert (row["mean_iou"] is None) == (len(row["missing_classes"]) == len(CLASSES))


@given(policies, episodes())
def test_a_perfect_prediction_scores_100(policy, drawn):
    perfect = [(run, ids, np.where(truth == VOID, 0, truth), truth) for run, ids, _, truth in drawn]
    row = summarize(records_of(perfect), CLASSES, **policy)
    for ours in (row["mean_iou"], row["binary_iou"], *row["per_class"].values(), *(row["ci95"] or ())):
        assert ours is None or ours == 100


@given(policies, episodes(), st.integers(0, 4))
def test_counts_may_be_merged_in_any_parts_and_order(policy, drawn, place):
    records = [record | {"run": 0} for record in records_of(drawn)]

    def sums(records):
        if not records:
            return np.zeros((2, 1, 1 + len(CLASSES)), int)
        return np.stack(sums_by_run(count(records, CLASSES, **policy)))

    whole = sums(records)
    np.testing.assert_array_equal(sums(records[:place]) + sums(records[place:]), whole)
    np.testing.assert_array_equal(sums(records[::-1]), whole)
    single = [record | {"confusion": [matrix]} for record in records for matrix in record["confusion"]]
    np.testing.assert_array_equal(sums(single), whole)


@given(policies, episodes(), st.permutations(list(CLASSES)))
def test_neither_the_order_of_ways_nor_that_of_classes_matters(policy, drawn, order):
    ours = summarize(records_of(drawn), CLASSES, **policy)
    label = np.arange(256, dtype=np.uint8)
    label[[1, 2]] = [2, 1]
    swapped = records_of([(run, ids[::-1], label[p], label[t]) for run, ids, p, t in drawn])
    assert summarize(swapped, CLASSES, **policy) == ours
    other = summarize(records_of(drawn), {c: CLASSES[c] for c in order}, **policy)
    assert other["per_class"] == ours["per_class"]
    assert other["mean_iou"] == pytest.approx(ours["mean_iou"])
    assert other["binary_iou"] == ours["binary_iou"]


@given(st.sampled_from(["ignore", "background"]), episodes())
def test_panets_counting_only_forgets_false_positives_of_absent_classes(void, drawn):
    records = records_of(drawn)
    strict, compat = (count(records, CLASSES, void=void, counting=c) for c in ("strict", "panet_compat"))
    np.testing.assert_array_equal(strict.intersections, compat.intersections)
    assert (compat.unions <= strict.unions).all()
    rows = [summarize(records, CLASSES, void=void, counting=c) for c in ("strict", "panet_compat")]
    assert set(rows[0]["missing_classes"]) <= set(rows[1]["missing_classes"])
    for stricter, milder in zip(*(row["per_run"] for row in rows), strict=True):
        if milder["mean_iou"] is not None:
            assert milder["mean_iou"] >= stricter["mean_iou"] - 1e-9
    for e, (_, _, _, truths) in enumerate(drawn):
        if all((truth == label).any() for truth in truths for label in range(WAYS + 1)):
            np.testing.assert_array_equal(strict.unions[e], compat.unions[e])


@given(episodes())
def test_void_as_background_never_helps_a_class(drawn):
    ignored, background = (
        count(records_of(drawn), CLASSES, void=void, counting="strict") for void in ("ignore", "background")
    )
    np.testing.assert_array_equal(ignored.intersections[:, 1:], background.intersections[:, 1:])
    assert (ignored.unions <= background.unions).all()
    void = [sum((truth == VOID).sum() for truth in truths) for *_, truths in drawn]
    # Each void pixel is one more of background's, and one more of the class's that is predicted there.
    more = background.unions - ignored.unions
    np.testing.assert_array_equal(more[:, 0], void)
    wrong = [((truth == VOID) & (prediction > 0)).sum() for *_, prediction, truth in drawn]
    np.testing.assert_array_equal(more[:, 1:].sum(1), wrong)
