"""Resizing agrees with a loop over pixels and with PyTorch, and ignores the padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.layers import resize as library

interpolation_matrix = jax.jit(
    library.interpolation_matrix, static_argnums=(0, 1), static_argnames="align_corners"
)
resize = jax.jit(library.resize, static_argnums=1, static_argnames="align_corners")
resize_adjoint = jax.jit(library.resize_adjoint, static_argnums=1, static_argnames="align_corners")

SHAPES = [((5, 7), (9, 4)), ((6, 6), (41, 41)), ((13, 8), (5, 3)), ((1, 4), (3, 1)), ((4, 4), (4, 4))]


def pixel_by_pixel(image, height, width, align_corners):
    """The definition of bilinear resizing, one output pixel after the other."""

    def source(i, out_len, in_len):
        if align_corners:
            position = i * (in_len - 1) / (out_len - 1) if out_len > 1 else 0.0
        else:
            position = max((i + 0.5) * in_len / out_len - 0.5, 0.0)
        low = min(int(position), in_len - 1)
        return low, min(low + 1, in_len - 1), position - low

    result = np.zeros((height, width, image.shape[2]))
    for y in range(height):
        top, bottom, down = source(y, height, image.shape[0])
        for x in range(width):
            left, right, along = source(x, width, image.shape[1])
            upper = (1 - along) * image[top, left] + along * image[top, right]
            lower = (1 - along) * image[bottom, left] + along * image[bottom, right]
            result[y, x] = (1 - down) * upper + down * lower
    return result


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("given", "wanted"), SHAPES)
def test_agrees_with_a_loop_over_pixels(given, wanted, align_corners):
    image = np.random.default_rng(0).normal(size=(*given, 3)).astype(np.float32)
    ours = resize(jnp.asarray(image), wanted, given, wanted, align_corners=align_corners)
    np.testing.assert_allclose(ours, pixel_by_pixel(image, *wanted, align_corners), atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("given", "wanted"), SHAPES)
def test_agrees_with_pytorch(given, wanted, align_corners):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(1).normal(size=(*given, 2)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image.transpose(2, 0, 1)[None]), wanted, mode="bilinear", align_corners=align_corners
    )
    ours = resize(jnp.asarray(image), wanted, given, wanted, align_corners=align_corners)
    np.testing.assert_allclose(ours, theirs[0].numpy().transpose(1, 2, 0), atol=1e-5)


def test_halving_by_hand():
    matrix = interpolation_matrix(3, 4, 2, 4)
    np.testing.assert_array_equal(matrix, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 0]])
    matrix = interpolation_matrix(3, 2, 3, 2, align_corners=True)
    np.testing.assert_array_equal(matrix, [[1, 0], [0.5, 0.5], [0, 1]])


@pytest.mark.parametrize("align_corners", [False, True])
def test_padding_changes_nothing(align_corners):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(5, 6, 3)).astype(np.float32)
    padded = rng.normal(size=(8, 9, 3)).astype(np.float32)
    padded[:5, :6] = image
    plain = resize(jnp.asarray(image), (7, 11), (5, 6), (7, 11), align_corners=align_corners)
    ours = resize(jnp.asarray(padded), (10, 16), (5, 6), (7, 11), align_corners=align_corners)
    np.testing.assert_allclose(ours[:7, :11], plain, atol=1e-6)
    assert not ours[7:].any()
    assert not ours[:, 11:].any()


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_adjoint_is_the_transpose(align_corners):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(6, 7, 3)).astype(np.float32)
    mask = rng.uniform(size=(40, 50)).astype(np.float32)
    in_size, out_size = (5, 7), (37, 50)
    up = resize(jnp.asarray(features), (40, 50), in_size, out_size, align_corners=align_corners)
    down = resize_adjoint(jnp.asarray(mask), (6, 7), in_size, out_size, align_corners=align_corners)
    pooled_large = np.einsum("hwc,hw->c", np.asarray(up, np.float64), mask)
    pooled_small = np.einsum("hwc,hw->c", features.astype(np.float64), np.asarray(down))
    np.testing.assert_allclose(pooled_small, pooled_large, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(down.sum(), mask[:37].sum(), rtol=1e-5)
    assert not down[5:].any()


def test_sizes_may_be_traced_and_differ_in_a_batch():
    rng = np.random.default_rng(4)
    maps = rng.normal(size=(3, 6, 6, 2)).astype(np.float32)
    in_sizes, out_sizes = jnp.array([[6, 6], [4, 5], [1, 3]]), jnp.array([[12, 12], [9, 3], [5, 5]])
    masks = rng.uniform(size=(3, 12, 12)).astype(np.float32)
    up = jax.vmap(lambda x, i, o: resize(x, (12, 12), i, o))(maps, in_sizes, out_sizes)
    down = jax.vmap(lambda m, i, o: resize_adjoint(m, (6, 6), i, o))(masks, in_sizes, out_sizes)
    for n in range(3):
        (h, w), (height, width) = in_sizes[n].tolist(), out_sizes[n].tolist()
        alone = resize(jnp.asarray(maps[n, :h, :w]), (height, width), (h, w), (height, width))
        np.testing.assert_allclose(up[n, :height, :width], alone, atol=1e-6)
        alone = resize_adjoint(jnp.asarray(masks[n, :height, :width]), (h, w), (h, w), (height, width))
        np.testing.assert_allclose(down[n, :h, :w], alone, atol=1e-5)
