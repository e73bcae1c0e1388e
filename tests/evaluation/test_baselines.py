"""What needs no training, on pictures whose answer is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.evaluation.baselines import FilterBank, RawRGB, any_object, color_histogram_logits


def extract(module, images, sizes):
    return jax.jit(module.apply)({}, jnp.asarray(images), jnp.asarray(sizes, jnp.int32))["map"]


def full(images):
    return np.full((len(images), 2), images.shape[1:3], np.int32)


def grating(angle, phase=0.0, wavelength=7, shape=(48, 48)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = np.sin(2 * np.pi / wavelength * (np.sin(angle) * y + np.cos(angle) * x) + phase)
    return np.repeat(np.round(128 + 80 * wave).astype(np.uint8)[..., None], 3, axis=-1)


def padded(images, height, width, fill=77):
    shape = (len(images), height, width, 3)
    out = np.full(shape, fill, np.uint8)
    out[:, : images.shape[1], : images.shape[2]] = images
    return out


def test_raw_rgb_averages_cells():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 10, 9, 3), dtype=np.uint8)
    sizes = np.asarray([[10, 9], [7, 6]], np.int32)
    found = extract(RawRGB(), images, sizes)
    assert found.map.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(found.sizes, [[3, 3], [2, 2]])
    for b, (height, width) in enumerate(sizes):
        valid = images[b, :height, :width].astype(float) / 127.5 - 1
        for i in range(found.sizes[b, 0]):
            for j in range(found.sizes[b, 1]):
                cell = valid[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                np.testing.assert_allclose(found.map[b, i, j], cell.mean(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("module", [RawRGB(), FilterBank(), FilterBank(stride=8)])
def test_extractors_have_no_variables_and_ignore_padding(module):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (1, 41, 37, 3), dtype=np.uint8)
    assert jax.eval_shape(module.init, jax.random.key(0), images, full(images)) == {}

    plain = extract(module, images, full(images))
    inside = extract(module, padded(images, 56, 64), full(images))

    height, width = (int(n) for n in plain.sizes[0])
    assert plain.map.shape[1:3] == (height, width) == (-(-41 // module.stride), -(-37 // module.stride))
    assert plain.map.dtype == jnp.float32
    np.testing.assert_array_equal(inside.sizes, plain.sizes)
    np.testing.assert_allclose(inside.map[:, :height, :width], plain.map, atol=1e-3)
    assert not np.asarray(inside.map[:, height:]).any()
    assert not np.asarray(inside.map[:, :, width:]).any()


def test_filter_bank_tells_directions_apart_and_not_phases():
    halves = np.concatenate([grating(0.0)[:, :24], grating(np.pi / 2)[:, :24]], axis=1)
    shifted = np.concatenate([grating(0.0, 2.0)[:, :24], grating(np.pi / 2, 1.0)[:, :24]], axis=1)
    features = extract(FilterBank(), np.stack([halves, shifted]), full(np.stack([halves] * 2)))
    vertical, horizontal = (
        features.map[0, 3:9, columns].reshape(-1, features.map.shape[-1]).mean(axis=0)
        for columns in (slice(1, 4), slice(8, 11))
    )
    other_phase = features.map[1, 3:9, 1:4].reshape(-1, features.map.shape[-1]).mean(axis=0)

    def cosine(a, b):
        return float(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))

    assert cosine(vertical, horizontal) < 0
    assert cosine(vertical, other_phase) > 0.9


def test_each_filter_answers_strongest_to_its_own_wave():
    module = FilterBank()
    angles = np.pi * np.arange(module.orientations) / module.orientations
    tiles = [[grating(angle, 0.7, wave, (40, 40)) for angle in angles] for wave in module.wavelengths]
    image = np.concatenate([np.concatenate(row, axis=1) for row in tiles])[None]

    features = np.asarray(extract(module, image, full(image)).map[0])

    tiled = features.reshape(3, 10, 6, 10, -1)[:, 3:7, :, 3:7].mean(axis=(1, 3))  # [scale, turn, channel]
    oriented = tiled[..., :-1].reshape(3, 6, 3, 7)[..., :6]
    for scale in range(3):
        for turn in range(6):
            answers = oriented[:, :, scale, turn]
            assert np.unravel_index(answers.argmax(), answers.shape) == (scale, turn)


def test_filter_bank_survives_a_blank_image():
    images = np.full((1, 20, 20, 3), 90, np.uint8)
    assert np.isfinite(extract(FilterBank(), images, full(images)).map).all()


def two_colors(rng, height, width):
    """A reddish square on blue, and its mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:12, 5:14] = 1
    color = np.where(mask[..., None] == 1, [200, 40, 30], [20, 60, 190])
    return (color + rng.integers(-12, 13, color.shape)).astype(np.uint8), mask


def test_histogram_finds_the_colour():
    rng = np.random.default_rng(2)
    (support, mask), (query, truth) = two_colors(rng, 24, 24), two_colors(rng, 20, 22)
    logits = jax.jit(partial(color_histogram_logits, smoothing=0.5))(
        jnp.asarray(support)[None, None],
        jnp.asarray(mask)[None, None],
        jnp.asarray([[[24, 24]]]),
        jnp.asarray(query)[None],
        jnp.asarray([[20, 22]]),
    )
    assert logits.shape == (1, 20, 22, 2)
    np.testing.assert_array_equal(logits[0].argmax(-1), truth)


def test_histogram_looks_at_neither_void_nor_padding():
    rng = np.random.default_rng(3)
    supports = rng.integers(0, 256, (2, 2, 12, 12, 3), dtype=np.uint8)
    masks = rng.choice(np.asarray([0, 1, 2, 255], np.uint8), (2, 2, 12, 12))
    queries = rng.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8)
    histogram = jax.jit(color_histogram_logits)
    sizes, query_sizes = np.full((2, 2, 2), 9, np.int32), np.asarray([[10, 10], [8, 7]], np.int32)

    def logits(supports, queries):
        arrays = (supports, masks, sizes, queries, query_sizes)
        return np.asarray(histogram(*map(jnp.asarray, arrays)))

    changed, changed_queries = supports.copy(), queries.copy()
    changed[masks == 255] = 0
    changed[:, :, 9:], changed[:, :, :, 9:] = 7, 8
    changed_queries[1, 8:], changed_queries[1, :, 7:] = 9, 10
    before, after = logits(supports, queries), logits(changed, changed_queries)
    assert before.shape == (2, 10, 10, 3)
    np.testing.assert_allclose(before[0], after[0], atol=1e-5)
    np.testing.assert_allclose(before[1, :8, :7], after[1, :8, :7], atol=1e-5)


def test_any_object_is_every_class_but_void():
    labels = np.asarray([[0, 1, 7], [255, 254, 0]], np.uint8)
    np.testing.assert_array_equal(any_object(labels), [[0, 1, 1], [0, 1, 0]])
    np.testing.assert_array_equal(any_object(jnp.asarray(labels)), [[0, 1, 1], [0, 1, 0]])
