"""Weights tuned to people's supports, as an evaluation tunes them; and supports segmented by one another."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from fsjax.data.images import InputSettings
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.prediction import check_of_supports
from fsjax.segmenter import leave_one_out
from tests.models.prnet import reference
from tests.models.tiny import adapted, patch_colours, supports_of, two_layer_backbone
from tests.segmenter.photos import (
    DPNET,
    KERNEL,
    PRNET,
    SIDE,
    assert_one_sentence,
    iou,
    photo,
    photos,
    segmented,
)

DEEP = replace(
    PRNET,
    method=PRNet(two_layer_backbone()),
    variables={"backbone": two_layer_backbone().init(jax.random.key(3)), "head": {}},
)
TUNED = AdaptSettings(steps=3, learning_rate=0.1)


@pytest.mark.parametrize("input_", ["square", pytest.param("longside", marks=pytest.mark.slow)])
def test_fitting_with_adaptation_is_what_the_adapted_row_does(input_):
    """Two ways of two shots, whose masks show both classes; square photos need no resizing either way."""
    sides = (SIDE, SIDE) if input_ == "square" else (SIDE, 21)
    segmenter = replace(DEEP, inputs=InputSettings(SIDE, input_))
    images, masks = photos(*(photo(k, *sides, classes=(1, 2)) for k in range(4)))
    query, truth = photo(7, *sides, classes=(2, 1))

    def stacked(arrays, *lead):
        result = np.zeros((len(arrays), SIDE, SIDE, *arrays[0].shape[2:]), np.uint8)
        result[:, : sides[0], : sides[1]] = arrays
        return result.reshape(*lead, *result.shape[1:])

    def sizes(*lead):
        return np.full((*lead, 2), sides, np.int32)

    episode = Episode(
        stacked(images, 2, 2), stacked(masks, 2, 2), sizes(2, 2), stacked([query], 1), sizes(1),
        stacked([truth], 1), sizes(1), np.int32([1, 2]), np.float32(1), np.int32(0),
    )  # fmt: skip

    def whole(variables, episode):
        tuned, _ = adapted(segmenter.method, variables, supports_of(episode), TUNED)
        return segmented(segmenter, tuned, episode)

    expected = jax.jit(whole)(segmenter.variables, episode)
    before = jax.tree.map(np.array, segmenter.variables)
    fitted = segmenter.fit(images, masks, ways=[1, 1, 2, 2], adapt=TUNED)
    (found,) = fitted.logits([query])
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name][0, : sides[0], : sides[1]], atol=5e-3)
    (untuned,) = segmenter.fit(images, masks, ways=[1, 1, 2, 2]).logits([query])
    assert np.abs(untuned["fusion0"] - found["fusion0"]).max() > 0.1
    jax.tree.map(np.testing.assert_array_equal, segmenter.variables, before)
    assert fitted.segmenter.variables is not segmenter.variables


def test_what_fills_up_unequal_shots_changes_nothing():
    """The loss of the three photos that there are, in NumPy, has the gradient that moves the weights."""
    shown = photos(photo(0), photo(1, classes=(2,)), photo(2, classes=(2,)))
    fitted = PRNET.fit(*shown, ways=[1, 2, 2], adapt=AdaptSettings(steps=1, learning_rate=1.0, momentum=0.0))
    moved = KERNEL - np.asarray(fitted.segmenter.variables["backbone"]["params"]["kernel"])

    def loss(kernel):
        features = [patch_colours(image[None])[0] @ kernel for image in shown[0]]
        pool = reference.pool
        p_s = [
            reference.average([pool(f, m == 0) for f, m in zip(features, shown[1], strict=True)]),
            pool(features[0], shown[1][0] == 1),
            reference.average([pool(features[k], shown[1][k] == 2) for k in (1, 2)]),
        ]
        maps = [20 * reference.cosine_map(f, p_s) for f in features]
        full = [reference.upsample(m, SIDE, SIDE) for m in maps]
        odds = [f - np.log(np.exp(f).sum(-1, keepdims=True)) for f in full]
        picked = [
            np.take_along_axis(o, m[..., None].astype(int), -1) for o, m in zip(odds, shown[1], strict=True)
        ]
        return -np.mean(picked)

    step = 1e-5
    for place in ((0, 0), (2, 3)):
        change = np.zeros(KERNEL.shape)
        change[place] = step
        slope = (loss(KERNEL + change) - loss(KERNEL - change)) / (2 * step)
        assert moved[place] == pytest.approx(slope, rel=2e-2, abs=1e-4)


def test_leaving_each_shot_out_is_sound_with_one_shot_of_a_class():
    settings = AdaptSettings(steps=2, learning_rate=0.1, leave_one_out=True)
    fitted = PRNET.fit(*photos(photo(0), photo(1, classes=(2,)), photo(2, classes=(2,))), adapt=settings)
    assert iou(fitted.segment(photo(5)[0]).mask, photo(5)[1], 1) > 0.6


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(InputError) as raised:
        DPNET.fit(*photo(0), adapt=TUNED)
    assert_one_sentence(raised, "This method cannot be adapted to supports: PRNet can.")
    with pytest.raises(InputError) as raised:
        DEEP.fit(*photo(0), adapt=AdaptSettings(steps=3, learning_rate=1e38))
    assert_one_sentence(raised, "lower its learning rate")


def test_each_support_by_all_others_is_as_by_hand():
    """One photo alone shows class 2, another is of another size, and of a third a part is ignored."""
    images, masks = photos(photo(0, classes=(1, 2)), photo(1, 50, 70), photo(2))
    masks[2][:, :10] = 255
    found = leave_one_out(PRNET.fit(images, masks))
    assert np.isnan(found).tolist() == [[False, True], [False, True], [False, True]]
    for k in range(3):
        rest = [other for other in range(3) if other != k]
        fitted = PRNET.fit([images[other] for other in rest], [masks[other] for other in rest])
        mask, valid = fitted.segment(images[k]).mask, masks[k] != 255
        assert found[k, 0] == pytest.approx(iou(mask[valid], masks[k][valid], 1))
    assert np.nanmin(found) > 0.5


@pytest.mark.slow
def test_a_support_of_thousands_of_pixels_is_segmented_at_a_smaller_size():
    images, masks = photos(photo(0, classes=(1, 2)), photo(1, 300, 2600, classes=(1, 2)))
    found = leave_one_out(PRNET.fit(images, masks))
    mask = PRNET.fit(images[0], masks[0]).segment(images[1]).mask
    assert found[1] == pytest.approx([iou(mask, masks[1], n) for n in (1, 2)])


def wrong(image, mask):
    """The photo's ground marked in place of its object."""
    return image, ((mask == 0) & (np.arange(len(mask)) < 8)).astype(np.uint8)


NAMES = [f"photo {k}" for k in range(5)]


@pytest.mark.parametrize("seed", [0, 10])
def test_a_wrong_mask_among_good_ones_is_named(seed):
    shown = [photo(seed + k) for k in range(5)]
    shown[3] = wrong(*shown[3])
    checks = check_of_supports(PRNET.fit(*photos(*shown), classes=["cup"]), NAMES)
    (warning,) = checks.warnings
    assert warning.startswith("Look at photo 3: the other supports find its cup with an IoU of ")
    assert warning.endswith("Is its mask right, and is it the same thing?")
    assert "\n" not in warning


def test_good_masks_are_told_and_none_is_warned_of():
    shown = photos(*(photo(k, classes=(1, 2)) for k in range(4)), photo(4))
    checks = check_of_supports(PRNET.fit(*shown, classes=["cup", "jar"]), NAMES)
    assert checks.warnings == []
    assert [note.split(": IoU ")[0] for note in checks.notes[0]] == ["cup", "jar"]
    first, *lines = checks.lines
    assert first == "Each support, segmented by the others (IoU in percent):"
    assert [line.split(":")[0] for line in lines] == NAMES
    assert lines[0].replace(",", "").split()[2::2] == ["cup", "jar"]
    assert "jar" not in lines[4]
    assert all(float(words) > 50 for words in lines[0].replace(",", "").split()[3::2])


def test_one_support_has_nothing_to_be_compared_with():
    checks = check_of_supports(PRNET.fit(*photo(0)), ["a"])
    assert checks == ([[]], [], [])
