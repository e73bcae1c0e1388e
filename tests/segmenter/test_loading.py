"""What a segmenter is loaded from, told apart by what it is; and what is none."""

import os

import jax
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save, save_file

from fsjax.config import default
from fsjax.errors import InputError
from fsjax.segmenter import Segmenter, loading
from tests.hub_server import in_place_of_the_hub
from tests.outlined_weights import weights_of
from tests.runs import prnet_config
from tests.segmenter.photos import assert_one_sentence
from tests.training.test_release import saved

CONV = "layer{}.{}.conv1.weight"


def resnet(blocks, stages=4):
    """The names of a ResNet's first convolutions, as torchvision has them."""
    return [CONV.format(stage, block) for stage in range(1, stages + 1) for block in range(blocks[stage - 1])]


FIFTY, HUNDRED = (3, 4, 6, 3), (3, 4, 23, 3)
NETWORKS = {
    "resnet50": (resnet(FIFTY), "resnet50", {"stages": 4, "convention": "torchvision"}),
    "resnet101 to its third stage": (resnet(HUNDRED, 3), "resnet101", {"stages": 3}),
    "Caffe's": ([*resnet(FIFTY), "mean_bgr"], "resnet50", {"stages": 4, "convention": "caffe"}),
    "PyTorch's parallel": ([f"module.{name}" for name in resnet(FIFTY)], "resnet50", {}),
    "vgg16": (["features.0.weight", "features.2.weight"], "vgg16", {}),
}  # fmt: skip


def written(path, names):
    np.savez(path, **{name: np.zeros(1, np.float32) for name in names})
    return path


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_keys_of_weights_tell_their_network(kind, tmp_path):
    names, network, options = NETWORKS[kind]
    config = loading.configuration(written(tmp_path / "weights.npz", names))
    assert (config.model.name, config.model.backbone) == ("prnet", network)
    assert options.items() <= config.model.backbone_options.to_dict().items()
    assert (config.model.weights, config.train.steps) == (str(tmp_path / "weights.npz"), 0)


def test_weights_of_imagenet_need_no_configuration():
    config = loading.configuration("imagenet")
    assert (config.model.name, config.model.backbone, config.model.weights) == (
        "prnet",
        "resnet50",
        "imagenet",
    )


def test_a_run_brings_its_configuration_and_its_weights(tmp_path):
    run, variables = saved(tmp_path / "run", prnet_config())
    segmenter = Segmenter.load(run)
    for found, wanted in zip(_leaves(segmenter.variables), _leaves(variables), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert segmenter.inputs.size == 32
    other = prnet_config({"eval.size": 48})
    assert Segmenter.load(run, other).inputs.size == 48
    with pytest.raises(InputError) as raised:
        Segmenter.load(run, prnet_config({"model.scale": 5.0}))
    assert_one_sentence(raised, "scale")


def _leaves(tree):
    return jax.tree.leaves(tree)


def nothing(place):
    return place / "nothing.npz", "nothing is there"


def no_run(place):
    (place / "photos").mkdir()
    return place / "photos", "There is no checkpoint in"


def strange(place):
    return written(place / "strange.npz", ["a.weight"]), "holds weights of no network that is known"


def shallow(place):
    return written(place / "small.npz", resnet((2, 2, 2, 2))), "name a ResNet-50's"


def hollow(place):
    return written(place / "hollow.npz", resnet(FIFTY)), "is missing; is it another network's?"


def cut(place):
    path = written(place / "cut.npz", resnet(FIFTY))
    path.write_bytes(path.read_bytes()[:100])
    return path, "cut.npz"


def pipe(place):
    os.mkfifo(place / "pipe.npz")
    return place / "pipe.npz", "pipe.npz"


def pickled(place):
    (place / "model.pkl").write_bytes(b"\x80\x04N.")
    return place / "model.pkl", "name such a file"


DEARER = [pytest.param(make, marks=pytest.mark.slow) for make in (hollow, pipe)]  # a ResNet is built first


@pytest.mark.parametrize("make", [nothing, no_run, strange, shallow, cut, pickled, *DEARER])
def test_what_is_no_model_is_refused_in_a_sentence(make, tmp_path):
    source, message = make(tmp_path)
    with pytest.raises(InputError) as raised:
        Segmenter.load(source)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["random", ""])
def test_weights_that_nobody_has_trained_are_no_model(name):
    for config in (None, default()):
        with pytest.raises(InputError) as raised:
            Segmenter.load(name, config)
        assert_one_sentence(raised, f"{name!r} is no model: name a run, a file of weights, or imagenet.")


def test_without_a_network_imagenet_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as raised:
        Segmenter.load("imagenet")
    assert "\n" not in str(raised.value)
    assert "HF_HUB_OFFLINE is set" in str(raised.value)


@pytest.mark.parametrize(
    ("network", "registers", "side"), [("dinov2_base", True, 518), ("dinov3_small_plus", False, 512)]
)
def test_keys_and_shapes_of_a_transformer_s_weights_tell_it(network, registers, side, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(weights_of(network, blocks=0, registers=registers), file)
    config = loading.configuration(file)
    assert (config.model.name, config.model.backbone) == ("prnet", network)
    assert config.model.backbone_options.to_dict() == ({"registers": registers} if registers else {})
    assert (config.eval.size, config.eval.input, config.eval.label) == (side, "square", "original")


def test_weights_by_name_are_a_model_of_their_own(tmp_path, monkeypatch):
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add("facebook/dinov2-small", save(weights_of("dinov2_small", blocks=0)))
        config = loading.configuration("dinov2-small")
    assert (config.model.backbone, config.model.weights) == ("dinov2_small", "dinov2-small")
    assert config.model.backbone_options.to_dict() == {"registers": False}


def test_a_configuration_s_own_weights_are_its_model(tmp_path):
    save_file(weights_of("dinov2_small", blocks=1), tmp_path / "mine.safetensors")
    config = default()
    config.model.update(backbone="dinov2_small", weights=str(tmp_path / "mine.safetensors"))
    config.model.backbone_options.update(deep=1)
    given, _, variables = loading.load(None, config)
    _, _, named = loading.load(tmp_path / "mine.safetensors", config)
    assert given is config
    jax.tree.map(np.testing.assert_array_equal, variables, named)
