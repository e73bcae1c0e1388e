"""VGG-16: its size, the whole network against NumPy, and exactness under padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones import make, vgg
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone, Group
from fsjax.models.backbones.vgg import VGG
from fsjax.models.layers.padding import zero_padding

BLOCKS = ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))
NAMES = [f"conv{block}_{layer}" for block, depth in BLOCKS for layer in range(1, depth + 1)]


def test_it_has_the_parameters_of_thirteen_convolutions(shapes_of):
    params = shapes_of(VGG())["params"]
    assert sorted(params) == sorted(NAMES)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 14_714_688
    assert params["conv1_1"]["kernel"].shape == (3, 3, 3, 64)
    assert params["conv5_3"]["kernel"].shape == (3, 3, 512, 512)


def convolved(x, layer, dilation):
    """A 3x3 convolution with zeros around, tap by tap, in float64."""
    height, width, _ = x.shape
    padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
    y = np.tile(layer["bias"].astype(np.float64), (height, width, 1))
    for row in range(3):
        for column in range(3):
            top, left = row * dilation, column * dilation
            y += padded[top : top + height, left : left + width] @ layer["kernel"][row, column].astype(float)
    return y


def pooled(x, stride):
    """The maximum of each 3x3 window that is centred on every `stride`th cell."""
    rows, columns = range(0, x.shape[0], stride), range(0, x.shape[1], stride)
    return np.array(
        [[x[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max((0, 1)) for j in columns] for i in rows]
    )


def in_numpy(photo, params):
    """PANet's VGG-16, layer after layer: block 4 after its ReLU, and block 5 without its last one."""
    x = (photo / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for block, depth in BLOCKS:
        for layer in range(1, depth + 1):
            total = convolved(x, params[f"conv{block}_{layer}"], 2 if block == 5 else 1)
            x = np.maximum(total, 0)
        if block == 4:
            shallow = x
        if block < 5:
            x = pooled(x, 2 if block < 4 else 1)
    return shallow, total


@pytest.mark.parametrize("shape", [(45, 58), (33, 31)])
def test_the_network_agrees_with_numpy(shape, random_variables):
    model = VGG(8)
    variables = random_variables(model)
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    ours = jax.jit(model.apply)(variables, jnp.asarray(photo[None]), jnp.array([shape]))
    for role, expected in zip((SHALLOW, DEEP), in_numpy(photo, variables["params"]), strict=True):
        scale = np.abs(expected).max()
        assert ours[role].map.shape[1:] == expected.shape
        np.testing.assert_allclose(ours[role].map[0] / scale, expected / scale, atol=1e-4, err_msg=role)
    assert np.min(ours[SHALLOW].map) >= 0 > np.min(ours[DEEP].map)


def within(photo, side, beyond):
    """A photo at the top left of a square of something else."""
    padded = np.broadcast_to(np.asarray(beyond, photo.dtype), (1, side, side, 3)).copy()
    padded[:, : photo.shape[1], : photo.shape[2]] = photo
    return jnp.asarray(padded)


def test_what_lies_beyond_a_photo_changes_nothing(random_variables):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (1, 41, 54, 3), np.uint8)
    model, sizes = VGG(4), jnp.array([[41, 54]])
    apply, variables = jax.jit(model.apply), random_variables(model)
    alone = apply(variables, jnp.asarray(photo), sizes)
    noise, blank = (
        apply(variables, within(photo, 64, beyond), sizes)
        for beyond in (rng.integers(0, 256, (1, 64, 64, 3)), 0)
    )
    for role, (features, valid) in noise.items():
        height, width = valid[0].tolist()
        assert (height, width) == (6, 7) == alone[role].map.shape[1:3]
        # XLA may add up arrays of another shape in another order: that and nothing else differs.
        scale = np.abs(features).max()
        np.testing.assert_allclose(features[:, :height, :width], alone[role].map, atol=3e-6 * scale)
        np.testing.assert_array_equal(features, blank[role].map)
        assert not features[:, height:].any()
        assert not features[:, :, width:].any()


def test_padding_changes_exactly_nothing(monkeypatch, shapes_of):
    """In whole numbers, whose sums are exact in any order: three taps a channel, each 1 or -1."""
    monkeypatch.setattr(
        vgg, "normalize", lambda images, sizes, _: zero_padding(images.astype(jnp.float32), sizes)
    )
    rng = np.random.default_rng(0)

    def leaf(shape):
        values = np.zeros(shape.shape, np.float32)
        if values.ndim == 1:
            return rng.integers(0, 2, shape.shape).astype(np.float32)
        for channel in range(shape.shape[3]):
            taps = rng.choice(values[..., channel].size, 3, replace=False)
            values[(*np.unravel_index(taps, shape.shape[:3]), channel)] = (1, 1, -1)
        return values

    model, sizes = VGG(2), jnp.array([[41, 54]])
    variables = jax.tree.map(leaf, shapes_of(model))
    photo = rng.integers(0, 4, (1, 41, 54, 3), np.uint8)
    apply = jax.jit(model.apply)
    alone = apply(variables, jnp.asarray(photo), sizes)
    padded = apply(variables, within(photo, 65, rng.integers(0, 256, (1, 65, 65, 3))), sizes)
    for role in (SHALLOW, DEEP):
        values = np.asarray(alone[role].map)
        assert 2**24 > np.abs(values).max() > 10
        assert len(np.unique(values)) > 20
        np.testing.assert_array_equal(padded[role].map[:, :6, :7], values)


def test_its_grid_its_roles_and_its_groups():
    backbone = make("vgg16", {"width": 2}, "bfloat16")
    assert isinstance(backbone, Backbone)
    assert [backbone.side(pixels) for pixels in (417, 320, 321, 3)] == [417, 321, 321, 9]
    shapes = jax.eval_shape(backbone.init, jax.random.key(0))
    for height, width in ((417, 321), (1, 30), (8, 9), (16, 17)):
        images = jnp.zeros((1, height, width, 3), jnp.uint8)
        for role, features in jax.eval_shape(backbone.embed, shapes, images, jnp.ones((1, 2), int)).items():
            grid = backbone.cells(height), backbone.cells(width)
            assert features.map.shape == (1, *grid, backbone.channels[role])
            assert features.map.dtype == jnp.float32
    groups = {name: backbone.group((name, leaf)) for name in NAMES for leaf in ("kernel", "bias")}
    assert groups == {name: Group(int(name[4]), False) for name in NAMES}
    assert (backbone.stages, backbone.aligned) == (5, True)


def test_training_embeds_as_ever(random_variables):
    backbone = make("vgg16", {"width": 2}, "float32")
    variables = random_variables(backbone.network)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 17, 17, 3), np.uint8))
    sizes = jnp.full((2, 2), 17)
    features, after = jax.jit(backbone.embed_training)(variables, images, sizes, jnp.array([1.0, 0.0]))
    jax.tree.map(np.testing.assert_array_equal, after, variables)
    jax.tree.map(np.testing.assert_array_equal, features, jax.jit(backbone.embed)(variables, images, sizes))
