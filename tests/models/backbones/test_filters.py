"""Hand-made features, on pictures whose answer is known."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone
from fsjax.models.backbones.filters import FilterBank, RawRGB
from fsjax.models.backbones.hand_made import HandMade


def extract(filters, images, sizes):
    embed = jax.jit(HandMade(filters).embed)
    return embed({"params": {}}, jnp.asarray(images), jnp.asarray(sizes, jnp.int32))[DEEP]


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
def test_filters_ignore_padding(module):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (1, 41, 37, 3), dtype=np.uint8)

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


@pytest.mark.parametrize(
    ("filters", "channels"), [(RawRGB(), 3), (FilterBank(), 22), (FilterBank(8, (5.0,), 4), 6)]
)
def test_they_are_a_backbone_without_parameters(filters, channels):
    backbone = HandMade(filters)
    assert isinstance(backbone, Backbone)
    variables = backbone.init(jax.random.key(0))
    assert jax.tree.leaves(variables) == []
    assert backbone.channels == {SHALLOW: channels, DEEP: channels}
    assert (backbone.stages, backbone.aligned, backbone.awaits_relu) == (0, False, False)
    images, sizes = jnp.zeros((2, 21, 34, 3), jnp.uint8), jnp.array([[21, 34], [17, 9]])
    features, after = jax.eval_shape(backbone.embed_training, variables, images, sizes, jnp.ones(2))
    assert after == variables
    for role in (SHALLOW, DEEP):
        assert features[role].map.shape == (2, backbone.cells(21), backbone.cells(34), channels)
    side = backbone.side(100)
    assert backbone.cells(side) * filters.stride == side
    with pytest.raises(InputError, match="no weights"):
        backbone.load(Path("weights.npz"))
