"""Objects and pixels counted on the host, against loops."""

import numpy as np
import pytest

from fsjax.evaluation.controls import ANY_OBJECT, any_object, count_prediction, shown_classes
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import Scoring
from tests.evaluation.episodes import SOURCE, drawn, photos


def counted(prediction, truth, ways):
    """Row by row, column by column."""
    matrix = [[0] * (ways + 1) for _ in range(ways + 2)]
    for row, labels in enumerate(truth.tolist()):
        for column, label in enumerate(labels):
            matrix[ways + 1 if label == 255 else label][int(prediction[row, column])] += 1
    return matrix


@pytest.mark.parametrize("ways", [1, 2, 5])
def test_pixels_are_counted_by_truth_and_prediction(ways):
    rng = np.random.default_rng(ways)
    truth = rng.choice([*range(ways + 1), 255], (13, 17)).astype(np.uint8)
    prediction = rng.integers(0, ways + 1, (13, 17))
    assert count_prediction(prediction, truth, ways).tolist() == counted(prediction, truth, ways)


def test_a_worked_example():
    truth = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    prediction = np.array([[True, True, False], [False, True, False]])
    assert count_prediction(prediction, truth, 1).tolist() == [[1, 1], [1, 2], [1, 0]]


def test_nothing_predicted_keeps_its_column():
    truth = np.full((2, 3), 255, np.uint8)
    assert count_prediction(np.zeros((2, 3), bool), truth, 2).tolist() == [[0] * 3] * 3 + [[6, 0, 0]]


def test_objects_are_every_class_and_no_void():
    labels = np.array([[0, 1, 2], [254, 255, 0]], np.uint8)
    assert any_object(labels).tolist() == [[False, True, True], [True, False, False]]


def test_the_classes_that_a_photo_shows_are_numbered_from_one():
    assert shown_classes(np.array([4, 0, 1])) == (1, 3)


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_any_object_is_scored_on_the_stored_pixels(void):
    specs = drawn(9, queries=2)
    read = photos(label="original", void=void)
    (counts,) = evaluate(read, [Scoring(None, specs, (ANY_OBJECT,))]).counts
    for spec, matrices in zip(specs, counts[ANY_OBJECT], strict=True):
        for position, matrix in zip(spec.query, matrices, strict=True):
            labels = SOURCE.labels(position).copy()
            labels[:4] = 255  # of a query
            void_label = 255 if void == "ignore" else 0
            truth = np.select([labels == 255, labels == spec.class_ids[0]], [void_label, 1], 0)
            objects = (labels > 0) & (labels < 255)
            assert matrix.tolist() == counted(objects, truth, 1)
