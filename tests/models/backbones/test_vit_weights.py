"""Weights of DINOv2 and DINOv3: every name of every codebase finds its place or is named in an error."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models.backbones.architecture import Architecture
from fsjax.models.backbones.vit import ViT
from fsjax.models.backbones.vit_backbone import ViTBackbone
from tests.models.backbones import vit_files

DINOV2 = Architecture(16, 3, 2, 20, patch=4, grid=3)
REGISTERS = replace(DINOV2, registers=4)
GIANT = replace(DINOV2, gated=True)
DINOV3 = Architecture(16, 3, 2, 20, patch=4, grid=0, registers=4, key_bias=False, epsilon=1e-5)
PLUS = replace(DINOV3, gated=True)

RULES = {"official": (-0.75, 0, 0.1), "transformers": (-0.75, 0, 0), "timm": (-0.5, 1, 0)}
FILES = [
    *((shape, "official", vit_files.official_dinov2) for shape in (DINOV2, REGISTERS, GIANT)),
    *((shape, "transformers", vit_files.transformers_dinov2) for shape in (DINOV2, REGISTERS, GIANT)),
    *((shape, "timm", vit_files.timm_dinov2) for shape in (DINOV2, REGISTERS, GIANT)),
    *((shape, "official", vit_files.official_dinov3) for shape in (DINOV3, PLUS)),
    *((shape, "transformers", vit_files.transformers_dinov3) for shape in (DINOV3, PLUS)),
    *((shape, "timm", vit_files.timm_dinov3) for shape in (DINOV3, PLUS)),
]


def backbone_of(shape, deep=3, positions=None):
    return ViTBackbone(ViT(shape, deep, 1, final_norm=deep == 3, stage=1), positions)


def saved(path, weights):
    safetensors.numpy.save_file({name: np.ascontiguousarray(a) for name, a in weights.items()}, path)
    return path


def expected(weights, shape):
    """Our parameters from weights by one name each, written out."""
    table = weights.get("pos_embed", np.zeros((1, 1, 1), np.float32))[0]
    params = {
        "cls_token": weights["cls_token"][0] + table[:1],
        "patch": {
            "kernel": np.concatenate(
                [weights["patch_embed.proj.weight"][:, :, i, j].T for i in range(4) for j in range(4)]
            ),
            "bias": weights["patch_embed.proj.bias"],
        },
        "norm": {"scale": weights["norm.weight"], "bias": weights["norm.bias"]},
    }
    if shape.grid:
        params["position"] = table[1:].reshape(3, 3, 16)
    if shape.registers:
        params["registers"] = weights["register_tokens"][0]
    for number in range(3):

        def linear(name, number=number):
            found = {"kernel": weights[f"blocks.{number}.{name}.weight"].T}
            bias = weights.get(f"blocks.{number}.{name}.bias")
            return found if bias is None else {**found, "bias": bias}

        def norm(name, number=number):
            return {
                "scale": weights[f"blocks.{number}.{name}.weight"],
                "bias": weights[f"blocks.{number}.{name}.bias"],
            }

        params[f"block{number}"] = {
            "norm1": norm("norm1"), "norm2": norm("norm2"),
            "scale1": weights[f"blocks.{number}.ls1.gamma"], "scale2": weights[f"blocks.{number}.ls2.gamma"],
            "attention": {
                "query": linear("attn.q"), "key": linear("attn.k"), "value": linear("attn.v"),
                "out": linear("attn.proj"),
            },
            "mlp": {part: linear(f"mlp.{part}") for part in ("gate", "up", "down")[not shape.gated :]},
        }  # fmt: skip
    return params


@pytest.mark.parametrize(("shape", "codebase", "written"), FILES)
def test_every_weight_finds_its_place(shape, codebase, written, tmp_path):
    weights = vit_files.drawn(shape, 3)
    path = saved(tmp_path / "model.safetensors", written(weights, shape.gated))
    found = backbone_of(shape).load(path)
    jax.tree.map(np.testing.assert_array_equal, found["params"], expected(weights, shape))
    if shape.grid:
        rule = RULES["timm"] if shape.registers else RULES[codebase]
        np.testing.assert_array_equal(found["positions"]["rule"], np.float32(rule))
    else:
        periods = [1.5, 9.5] if codebase == "official" else [1, 10]
        np.testing.assert_allclose(found["positions"]["periods"], periods, rtol=1e-6)


def test_a_rule_that_is_asked_for_goes_before_the_files(tmp_path):
    weights = vit_files.drawn(DINOV2, 3)
    path = saved(tmp_path / "model.safetensors", vit_files.transformers_dinov2(weights))
    for codebase, rule in RULES.items():
        found = backbone_of(DINOV2, positions=codebase).load(path)
        np.testing.assert_array_equal(found["positions"]["rule"], np.float32(rule))
    path = saved(tmp_path / "model.safetensors", vit_files.official_dinov3(vit_files.drawn(DINOV3, 3)))
    found = backbone_of(DINOV3, positions="timm").load(path)
    np.testing.assert_allclose(found["positions"]["periods"], [1, 10], rtol=1e-6)


def test_names_in_memory_are_those_of_the_file_too(tmp_path):
    weights = vit_files.drawn(DINOV3, 3)
    found = vit_files.transformers_dinov3(weights, layer="model.layer.")
    path = saved(tmp_path / "model.safetensors", found)
    ours = backbone_of(DINOV3).load(path)["params"]
    jax.tree.map(np.testing.assert_array_equal, ours, expected(weights, DINOV3))


def test_what_timm_publishes_without_biases_has_zeros(tmp_path):
    weights = vit_files.drawn(DINOV3, 3)
    path = saved(tmp_path / "timm.safetensors", vit_files.without_biases(vit_files.timm_dinov3(weights)))
    attention = backbone_of(DINOV3).load(path)["params"]["block1"]["attention"]
    assert not attention["query"]["bias"].any()
    assert not attention["value"]["bias"].any()
    assert "bias" not in attention["key"]


def test_blocks_that_are_not_built_are_left_out(tmp_path):
    weights = vit_files.drawn(DINOV2, 3)
    path = saved(tmp_path / "model.safetensors", vit_files.official_dinov2(weights))
    found = backbone_of(DINOV2, deep=2).load(path)["params"]
    whole = expected(weights, DINOV2)
    assert found.keys() == whole.keys() - {"block2", "norm"}
    np.testing.assert_array_equal(found["block1"]["scale1"], whole["block1"]["scale1"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"encoder.layer.2.norm1.bias": None},
            r"the weight blocks\.2\.norm1\.bias of shape \(16,\), by Meta's",
        ),
        (
            {"encoder.layer.3.norm1.bias": np.ones(16, np.float32)},
            r"encoder\.layer\.3\.norm1\.bias .* has no place",
        ),
        ({"classifier.weight": np.ones(2, np.float32)}, r"classifier\.weight of shape \(2,\) has no place"),
        (
            {"encoder.layer.0.mlp.fc1.weight": np.ones((24, 16), np.float32)},
            r"encoder\.layer\.0\.mlp\.fc1\.weight has the shape \(24, 16\), the network needs \(20, 16\)",
        ),
        (
            {"embeddings.position_embeddings": np.ones((1, 17, 16), np.float32)},
            r"position_embeddings has the shape \(1, 17, 16\), the network needs \(1, 10, 16\)",
        ),
        (
            {"layernorm.bias": np.full(16, np.nan, np.float32)},
            r"layernorm\.bias holds values that are not finite",
        ),
        ({"layernorm.bias": np.ones(16, np.int32)}, r"layernorm\.bias holds int32"),
        ({"layernorm.weight": np.zeros(16, np.float32)}, r"layernorm\.weight is zero throughout"),
        (
            {"encoder.layer.1.attention.output.dense.weight": np.zeros((16, 16), np.float32)},
            r"encoder\.layer\.1\.attention\.output\.dense\.weight is zero throughout",
        ),
        ({"norm.bias": np.ones(16, np.float32)}, r"layernorm\.bias and norm\.bias are one weight"),
        ({"embeddings.register_tokens": np.ones((1, 4, 16), np.float32)}, r"register_tokens .* has no place"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(change, said, tmp_path):
    weights = vit_files.transformers_dinov2(vit_files.drawn(DINOV2, 3)) | change
    path = saved(tmp_path / "model.safetensors", {k: v for k, v in weights.items() if v is not None})
    with pytest.raises(InputError, match=said) as error:
        backbone_of(DINOV2).load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_biases_of_keys_that_count_are_refused(tmp_path):
    """A DINOv3 whose keys have biases, and no mask that takes them out, is another network."""
    weights = vit_files.official_dinov3(vit_files.drawn(DINOV3, 3))
    unmasked = {name: a for name, a in weights.items() if not name.endswith("bias_mask")}
    with pytest.raises(InputError, match=r"blocks\.0\.attn\.qkv\.bias of shape .* has no place"):
        backbone_of(DINOV3).load(saved(tmp_path / "model.safetensors", unmasked))


def test_half_precision_is_read_as_float32(tmp_path):
    weights = {name: a.astype(np.float16) for name, a in vit_files.drawn(DINOV2, 3).items()}
    path = saved(tmp_path / "model.safetensors", vit_files.official_dinov2(weights))
    found = backbone_of(DINOV2).load(path)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype("float32")}
    np.testing.assert_array_equal(found["norm"]["scale"], weights["norm.weight"].astype(np.float32))
