"""From one label map to the mask of an episode's classes."""

import numpy as np

from fsjax.data.source import Source, relabel
from tests.toy import ToySource


def test_relabel_numbers_the_classes_that_are_asked_for():
    labels = np.array([[0, 3, 5], [255, 6, 1]], np.uint8)
    assert relabel(labels, (5, 3)).tolist() == [[0, 2, 1], [255, 0, 0]]
    assert relabel(labels, (6,)).tolist() == [[0, 0, 0], [255, 1, 0]]
    assert relabel(labels, range(1, 21)).tolist() == labels.tolist()


def test_the_toy_source_is_a_source():
    source = ToySource()
    assert isinstance(source, Source)
    for position in range(len(source.ids)):
        for way in (1, 2, None):
            mask = source.mask(position, (2, 6), way)
            np.testing.assert_array_equal(mask, relabel(source.labels(position), (2, 6)))
