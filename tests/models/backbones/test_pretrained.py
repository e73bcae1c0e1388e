"""Weights files: every key finds its place or is named in an error."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from fsjax.errors import InputError
from fsjax.models.backbones.normalization import MEAN_BGR
from fsjax.models.backbones.pretrained import load
from fsjax.models.backbones.resnet import ResNet, resnet50


@pytest.fixture
def model():
    return ResNet(stage_sizes=(2, 1, 1), widths=(2, 3, 4), stages=2)


@pytest.fixture
def weights():
    """A torchvision-like state dict of `model` and of a third stage, keys written by hand."""
    rng = np.random.default_rng(0)
    state = {}

    def conv(name, outputs, inputs, side):
        state[f"{name}.weight"] = rng.normal(size=(outputs, inputs, side, side)).astype(np.float16)

    def norm(name, channels):
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{key}"] = rng.uniform(size=channels).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", 2, 3, 7)
    norm("bn1", 2)
    inputs = 2
    for stage, block, width in [(1, 0, 2), (1, 1, 2), (2, 0, 3), (3, 0, 4)]:
        name = f"layer{stage}.{block}"
        for i, (outputs, given, side) in enumerate(
            [(width, inputs, 1), (width, width, 3), (4 * width, width, 1)], start=1
        ):
            conv(f"{name}.conv{i}", outputs, given, side)
            norm(f"{name}.bn{i}", outputs)
        if block == 0:
            conv(f"{name}.downsample.0", 4 * width, inputs, 1)
            norm(f"{name}.downsample.1", 4 * width)
        inputs = 4 * width
    state["fc.weight"], state["fc.bias"] = np.zeros((10, 16)), np.zeros(10)
    return state


def saved(path, weights):
    if path.suffix == ".npz":
        np.savez(path, **weights)
    else:
        safetensors.numpy.save_file(weights, path)
    return path


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
def test_every_weight_finds_its_place(name, tmp_path, model, weights, shapes_of):
    shapes = shapes_of(model)
    variables = load(saved(tmp_path / name, weights), shapes, convention="torchvision")
    assert jax.tree.structure(variables) == jax.tree.structure(shapes)
    for value, shape in zip(jax.tree.leaves(variables), jax.tree.leaves(shapes), strict=True):
        assert (value.shape, value.dtype) == (shape.shape, np.float32)
    params, running = variables["params"], variables["batch_stats"]
    kernel = params["layer2_0"]["conv2"]["kernel"]
    assert kernel[0, 2, 1, 0] == weights["layer2.0.conv2.weight"][0, 1, 0, 2]
    np.testing.assert_array_equal(
        params["layer1_0"]["downsample_conv"]["kernel"][0, 0].T,
        weights["layer1.0.downsample.0.weight"][:, :, 0, 0],
    )
    np.testing.assert_array_equal(params["layer1_1"]["bn3"]["scale"], weights["layer1.1.bn3.weight"])
    np.testing.assert_array_equal(params["layer1_1"]["bn3"]["bias"], weights["layer1.1.bn3.bias"])
    np.testing.assert_array_equal(running["bn1"]["mean"], weights["bn1.running_mean"])
    np.testing.assert_array_equal(
        running["layer2_0"]["downsample_bn"]["var"], weights["layer2.0.downsample.1.running_var"]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer1.1.conv2.weight": None}, r"layer1\.1\.conv2\.weight .*\(2, 2, 3, 3\).* missing"),
        ({"layer2.0.bn1.running_var": None}, r"layer2\.0\.bn1\.running_var .* missing"),
        ({"layer1.2.conv1.weight": np.zeros((2, 8, 1, 1))}, r"layer1\.2\.conv1\.weight .*no place"),
        ({"classifier.weight": np.zeros(3)}, r"classifier\.weight .*no place"),
        ({"conv1.weight": np.zeros((2, 3, 3, 3))}, r"conv1\.weight .*\(2, 3, 3, 3\).*\(2, 3, 7, 7\)"),
        ({"conv1.bias": np.float32([0, 0.5])}, r"conv1\.bias .*no place"),
        ({"mean_bgr": np.float32(MEAN_BGR)}, "caffe"),
        ({"bn1.bias": np.float32([1, np.nan])}, r"bn1\.bias holds values that are not finite"),
        ({"bn1.running_var": np.array([1, 2])}, r"bn1\.running_var holds int64"),
        ({"bn1.running_var": np.float32([1, -1e-9])}, r"bn1\.running_var holds negative variances"),
        ({"bn1.running_var": np.zeros(2, np.float32)}, r"bn1\.running_var is zero throughout"),
        ({"conv1.weight": np.zeros((2, 3, 7, 7), np.float32)}, r"conv1\.weight is zero throughout"),
        ({"conv1.weight": np.full((2, 3, 7, 7), np.inf, np.float32)}, r"conv1\.weight .*not finite"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(change, said, tmp_path, model, weights, shapes_of):
    changed = {k: v for k, v in (weights | change).items() if v is not None}
    path = saved(tmp_path / "weights.npz", changed)
    with pytest.raises(InputError, match=said) as error:
        load(path, shapes_of(model), convention="torchvision")
    assert "weights.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_caffe_files_carry_a_mean_and_a_zero_bias(tmp_path, model, weights, shapes_of):
    extra = {"mean_bgr": np.float32(MEAN_BGR), "conv1.bias": np.zeros(2, np.float32)}
    load(saved(tmp_path / "weights.npz", weights | extra), shapes_of(model), convention="caffe")
    other = saved(tmp_path / "other.npz", weights | {"mean_bgr": np.float32([104, 117, 123])})
    with pytest.raises(InputError, match="mean_bgr"):
        load(other, shapes_of(model), convention="caffe")


def test_a_file_that_cannot_be_read(tmp_path, model, weights, shapes_of):
    shapes = shapes_of(model)
    with pytest.raises(InputError, match="no such weights file"):
        load(tmp_path / "none.npz", shapes, convention="caffe")
    with pytest.raises(InputError, match="weights are read from"):
        load(tmp_path / "resnet50.onnx", shapes, convention="caffe")
    for name in ("cut.npz", "cut.safetensors"):
        path = saved(tmp_path / name, weights)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(InputError, match="damaged"):
            load(path, shapes, convention="torchvision")


def test_genuine_weights_meet_the_activations_they_were_trained_on(shared, shapes_of):
    """Photos give, channel by channel, the means that the file's running statistics tell of."""
    path = shared / "weights" / "resnet50_msra_conv1_to_layer3.npz"
    files = sorted((shared / "data" / "voc_animals" / "JPEGImages").glob("*.jpg"))[::500][:4]
    photos = np.stack([np.asarray(Image.open(file).convert("RGB").resize((97, 97))) for file in files])
    sizes = jnp.full((4, 2), 97)
    model = resnet50(stages=3, convention="caffe")
    variables = load(path, shapes_of(model), convention="caffe")
    features, state = jax.jit(partial(model.apply, batch_statistics=True, mutable=["batch_stats"]))(
        variables, jnp.asarray(photos), sizes
    )
    assert features["stage3"].map.shape == (4, 13, 13, 1024)
    assert np.isfinite(features["stage3"].map).all()
    for block, norm in [("layer1_0", "bn1"), ("layer2_0", "bn2"), ("layer3_5", "bn3")]:
        before, after = (tree["batch_stats"][block][norm]["mean"] for tree in (variables, state))
        batch = (after - 0.9 * before) / 0.1
        assert np.corrcoef(batch, before)[0, 1] > 0.99

    with pytest.raises(InputError, match=r"layer4.* missing"):
        load(path, shapes_of(resnet50(convention="caffe")), convention="caffe")
    with pytest.raises(InputError, match="caffe"):
        load(path, shapes_of(model), convention="torchvision")
