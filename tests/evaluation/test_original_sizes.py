"""Scores at the photos' original sizes equal a slow reference of one photo at a time, whatever its batch."""

from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.data.images import InputSettings, label_shape, load_mask, load_photo
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import Scoring
from tests.evaluation.episodes import SIDE, SOURCE, drawn, photos, prnet
from tests.models.prnet import reference
from tests.toy import ToySource

TIE = 1e-5


def slow_features(position, settings):
    """Of an unpadded photo, float64 [h, w, C]."""
    (image, (height, width)), method = load_photo(SOURCE, position, settings), prnet().method
    alone, size = jnp.asarray(image[None, :height, :width]), jnp.array([[height, width]])
    return np.asarray(method.embed(prnet().variables, alone, size).map[0], np.float64)


def slow_logits(spec, settings):
    """Of one query on the pixels of its stored mask, [h, w, 2]."""
    (support,), (query,) = spec.support[0], spec.query
    mask, (height, width) = load_mask(SOURCE, support, spec.class_ids, 1, settings)
    features = slow_features(support, settings)
    p_s = reference.support_prototypes([[features]], [[mask[:height, :width]]])
    *_, (last,) = reference.fuse([slow_features(query, settings)], p_s)
    return reference.upsample(20.0 * last, *SOURCE.size(query))


@pytest.mark.parametrize("shape", ["square", "longside"])
def test_counts_are_those_of_one_photo_at_a_time(shape, monkeypatch):
    monkeypatch.setattr("fsjax.data.images.LABEL_STEP", 16)
    specs = drawn(24)
    read = photos(label="original", input=shape)
    shapes = Counter(label_shape(SOURCE, spec.query, read.settings) for spec in specs)
    assert len(shapes) > 2
    assert max(shapes.values()) > 1
    (counts,) = evaluate(read, [Scoring(prnet(input=shape), specs, ("fusion2",))]).counts
    for spec, (found,) in zip(specs, counts["fusion2"], strict=True):
        logits = slow_logits(spec, read.settings)
        truth = SOURCE.mask(spec.query[0], spec.class_ids, None)
        expected = count_prediction(logits.argmax(-1), truth, 1)
        ties = int((abs(logits[..., 0] - logits[..., 1]) < TIE).sum())
        assert found.sum() == truth.size
        assert abs(found - expected).sum() <= 2 * ties


def test_arrays_of_original_labels_are_few_and_little_larger():
    sizes = [(1, 1), (128, 129), (375, 500), (427, 640), (1024, 1025), (3000, 4000)]
    expected = [(128, 128), (128, 256), (384, 512), (512, 640), (1024, 1280), (3072, 4096)]

    class Sized(ToySource):
        def size(self, position):
            return sizes[position]

    settings = InputSettings(SIDE, label="original")
    assert [label_shape(Sized(), (p,), settings) for p in range(len(sizes))] == expected
    assert label_shape(Sized(), (2, 3), settings) == (512, 640)
    assert label_shape(Sized(), (2, 3), InputSettings(SIDE)) == (SIDE, SIDE)
