"""What is found in a photo, of any size, and photos that are streamed."""

import io
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFilter

from fsjax.segmenter import Segmentation
from fsjax.segmenter.overlay import TINT, ink, overlay, palette
from tests.models.prnet import reference
from tests.segmenter.photos import COLOURS, PRNET, SIDE, iou, photo, photos

FITTED = PRNET.fit(*photos(photo(0, classes=(1, 2)), photo(1, classes=(1, 2))), classes=["cup", "jar"])


@pytest.fixture(scope="module")
def found():
    return FITTED.segment(photo(2, 40, 60, (1, 2))[0])


def test_one_photo_is_one_answer_and_several_are_a_list(found):
    image, _ = photo(2, 40, 60, (1, 2))
    for several in ([image] * 2, (image, image), np.stack([image] * 2)):
        answers = FITTED.segment(several)
        assert isinstance(answers, list)
        for answer in answers:
            np.testing.assert_array_equal(answer.mask, found.mask)
            np.testing.assert_allclose(answer.probabilities, found.probabilities, atol=1e-5)
    assert isinstance(FITTED.segment(Image.fromarray(image)), Segmentation)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_generator_is_streamed(batch):
    """No more photos than one batch are ever waited for."""
    taken = 0

    def source():
        nonlocal taken
        for seed in range(8):
            taken += 1
            yield photo(seed, classes=(1, 2))[0]

    answers = FITTED.segment(source(), batch=batch)
    assert (iter(answers), taken) == (answers, 0)
    for number, answer in enumerate(answers):
        assert number < taken <= batch * (number // batch + 1)
        np.testing.assert_array_equal(answer.photo, photo(number, classes=(1, 2))[0])
        np.testing.assert_array_equal(answer.mask, FITTED.segment(answer.photo).mask)
    assert (number, taken) == (7, 8)


def test_probabilities_sum_to_one_and_the_likeliest_is_the_mask(found):
    assert (found.probabilities.shape, found.probabilities.dtype) == ((40, 60, 3), np.float32)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.probabilities.argmax(-1), found.mask)
    logits = FITTED.logits([found.photo])[0]["fusion2"]
    np.testing.assert_array_equal(logits.argmax(-1), found.mask)
    for n in (1, 2):
        of_class = found.mask == n
        assert found.area[n - 1] == of_class.sum()
        assert found.confidence[n - 1] == pytest.approx(found.probabilities[of_class, n].mean(), abs=1e-5)
    assert found.classes == ("cup", "jar")
    with pytest.raises(FrozenInstanceError):
        found.mask = None
    assert len(repr(found)) < 300


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.9])
def test_a_threshold_gives_a_pixel_to_its_likeliest_class(threshold, found):
    mask = FITTED.segment(found.photo, threshold=threshold).mask
    of_classes = found.probabilities[..., 1:]
    expected = np.where(of_classes.max(-1) >= threshold, of_classes.argmax(-1) + 1, 0)
    np.testing.assert_array_equal(mask, expected)


def test_a_photo_of_over_2048_pixels_has_a_mask_that_was_enlarged():
    """Its long side is 2500: logits are made for 2048 x 983 pixels, and stretched."""
    image, truth = photo(3, 125, 60, (1, 2))
    image, truth = (np.repeat(np.repeat(x, 20, 0), 20, 1) for x in (image, truth))
    answer = FITTED.segment(image)
    assert (answer.mask.shape, answer.working.shape) == ((2500, 1200), (2048, 983, 3))
    assert min(iou(answer.mask, truth, 1), iou(answer.mask, truth, 2)) > 0.7
    powers = answer.working[:: 2048 // 16, :: 983 // 16]
    np.testing.assert_allclose(powers.sum(-1), 1, atol=1e-5)
    enlarged = reference.upsample(answer.working[:64, :64, :1], 2500 * 64 // 2048, 1200 * 64 // 983)
    near = answer.probability(0)[:60, :60]
    np.testing.assert_allclose(near, enlarged[:60, :60, 0], atol=0.02)
    assert answer.probability(1).shape == (2500, 1200)


@pytest.mark.parametrize("size", [(1, 1), (3, 2100), (2100, 3), (1, 64)])
def test_photos_of_odd_shapes_have_masks_of_theirs(size):
    image = np.full((*size, 3), COLOURS[1])
    answer = FITTED.segment(image)
    assert answer.mask.shape == size
    assert answer.overlay.shape == (*size, 3)
    assert np.isfinite(answer.presence).all()


def test_a_photo_of_one_pixel_may_be_a_support():
    pixel = np.full((1, 1, 3), COLOURS[1])
    images, masks = photos(photo(0), (pixel, np.ones((1, 1), np.uint8)))
    answer = PRNET.fit(images, masks).segment(pixel)
    assert answer.mask.tolist() == [[1]]


def test_a_support_is_found_again():
    image, mask = photo(0, classes=(1, 2))
    answer = FITTED.segment(image)
    assert min(iou(answer.mask, mask, 1), iou(answer.mask, mask, 2)) > 0.75


def test_a_mask_without_background_leaves_no_background():
    image = np.full((SIDE, SIDE, 3), COLOURS[1])
    answer = PRNET.fit(image, np.ones((SIDE, SIDE), bool)).segment(photo(0)[0])
    assert answer.mask.min() == 1


def test_the_picture_of_a_notebook_is_as_large_as_the_photo(found):
    with Image.open(io.BytesIO(found._repr_png_())) as picture:
        assert (picture.format, picture.size) == ("PNG", (60, 40))
        np.testing.assert_array_equal(np.asarray(picture), found.overlay)


def test_a_plot_says_what_was_found_and_how_sure(found):
    axis = found.plot()
    cup, jar = (text.get_text() for text in axis.get_legend().get_texts())
    assert cup == f"cup  presence {found.presence[0]:.2f}, confidence {found.confidence[0]:.2f}"
    assert jar.startswith("jar  presence ")
    np.testing.assert_array_equal(axis.images[0].get_array(), found.overlay)
    none = FITTED.segment(found.photo, threshold=1.0)
    texts = [text.get_text() for text in none.plot().get_legend().get_texts()]
    assert texts == ["cup  not found", "jar  not found"]
    axis.figure.canvas.draw()


@pytest.mark.parametrize("size", [(24, 30), (500, 420), (1, 1)])
def test_an_overlay_tints_and_outlines(size):
    """In strips or not, it is what Pillow's filters and one formula make of the photo."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    mask = np.kron(rng.integers(0, 3, (5, 5)), np.ones((100, 100)))[: size[0], : size[1]].astype(np.uint8)
    mask[: size[0] // 3, : size[1] // 8] = 255
    line = max(1, round(min(size) / 200))
    grown = {n: _grown(mask == n, line) for n in (1, 2)}
    shrunk = {n: ~_grown(mask != n, line) for n in (1, 2)}
    expected = 0.6 * (0.6 * image.mean(-1, keepdims=True) + 0.4 * image) + 0.4 * 255
    for n in (1, 2):
        color = np.array(ImageColor.getrgb(ink(n)))
        expected[mask == n] = ((1 - TINT) * image + TINT * color)[mask == n]
    for n in (1, 2):
        expected[grown[n] & (mask != n)] = 255
        expected[(mask == n) & ~shrunk[n]] = ImageColor.getrgb(ink(n))
    np.testing.assert_array_equal(overlay(image, mask), expected.astype(np.uint8))


def _grown(pixels, by):
    picture = Image.fromarray(pixels.astype(np.uint8) * 255)
    for _ in range(by):
        picture = picture.filter(ImageFilter.MaxFilter(3))
    return np.asarray(picture) > 0


def test_a_palette_has_a_colour_for_each_class_and_none_for_void():
    colors = np.reshape(palette(), (-1, 3)).tolist()
    assert (len(colors), colors[0], colors[255]) == (256, [0, 0, 0], [255] * 3)
    assert len({tuple(color) for color in colors[:7]}) == 7
    assert colors[1] == colors[7]
