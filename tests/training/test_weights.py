"""Where variables come from before any training: a file, another run, or a seed."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models import build
from fsjax.models.backbones import make
from fsjax.models.backbones.resnet import small
from fsjax.models.backbones.resnet_backbone import ResNetBackbone
from fsjax.models.prnet.prnet import PRNet
from fsjax.training.weights import initial_variables, run_folder
from tests.hub_server import in_place_of_the_hub
from tests.models.patch_net import PatchNet
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits

DPNET = build.method(dpnet_config().model)
PRNET = build.method(prnet_config().model)


def nobody(run):
    raise AssertionError("no run is asked for")


def drawn(method, seed=0, weights=""):
    return initial_variables(method, seed, weights, nobody)


def test_a_seed_draws_all_of_them():
    assert_same_bits(drawn(PRNET, 3), drawn(PRNET, 3))
    assert_same_bits(drawn(PRNET, 3), PRNET.init(jax.random.key(3)))
    kernels = [drawn(PRNET, seed)["backbone"]["params"]["conv1"]["kernel"] for seed in (3, 4)]
    assert (kernels[0] != kernels[1]).any()


def test_a_frozen_backbone_is_drawn_where_asked_for():
    assert set(drawn(DPNET, weights="random")) == {"backbone", "head"}


def test_a_file_holds_the_backbone(tmp_path):
    method = PRNet(PatchNet())
    params = {name: value + 1 for name, value in flat(method.init(jax.random.key(7))).items()}
    backbone = {name.removeprefix("backbone.params."): value for name, value in params.items()}
    np.savez(tmp_path / "patches.npz", **backbone)
    found = drawn(method, weights=str(tmp_path / "patches.npz"))
    assert flat(found).keys() == params.keys()
    for name, value in flat(found).items():
        np.testing.assert_array_equal(value, params[name])


def flat(tree, prefix=""):
    leaves = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


@pytest.mark.parametrize("weights", ["imagenet", "me/tiny", "hf://me/tiny", "folder/tiny.safetensors"])
def test_weights_by_name(weights, hub, tmp_path):
    """A network of one block, its weights written by hand in timm's names."""
    rng = np.random.default_rng(0)
    shapes = {"conv1.weight": (4, 3, 7, 7)}
    shapes |= {f"layer1.0.conv{i}.weight": (4, 4, 3, 3) for i in (1, 2)}
    for norm in ("bn1", "layer1.0.bn1", "layer1.0.bn2"):
        shapes |= {f"{norm}.{entry}": (4,) for entry in ("weight", "bias", "running_mean", "running_var")}
    file = {name: rng.uniform(size=shape).astype(np.float32) for name, shape in shapes.items()}
    contents = safetensors.numpy.save(file)
    hub.add("me/tiny", contents)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "tiny.safetensors").write_bytes(contents)
    (tmp_path / "imagenet").mkdir()  # photos, say: the word is no path

    method = PRNet(ResNetBackbone(small((4,)), repository="me/tiny"))
    found = drawn(method, 3, weights)
    params, statistics = found["backbone"]["params"], found["backbone"]["batch_stats"]
    kernel = file["layer1.0.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(params["layer1_0"]["conv2"]["kernel"], kernel)
    np.testing.assert_array_equal(statistics["bn1"]["var"], file["bn1.running_var"])
    assert_same_bits(found["head"], method.init(jax.random.key(3))["head"])
    assert bool(hub.asked) == (not weights.startswith("folder"))


def test_a_path_that_is_there_is_no_name_of_the_hub(hub, tmp_path):
    (tmp_path / "me" / "tiny").mkdir(parents=True)
    with pytest.raises(InputError, match="There is no checkpoint in me/tiny"):
        drawn(PRNET, weights="me/tiny")
    for weights in ("me/other", "runs/prnet_shapes_fold0"):
        with pytest.raises(InputError, match=f"model.weights is {weights}, and nothing is there"):
            drawn(PRNET, weights=weights)
    assert not hub.asked


def test_what_names_the_folder_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("imagenet", "random", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.npz").touch()
    folders = {
        w: run_folder(w) for w in ("", "imagenet", "random", "file.npz", "me/tiny", "run", "./imagenet")
    }
    assert {w for w, folder in folders.items() if folder} == {"run", "./imagenet"}


@pytest.mark.parametrize(
    ("network", "weights", "names"),
    [
        ("dinov2_small", "dinov2_small", "(dinov2-small)"),
        (
            "dinov2_small",
            "dinov2_small_registers",
            "(dinov2-small or dinov2-small-registers with --config.model.backbone=dinov2_small "
            "--config.model.backbone_options.registers=True)",
        ),
        ("dinov3_small_plus", "dinov3", "(dinov3-small-plus)"),
        ("resnet101", "resnet101", "(imagenet)"),
        ("resnet101", "DINOv2_base", "(imagenet or dinov2-base with --config.model.backbone=dinov2_base)"),
    ],
)
def test_an_unknown_name_of_weights_tells_those_that_fit(network, weights, names, hub):
    with pytest.raises(InputError) as refusal:
        drawn(PRNet(make(network, {}, "float32")), weights=weights)
    assert str(refusal.value) == (
        f"model.weights is {weights}, and nothing is there: name a .npz or .safetensors file, weights by "
        f"name {names}, or a hub's repository, or train a PRNet on the same fold first and name its folder."
    )
    assert not hub.asked


def test_published_weights_are_those_that_fit():
    backbone = make("dinov2_base", {"registers": True}, "float32")
    assert backbone.published == ("dinov2-base-registers",)
    assert make("resnet50", {"convention": "caffe"}, "float32").published == ()
    assert make("vgg16", {"width": 8}, "float32").published == ()


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"model\.weights is .*nothing is there: name a \.npz"):
        drawn(PRNET, weights=str(tmp_path / "nothing.npz"))
    with pytest.raises(InputError, match=f"There is no checkpoint in {tmp_path}"):
        drawn(PRNET, weights=str(tmp_path))
