"""From photos to masks as a notebook does it: any sizes, any shots, and the same answers as an evaluation."""

from dataclasses import FrozenInstanceError, replace
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image

import fsjax
from fsjax.data.images import InputSettings
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.scales import Scales
from fsjax.segmenter import Segmenter
from fsjax.training.runs import Run
from tests.models.prnet import reference
from tests.models.tiny import patch_colours
from tests.runs import prnet_config
from tests.segmenter.photos import (
    DPNET,
    JOINT,
    KERNEL,
    PRNET,
    SIDE,
    assert_one_sentence,
    iou,
    photo,
    photos,
    segmented,
)
from tests.toy import ToySource
from tests.training.test_release import saved

SCALES = Scales((0.5, 1.0, 1.5))


def in_numpy(image):
    """The linear backbone's features of a photo at the input size, by Pillow's resize."""
    resized = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return patch_colours(np.asarray(resized, float)[None])[0] @ KERNEL.astype(float)


def expected_logits(p_s, image):
    """What PRNet answers for one photo, each output at the photo's own size."""
    stages = reference.fuse([in_numpy(image)], p_s)
    return [reference.upsample(20 * maps[0], *image.shape[:2]) for maps in stages]


def assert_logits(found, expected):
    for values, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(values, wanted, atol=2e-3)


@pytest.mark.parametrize("segmenter", [PRNET, JOINT, replace(PRNET, inputs=InputSettings(SIDE, "longside"))])
def test_photos_of_any_sizes_come_back_as_masks_of_their_sizes(segmenter):
    fitted = segmenter.fit(*photos(photo(0, 40, 70, (1, 2)), photo(1, 33, 20, (1, 2))))
    queries, truths = photos(photo(2, 50, 90, (2, 1)), photo(3, 31, 31, (2,)), photo(4, 130, 36, (1, 2)))
    masks = [found.mask for found in fitted.segment(queries)]
    assert [(mask.shape, mask.dtype) for mask in masks] == [(truth.shape, np.uint8) for truth in truths]
    for mask, truth in zip(masks, truths, strict=True):
        for way in np.unique(truth[truth > 0]):
            assert iou(mask, truth, way) > 0.6
    for name in segmenter.method.outputs:
        found = [one.mask.shape for one in fitted.segment(queries, name)]
        assert found == [truth.shape for truth in truths]
    assert fitted.segment([]) == []


def test_a_photo_is_resized_segmented_and_restored():
    """From its pixels to its logits in NumPy and Pillow; the supports are of other sizes, too."""
    shown = photo(0, 40, 70, (1, 2)), photo(1, 64, 48, (2, 1))
    features, small = [], []
    for image, mask in shown:
        features.append(in_numpy(image))
        small.append(np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST)))
    p_s = reference.support_prototypes([features] * 2, [small] * 2)
    query, _ = photo(2, 57, 23, (1, 2))
    (found,) = PRNET.fit(*photos(*shown)).logits([query])
    assert_logits(found, expected_logits(p_s, query))


def test_a_way_may_be_shown_by_one_photo_and_another_by_three():
    """The second photo shows both classes, and is a support of the second alone: class 1 is nothing in it."""
    shown = [photo(0), photo(1, classes=(1, 2)), photo(2, classes=(2,)), photo(3, classes=(2,))]
    features, (_, masks) = [in_numpy(image) for image, _ in shown], photos(*shown)
    pool = reference.pool
    p_s = [
        reference.average([pool(f, mask == 0) for f, mask in zip(features, masks, strict=True)]),
        pool(features[0], masks[0] == 1),
        reference.average([pool(features[k], masks[k] == 2) for k in (1, 2, 3)]),
    ]
    query, truth = photo(4, 45, 60, (1, 2))
    fitted = PRNET.fit(*photos(*shown), ways=[1, 2, 2, 2])
    assert_logits(fitted.logits([query])[0], expected_logits(p_s, query))
    mask = fitted.segment(query).mask
    assert min(iou(mask, truth, 1), iou(mask, truth, 2)) > 0.7


def test_without_ways_a_photo_is_a_support_of_all_that_it_shows():
    shown = photos(photo(0, classes=(1, 2)), photo(1, classes=(2,)))
    by_name = photos(photo(0, classes=(1, 2)), photo(0, classes=(1, 2)), photo(1, classes=(2,)))
    query, _ = photo(2, classes=(2, 1))
    (found,) = PRNET.fit(*shown).logits([query])
    (wanted,) = PRNET.fit(*by_name, ways=(1, 2, 2)).logits([query])
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)
    two = PRNET.fit(*photos(photo(0, classes=(1, 2))), ways=[1]).segment(query).mask
    assert set(np.unique(two)) == {0, 1}  # of one class that was asked for, whatever else is marked


def test_masks_may_be_boolean_or_of_any_whole_numbers():
    images, masks = photos(photo(0, 40, 50), photo(1))
    query, _ = photo(2)
    (expected,) = PRNET.fit(images, masks).logits([query])
    for dtype in (bool, np.int64, np.int8):
        (found,) = PRNET.fit(images, [mask.astype(dtype) for mask in masks]).logits([query])
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    (stacked,) = PRNET.fit(np.stack([photo(1)[0]] * 2), np.stack([masks[1]] * 2)).logits(query[None])
    (once,) = PRNET.fit(images[1:], masks[1:]).logits([query])
    np.testing.assert_allclose(stacked["fusion2"], once["fusion2"], atol=1e-4)


def test_an_object_too_small_for_the_input_size_is_still_seen():
    image, mask = photo(0, 320, 320)
    mask[:] = 0
    mask[101, 103] = 1
    found = PRNET.fit(image, mask).segment(image, "fusion0").mask
    assert found[101, 103] == 1


def test_ignored_pixels_are_neither_class_nor_background():
    (image, mask), (query, _) = photo(0, classes=(1, 2)), photo(1, classes=(1, 2))
    mask[mask == 2] = 255
    features = in_numpy(image)
    p_s = [reference.pool(features, mask == 0), reference.pool(features, mask == 1)]
    assert_logits(PRNET.fit([image], [mask]).logits([query])[0], expected_logits(p_s, query))


@pytest.mark.parametrize(
    ("segmenter", "input_"),
    [
        (JOINT, "square"),
        (replace(PRNET, scales=SCALES), "longside"),
        pytest.param(PRNET, "longside", marks=pytest.mark.slow),
        pytest.param(DPNET, "longside", marks=pytest.mark.slow),
    ],
)
def test_the_answers_are_those_of_one_episode_in_one_program(segmenter, input_):
    """The Segmenter's calls and the adapted row's program meet, with photos that fill their arrays or not."""
    size = segmenter.inputs.size
    segmenter = replace(segmenter, inputs=InputSettings(size, input_))
    sides = (size, size) if input_ == "square" else (size, 21)
    shown = [photo(k, *sides, classes=(1, 2)) for k in range(4)]
    queries, truths = photos(photo(5, *sides, classes=(2, 1)), photo(6, *sides, classes=(1, 2)))

    def stacked(arrays, *lead):
        result = np.zeros((len(arrays), size, size, *arrays[0].shape[2:]), np.uint8)
        result[:, : sides[0], : sides[1]] = arrays
        return result.reshape(*lead, *result.shape[1:]), np.full((*lead, 2), sides, np.int32)

    images, masks = photos(*shown)
    support_images, support_sizes = stacked(images, 2, 2)
    query_images, query_sizes = stacked(queries, 2)
    episode = Episode(
        support_images, stacked(masks, 2, 2)[0], support_sizes, query_images, query_sizes,
        stacked(truths, 2)[0], query_sizes, np.int32([1, 2]), np.float32(1), np.int32(0),
    )  # fmt: skip
    expected = jax.jit(partial(segmented, segmenter))(segmenter.variables, episode)
    found = segmenter.fit(images, masks, ways=[1, 1, 2, 2]).logits(queries)
    for t, logits in enumerate(found):
        assert tuple(logits) == segmenter.method.outputs
        for name, values in logits.items():
            wanted = np.asarray(expected[name])[t, : sides[0], : sides[1]]
            np.testing.assert_allclose(values, wanted, atol=2e-3)


def test_with_joint_the_photos_of_one_call_refine_one_another():
    fitted = JOINT.fit(*photos(photo(0)))
    (first, _), (second, _) = photo(1), photo(2, 40, 20)
    together, alone = fitted.logits([first, second]), fitted.logits([first])
    np.testing.assert_allclose(together[0]["fusion0"], alone[0]["fusion0"], atol=1e-4)
    assert np.abs(together[0]["fusion1"] - alone[0]["fusion1"]).max() > 1e-2
    apart = PRNET.fit(*photos(photo(0))).logits([first, second])
    np.testing.assert_allclose(apart[0]["fusion2"], alone[0]["fusion2"], atol=1e-4)


def test_scales_are_averaged_as_probabilities_at_the_photos_size():
    shown, (query, _) = photo(0), photo(1, 50, 44)
    fitted = replace(PRNET, scales=SCALES).fit(*photos(shown))
    p_s = reference.support_prototypes([[in_numpy(shown[0])]], [[shown[1]]])
    small = np.asarray(Image.fromarray(query).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    odds = []
    for side in (16, 32, 48):
        pixels = np.round(reference.upsample(small, side, side))
        features = patch_colours(pixels[None])[0] @ KERNEL.astype(float)
        logits = reference.upsample(20 * reference.cosine_map(features, p_s), *query.shape[:2])
        odds.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    (found,) = fitted.logits([query])
    np.testing.assert_allclose(np.exp(found["fusion0"]), np.mean(odds, 0), atol=5e-3)
    assert np.abs(odds[0] - odds[1]).max() > 0.05


def test_a_segmenter_is_a_value():
    before = jax.tree.map(np.array, PRNET.variables)
    (query, _) = photo(9)
    first = PRNET.fit(*photos(photo(0, classes=(1, 2))))
    (expected,) = first.logits([query])
    PRNET.fit(*photos(photo(1, 20, 20)))
    (again,) = first.logits([query])
    jax.tree.map(np.testing.assert_array_equal, again, expected)
    jax.tree.map(np.testing.assert_array_equal, PRNET.variables, before)
    for value, name in ((PRNET, "settings"), (first, "segmenter")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    assert max(len(repr(PRNET)), len(repr(first))) < 1000  # no page of weights in a notebook
    assert {PRNET, replace(PRNET)} - {PRNET}  # hashable, and equal to itself alone


IMAGE, MASK = photo(0, 24, 30)
UNLIKE = {
    "There are 2 photos and 1 masks": ([IMAGE, IMAGE], [MASK]),
    "There are 0 photos and 0 masks": ([], []),
    "Photo 2 is float64 (24, 30, 3): give RGB": ([IMAGE, IMAGE / 255], [MASK, MASK]),
    "Photo 1 is uint8 (24, 30, 2): give RGB": ([IMAGE[..., :2]], [MASK]),
    "as uint8 [H, W, 3]; it holds NaN or Inf, too": ([np.full((24, 30, 3), np.nan)], [MASK]),
    "Photo 1 is uint8 (0, 30, 3): give RGB": ([IMAGE[:0]], [MASK[:0]]),
    "Mask 1 has the shape (30, 24) and its photo (24, 30)": ([IMAGE], [MASK.T]),
    "Mask 1 has the shape (24, 30, 2)": ([IMAGE], [np.stack([MASK] * 2, -1)]),
    "Mask 1 is of type float32": ([IMAGE], [MASK.astype(np.float32)]),
    "Mask 1 holds values from -1 to 0": ([IMAGE], [-MASK.astype(int)]),
    "Mask 1 holds values from 0 to 300": ([IMAGE], [300 * MASK.astype(int)]),
    "Mask 2 marks no class": ([IMAGE, IMAGE], [MASK, 0 * MASK]),
    "No photo is a support of class 1 of 2": ([IMAGE], [2 * MASK]),
    "No photo is a support of class 2 of 3": ([IMAGE, IMAGE], [MASK, 3 * MASK], [1, 3]),
    "There are 1 photos and 2 ways": ([IMAGE], [MASK], [1, 1]),
    "Mask 1 does not show class 2": ([IMAGE], [MASK], [2]),
    "Mask 1 does not show class 0": ([IMAGE], [MASK], [0]),
}


@pytest.mark.parametrize("message", UNLIKE)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(message):
    with pytest.raises(InputError) as raised:
        PRNET.fit(*UNLIKE[message])
    assert_one_sentence(raised, message)


def test_what_cannot_be_segmented_is_refused_in_a_sentence():
    fitted = DPNET.fit([IMAGE], [MASK])
    for message, call in {
        "There is no output 'fusion2': choose from aux, master.": lambda: fitted.segment([IMAGE], "fusion2"),
        "Photo 2 is bool (24, 30)": lambda: fitted.segment([IMAGE, MASK > 0]),
        "Photo 1 is float64": lambda: fitted.explain(IMAGE / 1.0),
    }.items():
        with pytest.raises(InputError) as raised:
            call()
        assert_one_sentence(raised, message)


def test_three_lines_from_a_run_to_the_mask_of_a_photo(tmp_path):
    source = ToySource()
    config = prnet_config({"eval.size": 41, "eval.scales": (1.0, 1.3), "eval.fusion.joint": True})
    saved(tmp_path / "run", config)
    images, masks = [source.image(p) for p in (0, 6)], [source.labels(p) == 1 for p in (0, 6)]

    fitted = fsjax.Segmenter.load(tmp_path / "run").fit(images, masks)
    found = fitted.segment(source.image(12))

    assert found.mask.shape == source.size(12)
    assert set(np.unique(found.mask)) <= {0, 1}
    loaded = fitted.segmenter
    assert (loaded.inputs.size, loaded.scales.factors, loaded.joint) == (41, (1.0, 1.3), True)
    assert loaded.settings == FusionSettings(joint=True)
    stored = Run.open(tmp_path / "run").variables(loaded.method)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, stored)
    with pytest.raises(InputError) as raised:
        Segmenter.load(tmp_path / "elsewhere")
    assert_one_sentence(raised, "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
