"""VGG-16's weights in torchvision's names: every key finds its place or is named in an error."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models.backbones import make
from fsjax.models.prnet.prnet import PRNet
from fsjax.training.weights import initial_variables
from tests.hub_server import in_place_of_the_hub

PARAMETERS = 138_357_544
"""As torchvision's documentation counts them."""

LAYERS = {
    0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2", 10: "conv3_1", 12: "conv3_2", 14: "conv3_3",
    17: "conv4_1", 19: "conv4_2", 21: "conv4_3", 24: "conv5_1", 26: "conv5_2", 28: "conv5_3",
}  # fmt: skip
"""The places of torchvision's `features`, the pools being 4, 9, 16, 23 and 30."""


def convolutions(width=64):
    """The name and shape of every entry of `features`."""
    given = 3
    for place, name in LAYERS.items():
        made = width * {1: 1, 2: 2, 3: 4, 4: 8, 5: 8}[int(name[4])]
        yield f"features.{place}.weight", (made, given, 3, 3)
        yield f"features.{place}.bias", (made,)
        given = made


def classifier():
    """The name and shape of the other entries of torchvision's state dict."""
    for place, made, given in ((0, 4096, 512 * 7 * 7), (3, 4096, 4096), (6, 1000, 4096)):
        yield f"classifier.{place}.weight", (made, given)
        yield f"classifier.{place}.bias", (made,)


def saved(path, weights):
    if path.suffix == ".npz":
        np.savez(path, **weights)
    else:
        safetensors.numpy.save_file(weights, path)
    return path


@pytest.fixture
def weights():
    """A file of the network of width 2, with both kinds of classifiers."""
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=shape).astype(np.float16) for name, shape in convolutions(2)}
    others = ("classifier.0.weight", "classifier.6.bias", "pre_logits.fc1.weight", "head.fc.bias")
    return state | {name: np.zeros(3, np.float32) for name in others}


def test_the_names_and_shapes_are_torchvisions():
    entries = [*convolutions(), *classifier()]
    assert sum(int(np.prod(shape)) for _, shape in entries) == PARAMETERS


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
def test_every_weight_finds_its_place(name, tmp_path, weights):
    backbone = make("vgg16", {"width": 2}, "float32")
    found = backbone.load(saved(tmp_path / name, weights))
    shapes = jax.eval_shape(backbone.init, jax.random.key(0))
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, shapes)
    for place, layer in LAYERS.items():
        kernel, stored = found["params"][layer]["kernel"], weights[f"features.{place}.weight"]
        assert kernel.dtype == np.float32
        assert kernel[0, 2, 1, 0] == stored[0, 1, 0, 2]
        np.testing.assert_array_equal(kernel, np.einsum("oiuv->uvio", stored))
        np.testing.assert_array_equal(found["params"][layer]["bias"], weights[f"features.{place}.bias"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features.28.bias": None}, r"the weight features\.28\.bias of shape \(16,\) is missing"),
        ({"features.30.weight": np.zeros(2)}, r"features\.30\.weight of shape \(2,\) has no place"),
        ({"conv1.weight": np.zeros(2)}, r"conv1\.weight of shape \(2,\) has no place"),
        (
            {"features.5.weight": np.zeros((4, 2, 1, 1))},
            r"features\.5\.weight has the shape \(4, 2, 1, 1\), the network needs \(4, 2, 3, 3\)",
        ),
        ({"features.0.bias": np.float32([1, np.inf])}, r"features\.0\.bias holds values that are not finite"),
        ({"features.0.bias": np.array([1, 2])}, r"features\.0\.bias holds int64"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(change, said, tmp_path, weights):
    changed = {k: v for k, v in (weights | change).items() if v is not None}
    path = saved(tmp_path / "weights.npz", changed)
    with pytest.raises(InputError, match=said) as error:
        make("vgg16", {"width": 2}, "float32").load(path)
    assert "weights.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_batch_normalised_weights_and_another_width_are_other_networks(tmp_path, weights):
    path = saved(tmp_path / "weights.npz", weights)
    with pytest.raises(InputError, match=r"features\.0\..* has the shape \(2,.*needs \(64,"):
        make("vgg16", {}, "float32").load(path)
    normalised = {"features.0.weight": weights["features.0.weight"], "features.1.running_mean": np.zeros(2)}
    path = saved(tmp_path / "vgg16_bn.npz", normalised | {"features.0.bias": weights["features.0.bias"]})
    with pytest.raises(InputError, match=r"features\.2\..* is missing; is it another network's"):
        make("vgg16", {"width": 2}, "float32").load(path)


def test_imagenet_weights_come_from_the_hub(tmp_path, monkeypatch):
    """A file in the real names and shapes, every value being 1 over its entry's place."""
    entries = list(convolutions())
    file = {name: np.full(shape, 1 / place, np.float16) for place, (name, shape) in enumerate(entries, 1)}
    file |= {f"pre_logits.fc1.{leaf}": np.zeros(1, np.float16) for leaf in ("weight", "bias")}
    method = PRNet(make("vgg16", {}, "float32"))
    monkeypatch.chdir(tmp_path)
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add("timm/vgg16.tv_in1k", safetensors.numpy.save(file))
        found = initial_variables(method, 0, "imagenet", lambda run: None)["backbone"]["params"]
    for place, (name, _) in enumerate(entries, 1):
        _, layer, leaf = name.split(".")
        values = found[LAYERS[int(layer)]]["kernel" if leaf == "weight" else "bias"]
        assert (values == np.float32(np.float16(1 / place))).all()


def test_only_the_whole_width_has_imagenet_weights():
    assert make("vgg16", {}, "float32").imagenet() == "timm/vgg16.tv_in1k"
    with pytest.raises(InputError, match=r"backbone_options\.width is 8: set it to 64, or .*random"):
        make("vgg16", {"width": 8}, "float32").imagenet()
