"""The ResNets: sizes, counts, one block against NumPy, and exactness under padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.resnet import Block, ResNet, resnet50, resnet101, small

TINY = {"stage_sizes": (1, 1, 1, 2), "widths": (8, 8, 8, 8)}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts(shapes_of):
    assert count(shapes_of(resnet101())["params"]) == 42_500_160
    assert count(shapes_of(resnet50(stages=3))["params"]) == 8_543_296
    assert count(shapes_of(small())["params"]) == 311_200


def test_parameter_names(shapes_of):
    params = shapes_of(resnet50(stages=2))["params"]
    assert set(params) == {
        "conv1",
        "bn1",
        *(f"layer1_{i}" for i in range(3)),
        *(f"layer2_{i}" for i in range(4)),
    }
    block = {f"{kind}{i}" for kind in ("conv", "bn") for i in (1, 2, 3)}
    assert set(params["layer1_0"]) == block | {"downsample_conv", "downsample_bn"}
    assert set(params["layer1_1"]) == block


@pytest.mark.parametrize(
    ("network", "side", "grid", "stages", "channels"),
    [(resnet50, 321, 41, 4, 2048), (resnet101, 417, 53, 4, 2048), (small, 128, 16, 3, 128)],
)
def test_named_features_at_output_stride_8(network, side, grid, stages, channels):
    model = network(dtype=jnp.bfloat16)
    images, sizes = jnp.zeros((2, side, side, 3), jnp.uint8), jnp.full((2, 2), side)
    features, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images, sizes))
    names = [f"stage{n + 1}" for n in range(stages)]
    assert set(features) == {"stem", *names, *(f"{name}_pre" for name in names)}
    assert features[f"stage{stages}_pre"].map.shape == (2, grid, grid, channels)
    assert {f.map.dtype.name for f in features.values()} == {"float32"}


@pytest.mark.parametrize("model", [ResNet(**TINY), ResNet(**TINY, convention="caffe"), small()])
def test_a_padded_photo_gives_the_unpadded_features(model, random_variables):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (1, 41, 57, 3), np.uint8)
    padded = rng.integers(0, 256, (1, 65, 65, 3), np.uint8)
    padded[:, :41, :57] = photo
    blank = np.zeros_like(padded)
    blank[:, :41, :57] = photo
    apply, variables, sizes = jax.jit(model.apply), random_variables(model), jnp.array([[41, 57]])
    alone, within, in_blank = (apply(variables, jnp.asarray(x), sizes) for x in (photo, padded, blank))
    for name, (features, valid) in within.items():
        height, width = valid[0].tolist()
        assert alone[name].map.shape[1:3] == (height, width)
        # XLA may add up arrays of another shape in another order: that and nothing else differs.
        scale = np.abs(features).max()
        np.testing.assert_allclose(features[:, :height, :width], alone[name].map, atol=3e-6 * scale)
        np.testing.assert_array_equal(features, in_blank[name].map)
        assert not features[:, height:].any()
        assert not features[:, :, width:].any()


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("convention", ["torchvision", "caffe"])
@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 1), (1, 4)])
def test_padding_changes_a_block_by_exactly_nothing(bottleneck, convention, stride, dilation):
    """In whole numbers, whose sums are exact in any order."""
    block = Block(4, bottleneck, stride=stride, dilation=dilation, convention=convention)
    rng = np.random.default_rng(0)
    padded = jnp.asarray(rng.integers(0, 9, (1, 16, 15, 6)), jnp.float32)
    sizes = jnp.array([[9, 12]])
    shapes = jax.eval_shape(block.init, jax.random.key(0), padded, sizes)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.integers(-2, 3, leaf.shape), jnp.float32), shapes)
    variables["batch_stats"] = {
        norm: {"mean": running["mean"], "var": jnp.full_like(running["var"], 1 - 1e-5)}
        for norm, running in variables["batch_stats"].items()
    }
    apply = jax.jit(block.apply)
    alone, _ = apply(variables, padded[:, :9, :12], sizes)
    within, valid = apply(variables, padded, sizes)
    height, width = valid[0].tolist()
    assert alone.shape[1:3] == (height, width)
    assert np.abs(alone).max() > 10
    np.testing.assert_array_equal(within[:, :height, :width], alone)


def reference_conv(x, kernel, stride=1, dilation=1):
    side = kernel.shape[0]
    pad = dilation * (side // 2)
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    reach = (side - 1) * dilation
    result = [
        [
            np.einsum("uvc,uvco->o", x[i : i + reach + 1 : dilation, j : j + reach + 1 : dilation], kernel)
            for j in range(0, x.shape[1] - reach, stride)
        ]
        for i in range(0, x.shape[0] - reach, stride)
    ]
    return np.array(result)


@pytest.mark.parametrize("convention", ["torchvision", "caffe"])
@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
def test_a_bottleneck_agrees_with_numpy(convention, stride, dilation):
    block = Block(4, bottleneck=True, stride=stride, dilation=dilation, convention=convention)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 10, 6))
    shapes = jax.eval_shape(
        block.init, jax.random.key(0), jnp.asarray(x[None], jnp.float32), jnp.array([[7, 10]])
    )
    variables = jax.tree.map(lambda leaf: rng.uniform(-0.2, 0.7, leaf.shape).astype(np.float32), shapes)
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    total, sizes = jax.jit(block.apply)(variables, jnp.asarray(x[None], jnp.float32), jnp.array([[7, 10]]))

    def layer(x, conv, norm, stride=1, dilation=1):
        params, running = variables["params"], variables["batch_stats"][norm]
        y = reference_conv(x, params[conv]["kernel"], stride, dilation)
        y = (y - running["mean"]) / np.sqrt(running["var"] + 1e-5)
        return y * params[norm]["scale"] + params[norm]["bias"]

    first, second = (1, stride) if convention == "torchvision" else (stride, 1)
    y = np.maximum(layer(x, "conv1", "bn1", first), 0)
    y = np.maximum(layer(y, "conv2", "bn2", second, dilation), 0)
    expected = layer(y, "conv3", "bn3") + layer(x, "downsample_conv", "downsample_bn", stride)
    np.testing.assert_allclose(total[0], expected, rtol=1e-4, atol=1e-4)
    assert sizes.tolist() == [list(expected.shape[:2])]


def test_it_trains_with_batch_statistics_and_filled_slots(random_variables):
    model = small(widths=(8, 8))
    rng = np.random.default_rng(2)
    images = jnp.asarray(rng.integers(0, 256, (3, 16, 16, 3), np.uint8))
    sizes, weights = jnp.full((3, 2), 16), jnp.array([1.0, 1, 0])
    variables = random_variables(model)

    @jax.jit
    @jax.grad
    def gradient(params, images):
        variables_now = variables | {"params": params}
        features, _ = model.apply(
            variables_now, images, sizes, batch_statistics=True, weights=weights, mutable=["batch_stats"]
        )
        return jnp.square(features["stage2_pre"].map[:2]).sum()

    first = gradient(variables["params"], images)
    assert all(np.abs(leaf).max() > 0 and np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))
    second = gradient(variables["params"], images.at[2].set(0))
    jax.tree.map(np.testing.assert_array_equal, first, second)
