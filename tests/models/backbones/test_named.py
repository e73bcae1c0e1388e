"""Weights by name: each names its repository and licence, and what goes wrong says what else would do."""

import logging

import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models.backbones import OPTIONS, make
from fsjax.models.backbones.hub import UnreachableError, fetch, parse
from fsjax.models.backbones.named import NAMED
from fsjax.models.backbones.recognition import recognised
from fsjax.models.prnet.prnet import PRNet
from fsjax.training.weights import initial_variables, missing
from tests.hub_server import in_place_of_the_hub
from tests.outlined_weights import SIZES, shapes_of, weights_of


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def path_of(repository):
    return f"/{repository}/resolve/main/model.safetensors"


def test_every_name_is_a_network_s_and_every_network_s_weights_have_a_name():
    for name, known in NAMED.items():
        assert "/" not in name
        assert known.backbone in OPTIONS
        assert parse(name).repository == known.repository
        options = {"registers": known.registers} if "dinov2" in name else {}
        assert make(known.backbone, options, "float32").published == (name,)
    assert {known.backbone for known in NAMED.values()} == {name for name in OPTIONS if "dino" in name}
    assert len({known.repository for known in NAMED.values()}) == len(NAMED) == 13


def test_the_repositories():
    assert parse("dinov2-giant").repository == "facebook/dinov2-giant"
    assert parse("dinov2-base-registers").repository == "facebook/dinov2-with-registers-base"
    assert parse("dinov3-small-plus").repository == "timm/vit_small_plus_patch16_dinov3.lvd1689m"
    assert parse("dinov4-small") is None
    assert not [name for name, known in NAMED.items() if known.repository.startswith("facebook/dinov3")]
    own = [known.other for name, known in NAMED.items() if name.startswith("dinov3")]
    assert own == [
        f"facebook/dinov3-vit{size}-pretrain-lvd1689m" for size in ("s16", "s16plus", "b16", "l16", "h16plus")
    ]


@pytest.mark.parametrize(
    ("name", "licence"), [("dinov2-small", "Apache-2.0 licence"), ("dinov3-small", "DINOv3 License")]
)
def test_weights_by_name_are_fetched_and_their_licence_is_said(name, licence, hub, caplog):
    known = NAMED[name]
    weights = weights_of(known.backbone, blocks=1)
    hub.add(known.repository, safetensors.numpy.save(weights))
    method = PRNet(make(known.backbone, {"deep": 1}, "float32"))
    assert f"model.safetensors of {known.repository}, are not in the hub's cache" in missing(
        name, method.backbone
    )
    with caplog.at_level(logging.INFO):
        found = initial_variables(method, 0, name, lambda run: None)["backbone"]["params"]
    kernel = next(weights[key] for key in weights if key.endswith("patch_embeddings.projection.weight")
                  or key.endswith("patch_embed.proj.weight"))  # fmt: skip
    np.testing.assert_array_equal(found["patch"]["kernel"][:3, 0], kernel[0, :, 0, 0])
    fetched, loaded = [line for line in caplog.messages if licence in line]
    assert known.repository in fetched
    assert f"weights of {known.backbone}, under the {licence}" in loaded
    assert missing(name, method.backbone) == ""


def test_a_file_of_that_name_here_wins(hub, tmp_path):
    (tmp_path / "dinov2-small").write_bytes(b"")
    with pytest.raises(InputError, match=r"^dinov2-small: weights are read from \.npz"):
        initial_variables(PRNet(make("dinov2_small", {}, "float32")), 0, "dinov2-small", lambda run: None)
    assert hub.asked == []


GATED = "facebook/dinov3-vits16-pretrain-lvd1689m"


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_what_to_accept_and_what_needs_no_asking(status, hub):
    hub.refusals[path_of(GATED)] = status, "GatedRepo"
    with pytest.raises(InputError) as refusal:
        fetch(parse(GATED))
    assert str(refusal.value) == (
        f"{GATED} is open only to those whom its owner lets in: accept the DINOv3 License at "
        f"{hub.endpoint}/{GATED} and log in with hf auth login; or download {hub.endpoint}{path_of(GATED)} "
        "where there is a network, put it into any folder here, and give "
        "--config.model.weights=FOLDER/model.safetensors, or --model=FOLDER/model.safetensors to predict.py, "
        "or name dinov3-small, which has the same weights."
    )


def test_a_missing_repository_says_where_else_its_weights_are(hub):
    hub.refusals[path_of("facebook/dinov2-small")] = 401, "RepoNotFound"
    with pytest.raises(InputError) as refusal:
        fetch(parse("dinov2-small"))
    said = str(refusal.value)
    assert "facebook/dinov2-small, which is no file or folder here and no repository that" in said
    assert said.endswith("or name timm/vit_small_patch14_dinov2.lvd142m, which has the same weights.")


def test_a_hub_that_does_not_answer_is_told_apart(hub):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UnreachableError, match=r"facebook/dinov2-small is not in the cache.*FOLDER/model"):
        fetch(parse("dinov2-small"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("registers", [False, True])
def test_keys_and_shapes_tell_the_network(size, registers):
    """By an outline of each real network's file: every block by one key."""
    if size.startswith("dinov3") and not registers:
        pytest.skip("all have registers")
    found = recognised(shapes_of(size, registers=registers))
    assert found.backbone == size
    dinov2 = size.startswith("dinov2")
    assert found.options == ({"registers": registers} if dinov2 else {})
    assert found.side % (14 if dinov2 else 16) == 0


def test_a_stranger_s_transformer_is_none():
    outline = shapes_of("dinov2_small")
    assert recognised(outline | {"embeddings.patch_embeddings.projection.weight": (380, 3, 14, 14)}) is None
    assert recognised({"patch_embed.proj.weight": (384, 3, 14, 14)}) is None
    assert recognised({}) is None


@pytest.mark.parametrize(
    ("configured", "options", "flags"),
    [
        ("dinov2_base", {}, "--config.model.backbone=dinov2_small "
         "--config.model.backbone_options.registers=False"),
        ("dinov2_small", {"registers": True}, "--config.model.backbone=dinov2_small "
         "--config.model.backbone_options.registers=False"),
        ("dinov3_small", {}, "--config.model.backbone=dinov2_small"),
        ("resnet50", {}, "--config.model.backbone=dinov2_small"),
        ("vgg16", {}, "--config.model.backbone=dinov2_small"),
    ],
)  # fmt: skip
def test_weights_of_another_network_name_the_right_one(configured, options, flags, tmp_path):
    file = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(weights_of("dinov2_small", blocks=1), file)
    options = options | ({"deep": 1} if configured.startswith("dino") else {})
    with pytest.raises(InputError) as refusal:
        make(configured, options, "float32").load(file)
    assert str(refusal.value) == (
        f"{file} holds weights of another network than is configured: give {flags} for them, or name others."
    )


def test_registers_are_named_where_nobody_asked_for_a_transformer(tmp_path):
    file = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(weights_of("dinov2_small", blocks=0, registers=True), file)
    with pytest.raises(InputError, match=r"=dinov2_small --config\.\S+\.registers=True for"):
        make("resnet50", {}, "float32").load(file)
