"""What needs no training, on pictures whose answer is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.evaluation.baselines import any_object, color_histogram_logits


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
