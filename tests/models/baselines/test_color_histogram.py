"""The colour histogram against one that counts pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.baselines.color_histogram import ColorHistogram
from fsjax.models.method import Segmenting, Trainable

BINS, SMOOTHING = 4, 1.5
SMALL = ColorHistogram(BINS, SMOOTHING)


def segment(method, images, masks, sizes, present, queries, query_sizes, shape, label_sizes):
    """All that a method does of an episode; masks [N, K, H, W] are 0, 1 and 255."""
    lead = masks.shape[:2]

    @jax.jit
    def run(images, masks, sizes, present, queries, query_sizes, label_sizes):
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (images, masks, sizes))
        features = method.embed({}, flat[0], flat[2])
        described = jax.vmap(lambda *photo: method.describe({}, *photo))(features, *flat[1:])
        described = jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), described)
        fitted = method.fit({}, described, present)
        embedded = method.embed({}, queries, query_sizes)
        return method.segment({}, fitted, embedded, shape, label_sizes, None)

    arrays = (images, masks, sizes, present, queries, query_sizes, label_sizes)
    ((name, logits),) = run(*map(jnp.asarray, arrays)).items()
    assert name == method.final == method.plain == method.outputs[0]
    return np.asarray(logits)


def color(pixel):
    red, green, blue = (int(channel) * BINS // 256 for channel in pixel)
    return red, green, blue


def likelihoods(photos, masks, sizes, label):
    """[BINS, BINS, BINS]: how likely each colour is in a class, from lists of its supports."""
    found = np.zeros((BINS, BINS, BINS))
    pixels = 0
    for photo, mask, (height, width) in zip(photos, masks, sizes, strict=True):
        for y in range(height):
            for x in range(width):
                if mask[y, x] == label:
                    pixels += 1
                    found += spread(color(photo[y, x]))
    return (found + 128 / BINS**3) / (pixels + 128)


def spread(place):
    """One pixel: a half in its own bin and a quarter in each neighbour, along each channel."""
    axes = []
    for bin_ in place:
        axis = np.zeros(BINS)
        for other, share in ((bin_ - 1, 0.25), (bin_, 0.5), (bin_ + 1, 0.25)):
            if 0 <= other < BINS:
                axis[other] += share
        axes.append(axis / axis.sum())
    return np.einsum("r,g,b->rgb", *axes)


def smoothed(values, height, width):
    out = np.zeros((height, width))
    y, x = np.mgrid[:height, :width]
    for row in range(height):
        for column in range(width):
            weight = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * SMOOTHING**2))
            out[row, column] = np.sum(weight * values) / np.sum(weight)
    return out


def random_supports(rng, ways=2, shots=3, side=9):
    images = rng.integers(0, 256, (ways, shots, side, side, 3), dtype=np.uint8)
    masks = rng.choice(np.asarray([0, 1, 255], np.uint8), (ways, shots, side, side))
    return images, masks, rng.integers(5, side + 1, (ways, shots, 2))


@pytest.mark.parametrize("missing", [None, (0, 1), (1, 2)])
def test_logits_are_those_of_counting_pixels(missing):
    rng = np.random.default_rng(0)
    images, masks, sizes = random_supports(rng)
    present = np.ones((2, 3), bool)
    if missing:
        present[missing] = False
    queries, query_sizes = rng.integers(0, 256, (2, 8, 7, 3), dtype=np.uint8), np.asarray([[8, 7], [6, 4]])

    arrays = (images, masks, sizes, present, queries, query_sizes)
    logits = segment(SMALL, *arrays, (8, 7), query_sizes)

    there = [list(zip(images[n][present[n]], masks[n][present[n]], sizes[n][present[n]], strict=True))
             for n in range(2)]  # fmt: skip
    classes = [likelihoods(*zip(*(there[0] + there[1]), strict=True), 0)]
    classes += [likelihoods(*zip(*way, strict=True), 1) for way in there]
    assert logits.shape == (2, 8, 7, 3)
    for query, photo, (height, width) in zip(logits, queries, query_sizes, strict=True):
        for label, likelihood in enumerate(classes):
            of_pixels = [
                [np.log(likelihood[color(photo[y, x])]) for x in range(width)] for y in range(height)
            ]
            expected = smoothed(np.asarray(of_pixels), height, width)
            np.testing.assert_allclose(query[:height, :width, label], expected, atol=2e-5)


def test_a_class_without_pixels_expects_all_colours_alike():
    rng = np.random.default_rng(1)
    images, masks, sizes = random_supports(rng, ways=2, shots=1)
    masks[1] = 0
    queries = rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    arrays = (images, masks, sizes, np.ones((2, 1), bool), queries, np.asarray([[8, 8]]))
    logits = segment(SMALL, *arrays, (8, 8), np.asarray([[8, 8]]))
    np.testing.assert_allclose(logits[..., 2], np.log(1 / BINS**3), rtol=1e-5)
    for way in (0, 1):
        assert np.ptp(logits[..., way]) > 0.01


def test_neither_void_nor_padding_nor_absent_photos_are_looked_at():
    rng = np.random.default_rng(3)
    images, masks, sizes = random_supports(rng, side=12)
    present = np.asarray([[True, True, False], [True, False, True]])
    queries, query_sizes = (
        rng.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8),
        np.asarray([[10, 10], [8, 7]]),
    )

    def logits(images, masks, queries):
        return segment(
            ColorHistogram(), images, masks, sizes, present, queries, query_sizes, (10, 10), query_sizes
        )

    changed, changed_masks, changed_queries = images.copy(), masks.copy(), queries.copy()
    changed[masks == 255] = 0
    for place in np.ndindex(2, 3):
        height, width = sizes[place]
        changed[place][height:], changed[place][:, width:] = 7, 8
        changed_masks[place][height:], changed_masks[place][:, width:] = 1, 0
    changed[~present], changed_masks[~present] = 9, 1
    changed_queries[1, 8:], changed_queries[1, :, 7:] = 9, 10
    before, after = logits(images, masks, queries), logits(changed, changed_masks, changed_queries)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_allclose(before[1, :8, :7], after[1, :8, :7], atol=1e-5)


def two_colors(rng, height, width):
    """A reddish square on blue, and its mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:12, 5:14] = 1
    shown = np.where(mask[..., None] == 1, [200, 40, 30], [20, 60, 190])
    return (shown + rng.integers(-12, 13, shown.shape)).astype(np.uint8), mask


def test_the_colour_is_found_on_the_labels_pixels():
    rng = np.random.default_rng(2)
    (support, mask), (query, truth) = two_colors(rng, 24, 24), two_colors(rng, 20, 22)
    logits = segment(
        ColorHistogram(smoothing=0.5), support[None, None], mask[None, None], np.asarray([[[24, 24]]]),
        np.ones((1, 1), bool), query[None], np.asarray([[20, 22]]), (40, 50), np.asarray([[40, 44]]),
    )  # fmt: skip
    assert logits.shape == (1, 40, 50, 2)
    found = logits[0].argmax(-1)
    larger = np.repeat(np.repeat(truth, 2, axis=0), 2, axis=1)
    assert (found[:40, :44] == larger).mean() > 0.98
    assert not logits[0, :, 44:].any()


def test_a_description_is_a_count_of_every_pixel_that_counts():
    rng = np.random.default_rng(4)
    images, masks, _ = random_supports(rng)
    photo, mask = jnp.asarray(images[0, :1]), masks[0, 0]
    features = jax.tree.map(lambda x: x[0], SMALL.embed({}, photo, jnp.asarray([[9, 9]])))
    cells, shown = SMALL.describe({}, features, jnp.asarray(mask), jnp.asarray([7, 5]))
    assert cells == ()
    assert shown.shape == (2, BINS**3)
    np.testing.assert_array_equal(shown.sum(-1), [np.sum(mask[:7, :5] == label) for label in (0, 1)])


def test_it_is_segmenting_and_nothing_more():
    method: Segmenting = ColorHistogram()
    assert not isinstance(method, Trainable)
    assert hash(method) == hash(ColorHistogram())
    assert (method.side(4.6), method.side(0.2)) == (5, 1)
    np.testing.assert_array_equal(method.side(np.asarray([4.6, 7.0])), [5, 7])
