"""Episodes for the picture sheets: photos as they are, and what the segmenter makes of them."""

import numpy as np
import pytest

from fsjax.data.images import InputSettings
from fsjax.evaluation.controls import count_prediction
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.scoring import Scoring
from fsjax.evaluation.show import show
from fsjax.models.dpnet.explanation import Explanation
from fsjax.models.prnet.explanation import FusionExplanation
from tests.evaluation.episodes import SIDE, SOURCE, dpnet, drawn, photos, prnet

INPUTS = InputSettings(SIDE)
TWO_WAYS = {"ways": 2, "shots": 2, "queries": 3}


@pytest.mark.parametrize(("joint", "draw"), [(False, {}), (True, TWO_WAYS)], ids=["one way", "two ways"])
def test_everything_has_the_photos_own_sizes(joint, draw):
    specs = drawn(4, **draw)
    for spec, shown in zip(specs, show(prnet(joint), SOURCE, specs, INPUTS), strict=True):
        assert shown.classes == tuple(SOURCE.class_names[class_id - 1] for class_id in spec.class_ids)
        assert len(shown.supports) == len(spec.support)
        for (image, mask), (first, *_) in zip(shown.supports, spec.support, strict=True):
            np.testing.assert_array_equal(image, SOURCE.image(first))
            np.testing.assert_array_equal(mask, SOURCE.mask(first, spec.class_ids, 1))
        query = spec.query[0]
        np.testing.assert_array_equal(shown.query, SOURCE.image(query))
        np.testing.assert_array_equal(shown.truth, SOURCE.mask(query, spec.class_ids, None))
        assert shown.logits.keys() == set(prnet().method.outputs)
        for logits in shown.logits.values():
            assert logits.shape == (*SOURCE.size(query), len(spec.class_ids) + 1)
        assert isinstance(shown.explanation, FusionExplanation)


@pytest.mark.parametrize(("joint", "draw"), [(False, {}), (True, TWO_WAYS)], ids=["one way", "joint"])
def test_what_is_shown_is_what_is_counted(joint, draw):
    specs = drawn(4, **draw)
    read = photos(label="original")
    (counts,) = evaluate(read, [Scoring(prnet(joint), specs, ("fusion0", "fusion2"))]).counts
    for episode, (spec, shown) in enumerate(
        zip(specs, show(prnet(joint), SOURCE, specs, INPUTS), strict=True)
    ):
        for output, matrices in counts.items():
            predicted = shown.logits[output].argmax(-1)
            np.testing.assert_array_equal(
                count_prediction(predicted, shown.truth, len(spec.class_ids)), matrices[episode][0]
            )


def test_void_pixels_of_supports_are_what_the_protocol_says():
    specs = drawn(4)
    for spec, shown in zip(
        specs, show(prnet(), SOURCE, specs, InputSettings(SIDE, support_void="background")), strict=True
    ):
        stored = SOURCE.mask(spec.support[0][0], spec.class_ids, 1)
        np.testing.assert_array_equal(shown.supports[0][1], np.where(stored == 255, 0, stored))
        assert (stored == 255).any()
        assert (shown.truth == 255).any()


def test_a_method_that_compares_cells_explains_itself():
    (shown,) = show(dpnet(), SOURCE, drawn(1), INPUTS)
    assert isinstance(shown.explanation, Explanation)
    assert shown.logits.keys() == {"aux", "master"}
