"""Drawn weights of vision transformers under real files' keys; blocks that nobody asks for are stubs."""

import numpy as np

from fsjax.models.backbones.architecture import DINOV2, DINOV3

SIZES = DINOV2 | DINOV3


def shapes_of(name, *, blocks=0, registers=False):
    """The shapes by key: DINOv2's as transformers writes them, DINOv3's as timm; most blocks have one key."""
    make = _dinov2 if name.startswith("dinov2") else _dinov3
    return make(SIZES[name], blocks, registers)


def weights_of(name, *, blocks, registers=False, seed=0):
    """Drawn weights that a network to the block of that number loads."""
    rng = np.random.default_rng(seed)
    return {
        key: 0.05 * rng.standard_normal(shape, np.float32) + (key.endswith("norm.weight") or "norm1.w" in key)
        for key, shape in shapes_of(name, blocks=blocks, registers=registers).items()
    }  # fmt: skip


def _dinov2(shape, blocks, registers):
    width = shape.width
    found = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.mask_token": (1, width),
        "embeddings.position_embeddings": (1, shape.grid**2 + 1, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 14, 14),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }
    if registers:
        found["embeddings.register_tokens"] = (1, 4, width)
    for number in range(shape.depth):
        block = f"encoder.layer.{number}."
        found[f"{block}norm1.weight"] = (width,)
        if number >= blocks:
            continue
        found |= {f"{block}{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in _BOTH}
        for linear in ("attention.query", "attention.key", "attention.value", "output.dense"):
            found[f"{block}attention.{linear}.weight"] = (width, width)
            found[f"{block}attention.{linear}.bias"] = (width,)
        found |= {f"{block}layer_scale{i}.lambda1": (width,) for i in (1, 2)}
        found |= _linear(f"{block}mlp.fc1", shape.hidden, width) | _linear(
            f"{block}mlp.fc2", width, shape.hidden
        )
    return found


def _dinov3(shape, blocks, registers):
    width = shape.width
    found = {
        "cls_token": (1, 1, width),
        "reg_token": (1, 4, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for number in range(shape.depth):
        block = f"blocks.{number}."
        up = "mlp.fc1_g" if shape.gated else "mlp.fc1"
        found[f"{block}{up}.weight"] = (shape.hidden, width)
        if number >= blocks:
            continue
        found |= {f"{block}{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in _BOTH}
        found |= {f"{block}gamma_{i}": (width,) for i in (1, 2)}
        found[f"{block}attn.qkv.weight"] = (3 * width, width)
        found |= _linear(f"{block}attn.proj", width, width)
        found |= _linear(f"{block}{up}", shape.hidden, width)
        found |= _linear(f"{block}mlp.fc2", width, shape.hidden)
    return found


_BOTH = ("weight", "bias")


def _linear(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
