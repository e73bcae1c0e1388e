"""DPNet's parts, each by itself: dropout, masks, pseudo-prototypes, interaction and multi-scale fusion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.dpnet import interaction, multiscale, pseudo_prototype
from fsjax.models.dpnet.cycle import Matches
from fsjax.models.dpnet.interaction import Discriminator, PairDense, PrototypeInteraction
from fsjax.models.dpnet.multiscale import MultiScaleFusion
from fsjax.models.dpnet.pseudo_prototype import PSEUDO_PROTOTYPES, Comparison, masked_mean
from fsjax.models.layers import dropout
from tests.models.dpnet import reference

channel_dropout = jax.jit(dropout.channel_dropout, static_argnums=2)
soft_mask = jax.jit(pseudo_prototype.soft_mask, static_argnums=1, static_argnames="aligned")
foreground_cells = jax.jit(pseudo_prototype.foreground_cells)
select = jax.jit(pseudo_prototype.select, static_argnums=0)
average_pool = jax.jit(multiscale.average_pool, static_argnums=2)
enlarge = jax.jit(multiscale.enlarge, static_argnums=(1, 3), static_argnames="aligned")
z_score = jax.jit(interaction.z_score)


def normal(seed, *shape):
    return jnp.asarray(np.float32(np.random.default_rng(seed).normal(size=shape)))


def keys_of(*seeds):
    return jax.vmap(jax.random.key)(jnp.array(seeds))


def test_dropout_takes_whole_channels_and_keeps_the_mean():
    x = 1 + jnp.abs(normal(0, 2, 3, 4, 4000))
    dropped = np.asarray(channel_dropout(x, keys_of(0, 1), 5, 0.25))
    kept = (dropped != 0).all((1, 2))
    np.testing.assert_array_equal(kept, (dropped != 0).any((1, 2)))
    np.testing.assert_allclose(kept.mean(1), 0.75, atol=0.03)
    np.testing.assert_allclose(dropped, np.where(kept[:, None, None], x / 0.75, 0), rtol=1e-6)
    np.testing.assert_allclose(dropped.mean(), x.mean(), rtol=0.03)
    assert (kept[0] != kept[1]).any()


def test_dropout_depends_on_an_images_key_and_on_the_site_alone():
    x = jnp.ones((2, 1, 1, 64))
    dropped = channel_dropout(x, keys_of(0, 1), 5, 0.5)
    np.testing.assert_array_equal(channel_dropout(x, keys_of(1, 0), 5, 0.5), dropped[::-1])
    assert (channel_dropout(x, keys_of(0, 1), 6, 0.5) != dropped).any()
    np.testing.assert_array_equal(channel_dropout(x, keys_of(0, 1), 5, 0.0), x)
    np.testing.assert_array_equal(channel_dropout(x, None, 5, 0.5), x)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("cells", "pixels"), [((3, 4), (17, 20)), ((5, 6), (9, 14)), ((1, 3), (6, 6))])
def test_soft_mask(cells, pixels, aligned):
    selected = np.random.default_rng(0).random((17, 20)) < 0.4  # rubbish beyond the pixels
    ours = soft_mask(selected, (5, 6), jnp.array(cells), jnp.array(pixels), aligned=aligned)
    expected = reference.soft_mask(selected[: pixels[0], : pixels[1]], *cells, aligned)
    np.testing.assert_allclose(ours[: cells[0], : cells[1]], expected, atol=1e-6)
    assert ours.sum() == ours[: cells[0], : cells[1]].sum()


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("where", [(1, 2), (0, 0), (7, 8), (5, 6)])
def test_a_small_object_keeps_a_cell(where, aligned):
    selected = np.zeros((9, 9), bool)
    selected[where] = True
    size = jnp.array([3, 3])
    ours = soft_mask(jnp.asarray(selected), (4, 4), size, jnp.array([9, 9]), aligned=aligned)
    np.testing.assert_allclose(ours[:3, :3], reference.soft_mask(selected, 3, 3, aligned), atol=1e-6)
    np.testing.assert_allclose(ours.max(), 1, rtol=1e-6)
    foreground = np.argwhere(foreground_cells(ours))
    assert {tuple(cell) for cell in foreground} == reference.foreground_cells(np.asarray(ours))
    nearest = np.array(where) / 4 if aligned else np.array(where) // 3
    assert tuple(np.round(nearest).astype(int)) in {tuple(cell) for cell in foreground}


def test_foreground_cells_by_hand():
    mask = jnp.array([[0.5, 0.51, 1.0], [0.0, 0.2, 0.3]])
    np.testing.assert_array_equal(foreground_cells(mask), [[False, True, True], [False, False, False]])
    np.testing.assert_array_equal(
        foreground_cells(mask / 2), [[False, False, True], [False, False, False]]
    )  # no cell is above a half
    assert not foreground_cells(jnp.zeros((2, 3))).any()


def test_a_prototype_by_hand():
    features = jnp.array([[[1.0, 0.0], [3.0, 8.0]]])
    np.testing.assert_allclose(
        masked_mean(features, jnp.array([[1.0, 0.5]])), np.array([2.5, 4.0]) / 1.5005, rtol=1e-6
    )
    np.testing.assert_array_equal(masked_mean(features, jnp.zeros((1, 2))), [0, 0])


def random_comparison(rng, B, N, T, K, cells):
    forward = rng.random((B, N, T, K, cells)) < 0.6
    candidates = forward & (rng.random(forward.shape) < 0.6)
    numbers = jnp.zeros(forward.shape, jnp.int32)
    matches = Matches(numbers, numbers, jnp.zeros(forward.shape))
    return Comparison(matches, jnp.asarray(forward), jnp.asarray(candidates))


def test_which_cells_make_up_the_pseudo_prototype():
    rng = np.random.default_rng(0)
    comparison = random_comparison(rng, 1, 2, 3, 2, 7)
    confidence = jnp.asarray(rng.choice(np.float32([0.2, 0.5, 0.7]), comparison.forward.shape))
    valid = jnp.asarray(rng.random((1, 3, 7)) < 0.7)
    chosen = {
        name: np.asarray(select(name, comparison, confidence, valid, 0.5)) for name in PSEUDO_PROTOTYPES
    }
    assert not chosen["off"].any()
    for n, k in np.ndindex(2, 2):
        np.testing.assert_array_equal(chosen["global"][:, n, :, k], valid)
    np.testing.assert_array_equal(chosen["cosine"], comparison.forward)
    np.testing.assert_array_equal(chosen["ccm"], np.asarray(comparison.candidates) & (confidence > 0.6))


def test_pseudo_prototypes_are_means_or_exactly_the_prototype():
    rng = np.random.default_rng(1)
    queries, prototypes = normal(2, 2, 3, 2, 4, 5), normal(3, 2, 2, 2, 5)
    selected = rng.random((2, 2, 3, 2, 8)) < 0.3
    selected[0, 1] = False

    @jax.jit
    def differentiated(queries):
        found = pseudo_prototype.pseudo_prototypes(queries, jnp.asarray(selected), prototypes)
        return jnp.sum(found), found

    gradient, ours = jax.grad(differentiated, has_aux=True)(queries)
    assert np.isfinite(gradient).all()
    cells = np.asarray(queries).reshape(2, 3, 8, 5)
    for b, n, t, k in np.ndindex(2, 2, 3, 2):
        if selected[b, n, t, k].any():
            expected = cells[b, t][selected[b, n, t, k]].mean(0)
            np.testing.assert_allclose(ours[b, n, t, k], expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours[b, n, t, k], prototypes[b, n, k])


def drawn(module, *arguments, seed=0):
    """Parameters of order one for a module."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)
    return jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape)), shapes)


def test_a_vector_beside_cells_is_as_good_as_tiled():
    layer, x, vectors = PairDense(3), normal(0, 2, 4, 5, 6), [normal(i, 2, 1, 1, 6) for i in (1, 2)]
    variables = drawn(layer, x, *vectors)
    kernel, bias = (np.asarray(variables["params"][name]) for name in ("kernel", "bias"))
    for ours, vector in zip(jax.jit(layer.apply)(variables, x, *vectors), vectors, strict=True):
        tiled = np.concatenate([x, np.broadcast_to(vector, x.shape)], -1)
        np.testing.assert_allclose(ours, tiled @ kernel + bias, atol=1e-5)


def test_the_discriminator_judges_every_cell_by_itself():
    module, x, prototypes = Discriminator(7), normal(0, 2, 5, 4), normal(1, 2, 1, 4)
    variables = drawn(module, x, prototypes)
    logits = jax.jit(module.apply)(variables, x, prototypes)
    assert logits.shape == (2, 5)
    for b, i in np.ndindex(2, 5):
        h = reference.discriminator(variables["params"], np.asarray(x[b, i]), np.asarray(prototypes[b, 0]))
        np.testing.assert_allclose(jax.nn.sigmoid(logits[b, i]), h, atol=1e-5)


def test_z_score():
    x = 5 + 3 * normal(0, 2, 3, 400)
    ours = z_score(x)
    np.testing.assert_allclose(ours.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(ours.std(-1), 1, atol=1e-5)
    constant = jnp.array([[0.0] * 8, [2.0] * 8])
    np.testing.assert_array_equal(z_score(constant), 0)
    assert np.isfinite(jax.jit(jax.jacobian(z_score))(constant)).all()


def test_the_interaction_is_the_identity_where_alpha_is_zero():
    prototype, pseudo = normal(0, 2, 3, 8), normal(1, 2, 3, 8)
    module = PrototypeInteraction(5)
    params = drawn(module, prototype, pseudo)["params"]

    @jax.jit
    def differentiated(params):
        found = module.apply({"params": params}, prototype, pseudo)
        return jnp.sum(found), found

    _, ours = differentiated(params)
    for place in np.ndindex(2, 3):
        expected = reference.interaction(params, np.asarray(prototype[place]), np.asarray(pseudo[place]))
        np.testing.assert_allclose(ours[place], expected, atol=1e-5)
    without = {**params, "alpha": jnp.zeros(())}
    gradient, nothing = jax.grad(differentiated, has_aux=True)(without)
    np.testing.assert_array_equal(nothing, 0)
    assert gradient["alpha"] > 0
    assert not any(leaf.any() for name in ("mix", "reduce") for leaf in jax.tree.leaves(gradient[name]))
    assert module.alpha_init == 0


@pytest.fixture(scope="module")
def maps():
    """Maps of the grids of 321, 417 and 641 pixels in one array, and their valid sizes."""
    cells = np.int32([[41, 53], [53, 41], [81, 81]])
    x = np.zeros((3, 81, 81, 2), np.float32)
    for image, (rows, columns) in zip(x, cells, strict=True):
        image[:rows, :columns] = np.random.default_rng(rows).normal(size=(rows, columns, 2))
    return jnp.asarray(x), jnp.asarray(cells)


def test_multi_scale_fusion_restores_odd_grids(maps):
    x, cells = maps
    prototypes = [normal(seed, 3, 2) for seed in (0, 1)]
    module = MultiScaleFusion(2, aligned=True)
    variables = drawn(module, x, cells, *prototypes)
    fuse = jax.jit(module.apply, static_argnames="coarse")
    whole = fuse(variables, x, cells, *prototypes)
    fine = fuse(variables, x, cells, *prototypes, coarse=False)
    for ours, first, prototype in zip(whole, fine, prototypes, strict=True):
        assert ours.shape == x.shape
        for i, (rows, columns) in enumerate(np.asarray(cells)):
            image, vector = np.asarray(x[i, :rows, :columns]), np.asarray(prototype[i])
            expected = reference.multi_scale(variables["params"], image, vector)
            np.testing.assert_allclose(ours[i, :rows, :columns], expected, atol=2e-5)
            expected = reference.multi_scale(variables["params"], image, vector, coarse=False)
            np.testing.assert_allclose(first[i, :rows, :columns], expected, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4])
def test_pooling_and_enlarging_know_where_images_end(maps, scale):
    x, cells = maps
    pooled = average_pool(x, cells, scale)
    full = enlarge(pooled, (81, 81), cells, scale, aligned=True)
    for i, (rows, columns) in enumerate(np.asarray(cells)):
        small = reference.average_pool(np.asarray(x[i, :rows, :columns], np.float64), scale)
        assert small.shape[:2] == (-(-rows // scale), -(-columns // scale))
        np.testing.assert_allclose(pooled[i, : small.shape[0], : small.shape[1]], small, atol=1e-6)
        for corner, far in [((0, 0), (0, 0)), ((-1, -1), (rows - 1, columns - 1))]:
            np.testing.assert_allclose(full[i][far], small[corner], atol=1e-5)
        assert not full[i, rows:].any()
        assert not full[i, :, columns:].any()
