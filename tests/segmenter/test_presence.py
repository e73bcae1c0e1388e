"""The presence score against what its page says of it, in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from fsjax.data.images import InputSettings
from fsjax.models.baselines.color_histogram import ColorHistogram
from fsjax.models.scales import Scales
from fsjax.segmenter import Segmenter
from tests.models.prnet import reference
from tests.models.tiny import patch_colours
from tests.segmenter.photos import COLOURS, KERNEL, PRNET, SIDE, photo, photos

pool = reference.pool


def features(image):
    """The linear backbone's, of a photo of the input's size."""
    return patch_colours(image[None].astype(float))[0] @ KERNEL.astype(float)


def unit(vector):
    return vector / np.linalg.norm(vector)


def expected(shown, query, mask, way):
    """The mean over a class's supports of the cosine of their directions and of what was found."""
    own = features(query)
    found = pool(own, mask == way)
    around = pool(own, mask == 0)
    if around is None:
        around = reference.average([pool(features(image), truth == 0) for image, truth in shown])
    cosines = [
        unit(found - around) @ unit(pool(features(image), truth == way) - pool(features(image), truth == 0))
        for image, truth in shown
        if way in truth
    ]
    return np.clip(np.mean(cosines), 0, 1)


def expected_similarity(shown, query, mask, way):
    vectors = [pool(features(image), truth == way) for image, truth in shown if way in truth]
    maps = reference.cosine_map(features(query), [reference.average(vectors)])
    return reference.upsample(maps, SIDE, SIDE)[mask == way].mean()


@pytest.mark.parametrize("seed", [3, 4])
def test_presence_and_similarity_are_those_of_their_formulas(seed):
    shown = [photo(0, classes=(1, 2)), photo(1, classes=(1,)), photo(2, classes=(2,))]
    rng = np.random.default_rng(seed)
    shown = [
        (np.clip(image + rng.integers(-60, 60, 3), 0, 255).astype(np.uint8), mask) for image, mask in shown
    ]
    query, _ = photo(seed, classes=(2, 1))
    found = PRNET.fit(*photos(*shown)).segment(query)
    assert set(np.unique(found.mask)) == {0, 1, 2}
    for n in (1, 2):
        assert found.presence[n - 1] == pytest.approx(expected(shown, query, found.mask, n), abs=1e-3)
        alike = expected_similarity(shown, query, found.mask, n)
        assert found.similarity[n - 1] == pytest.approx(alike, abs=1e-3)


@pytest.mark.parametrize("kind", ["square", "longside"])
def test_the_similarity_map_is_the_cosine_of_every_cell(kind):
    shown, (query, _) = [photo(0), photo(1)], photo(3, SIDE // 2, SIDE)
    found = replace(PRNET, inputs=InputSettings(SIDE, kind)).fit(*photos(*shown)).segment(query)
    mean = reference.average([pool(features(image), mask == 1) for image, mask in shown])
    if kind == "longside":
        cells = reference.cosine_map(features(query), [mean])
        np.testing.assert_allclose(found.cosines, cells, atol=1e-4)
        expected_map = reference.upsample(cells, SIDE // 2, SIDE)[..., 0]
        np.testing.assert_allclose(found.similarity_map(1), expected_map, atol=1e-3)
    assert found.similarity_map(1).shape == found.mask.shape
    assert found.similarity_map(1)[found.mask == 1].mean() > found.similarity_map(1)[found.mask == 0].mean()


def test_a_mask_that_fills_its_photo_is_compared_with_the_supports_background():
    shown = [photo(0), photo(1)]
    query = np.full((SIDE, SIDE, 3), COLOURS[1])
    found = PRNET.fit(*photos(*shown)).segment(query, threshold=0.0)
    assert found.mask.min() == 1
    assert found.presence[0] == pytest.approx(expected(shown, query, found.mask, 1), abs=1e-3)
    assert found.presence[0] > 0.95


def test_what_the_supports_show_is_there_and_what_they_do_not_is_not():
    fitted = PRNET.fit(*photos(photo(0), photo(1)))
    (image, _), (other, _) = photo(0), photo(5, classes=(2,))
    assert fitted.segment(image).presence[0] > 0.99
    # A blue thing on the same ground: whatever is found of it is unlike the red one.
    assert fitted.segment(other, threshold=0.0).presence[0] < 0.6
    grey = np.full((SIDE, SIDE, 3), COLOURS[0])
    nothing = fitted.segment(grey, threshold=1.0)
    assert (nothing.mask.any(), nothing.presence[0], nothing.similarity[0]) == (False, 0, 0)


def test_a_support_without_background_shows_no_direction():
    image, mask = photo(0)
    whole = np.full((SIDE, SIDE, 3), COLOURS[1]), np.ones((SIDE, SIDE), np.uint8)
    both, alone = PRNET.fit(*photos((image, mask), whole)), PRNET.fit(image, mask)
    query, _ = photo(3)
    found = both.segment(query)
    np.testing.assert_allclose(found.presence, expected([(image, mask)], query, found.mask, 1), atol=1e-3)
    assert alone.segment(query).presence[0] > 0.95
    assert PRNET.fit(*whole).segment(query, threshold=0.0).presence.tolist() == [0]


def test_below_the_least_presence_the_mask_is_empty_and_the_score_stays():
    fitted = PRNET.fit(*photos(photo(0, classes=(1, 2)), photo(1, classes=(1, 2))))
    query, _ = photo(2, classes=(1, 2))
    whole = fitted.segment(query)
    low, high = np.sort(whole.presence)
    kept = fitted.segment(query, min_presence=float((low + high) / 2))
    lost = int(np.argmin(whole.presence))
    np.testing.assert_array_equal(kept.mask, np.where(whole.mask == lost + 1, 0, whole.mask))
    np.testing.assert_array_equal(kept.presence, whole.presence)
    assert (kept.area[lost], kept.confidence[lost], kept.similarity[lost]) == (0, 0, 0)
    assert kept.similarity[1 - lost] == whole.similarity[1 - lost]
    np.testing.assert_array_equal(fitted.segment(query, min_presence=float(low)).mask, whole.mask)


def test_a_method_without_a_network_has_no_score_and_keeps_its_masks():
    segmenter = Segmenter(ColorHistogram(), {}, None, InputSettings(SIDE))
    found = segmenter.fit(*photo(0)).segment(photo(1)[0], min_presence=1.0)
    assert np.isnan(found.presence).all()
    assert np.isnan(found.similarity).all()
    assert np.isnan(found.similarity_map(1)).all()
    assert found.mask.any()
    assert found._repr_png_()


def test_scales_do_not_change_what_presence_is_measured_on():
    fitted = replace(PRNET, scales=Scales((0.5, 1.0))).fit(*photo(0))
    query, _ = photo(1)
    found = fitted.segment(query)
    assert found.presence[0] == pytest.approx(expected([photo(0)], query, found.mask, 1), abs=1e-3)
