"""Weights of a vision transformer as the codebases that publish them name, shape and stack them."""

import numpy as np

from fsjax.models.backbones.architecture import Architecture


def drawn(shape: Architecture, blocks: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns weights by Meta's names for DINOv2, queries, keys, values, gate and up each by itself."""
    rng = np.random.default_rng(seed)
    width, side = shape.width, shape.patch
    weights = {
        "cls_token": (1, 1, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, side, side),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if shape.grid:
        weights["pos_embed"] = (1, 1 + shape.grid**2, width)
    if shape.registers:
        weights["register_tokens"] = (1, shape.registers, width)
    for number in range(blocks):
        block = f"blocks.{number}"
        for name in ("norm1", "norm2"):
            weights |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
        for part in ("q", "k", "v", "proj"):
            weights[f"{block}.attn.{part}.weight"] = (width, width)
            if part != "k" or shape.key_bias:
                weights[f"{block}.attn.{part}.bias"] = (width,)
        weights |= {f"{block}.ls{one}.gamma": (width,) for one in (1, 2)}
        for part in ("gate", "up") if shape.gated else ("up",):
            weights[f"{block}.mlp.{part}.weight"] = (shape.hidden, width)
            weights[f"{block}.mlp.{part}.bias"] = (shape.hidden,)
        weights |= {f"{block}.mlp.down.weight": (width, shape.hidden), f"{block}.mlp.down.bias": (width,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}


def _renamed(weights, names):
    """Replaces parts of names, the first pair first."""
    found = {}
    for name, array in weights.items():
        for old, new in names:
            name = name.replace(old, new)
        found[name] = array
    return found


def _stacked(weights, stacks):
    """Puts parts on each other: `stacks` names what they become."""
    found = dict(weights)
    for name in weights:
        for parts, stack in stacks:
            first = f".{parts[0]}."
            if first in name:
                apart = [name.replace(first, f".{part}.") for part in parts]
                if all(part in found for part in apart):
                    found[name.replace(first, f".{stack}.")] = np.concatenate([found.pop(p) for p in apart])
    return found


def official_dinov2(weights, gated=False):
    """Meta's names for DINOv2."""
    found = _stacked(weights, [(("q", "k", "v"), "qkv"), (("gate", "up"), "w12")])
    return _renamed(found, [(".down.", ".w3.")] if gated else [(".up.", ".fc1."), (".down.", ".fc2.")])


def official_dinov3(weights, gated=False, head=8):
    """Meta's names for DINOv3: biases of keys that a mask takes out, and rounded periods of the rotations."""
    width = weights["cls_token"].shape[-1]
    found = {"rope_embed.periods": np.float32([1.5, 9.5])[: head // 4]}
    for name, array in weights.items():
        found[name] = array
        if name.endswith(".attn.q.bias"):
            found[name.replace(".q.", ".k.")] = np.full(width, 3, np.float32)
            found[name.replace(".q.bias", ".qkv.bias_mask")] = np.repeat(np.float32([1, 0, 1]), width)
    found = _stacked(found, [(("q", "k", "v"), "qkv")])
    plain = [(".gate.", ".w1."), (".up.", ".w2."), (".down.", ".w3.")]
    named = plain if gated else [(".up.", ".fc1."), (".down.", ".fc2.")]
    return _renamed(found, [*named, ("register_tokens", "storage_tokens")])


def transformers_dinov2(weights, gated=False):
    """The names of transformers' files of DINOv2."""
    parts = [(".q.", ".attention.query."), (".k.", ".attention.key."), (".v.", ".attention.value.")]
    found = _renamed(_transformers(weights, "encoder.layer."), [*parts, (".proj.", ".output.dense.")])
    found |= {f"layernorm.{leaf}": found.pop(f"norm.{leaf}") for leaf in ("weight", "bias")}
    if gated:
        return _renamed(_stacked(found, [(("gate", "up"), "weights_in")]), [(".down.", ".weights_out.")])
    return _renamed(found, [(".up.", ".fc1."), (".down.", ".fc2.")])


def transformers_dinov3(weights, gated=False, layer="layer."):
    """The names of transformers' files of DINOv3, and with another `layer` those in memory."""
    del gated
    parts = [(f".{part}.", f".{part}_proj.") for part in ("q", "k", "v", "gate", "up", "down")]
    rest = [(".proj.", ".o_proj."), ("patch_embeddings.projection.", "patch_embeddings.")]
    return _renamed(_transformers(weights, layer), [*parts, *rest])


def _transformers(weights, layer):
    top = ("cls_token", "mask_token", "register_tokens")
    found = {(f"embeddings.{name}" if name in top else name): array for name, array in weights.items()}
    return _renamed(
        found,
        [
            ("pos_embed", "embeddings.position_embeddings"),
            ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
            ("blocks.", layer), (".attn.", ".attention."), (".ls1.gamma", ".layer_scale1.lambda1"),
            (".ls2.gamma", ".layer_scale2.lambda1"),
        ],
    )  # fmt: skip


def timm_dinov2(weights, gated=False):
    """Timm's names for DINOv2: with registers the class token has its own position added."""
    found = {name: array for name, array in weights.items() if name != "mask_token"}
    if "register_tokens" in found:
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:]
        found["reg_token"] = found.pop("register_tokens")
    found = _stacked(found, [(("q", "k", "v"), "qkv"), (("gate", "up"), "fc1")])
    return _renamed(found, [(".mlp.up.", ".mlp.fc1."), (".down.", ".fc2.")])


def timm_dinov3(weights, gated=False):
    """Timm's names for DINOv3 with biases of queries and values."""
    found = {name: array for name, array in weights.items() if name != "mask_token"}
    found = _renamed(
        found,
        [
            ("register_tokens", "reg_token"), (".ls1.gamma", ".gamma_1"), (".ls2.gamma", ".gamma_2"),
            (".q.bias", ".q_bias"), (".v.bias", ".v_bias"), (".down.", ".fc2."),
            *([(".gate.", ".fc1_g."), (".up.", ".fc1_x.")] if gated else [(".up.", ".fc1.")]),
        ],
    )  # fmt: skip
    return _stacked(found, [(("q", "k", "v"), "qkv")])


def without_biases(weights):
    """Timm's DINOv3 as it is published: no bias where a query, key or value would have one."""
    return {name: a for name, a in weights.items() if not name.endswith((".q_bias", ".v_bias"))}
