"""Weights of DINOv2 and DINOv3, in the names of Meta's code, of transformers or of timm.

Every key is accounted for: it is placed, left out by a rule (`_LEFT_OUT`, and blocks that are not built), or
an error. A key is first brought to one name, Meta's for DINOv2 with queries, keys and values apart.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fsjax.errors import InputError
from fsjax.models.backbones import weights_file
from fsjax.models.backbones.positions import OFFICIAL, TIMM, TRANSFORMERS, periods, table_rule
from fsjax.models.backbones.pretrained import finite
from fsjax.models.backbones.vit import POSITIONS, Architecture

_NAMES = [
    (r"(?:model\.|encoder\.)?layer\.(\d+)\.", r"blocks.\1."),
    (r"embeddings\.patch_embeddings(?:\.projection)?\.", "patch_embed.proj."),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.", ""),
    (r"(?:storage_tokens|reg_token)$", "register_tokens"),
    (r"layernorm\.", "norm."),
    (r"(.*\.)attention\.attention\.(query|key|value)\.", r"\1attn.\2."),
    (r"(.*\.)attention\.([qkv])_proj\.", r"\1attn.\2."),
    (r"(.*\.)attention\.(?:output\.dense|o_proj)\.", r"\1attn.proj."),
    (r"(.*\.attn\.)q(?:uery)?[._](bias|weight)$", r"\1query.\2"),
    (r"(.*\.attn\.)k(?:ey)?[._](bias|weight)$", r"\1key.\2"),
    (r"(.*\.attn\.)v(?:alue)?[._](bias|weight)$", r"\1value.\2"),
    (r"(.*\.)(?:layer_scale|ls)(\d)\.(?:lambda1|gamma)$", r"\1gamma_\2"),
    (r"(.*\.mlp\.)(?:weights_in|w12)\.", r"\1gate_up."),
    (r"(.*\.mlp\.)(?:fc1_g|w1|gate_proj)\.", r"\1gate."),
    (r"(.*\.mlp\.)(?:fc1_x|fc1|w2|up_proj)\.", r"\1up."),
    (r"(.*\.mlp\.)(?:fc2|w3|weights_out|down_proj)\.", r"\1down."),
]
"""Patterns at a key's beginning, tried one after another, and what takes their place."""

_LEFT_OUT = re.compile(r"mask_token|local_cls_norm\.\w+|head\.\w+|.*\.attn\.qkv\.bias_mask|.*rope.*\.periods")
"""Of training alone; and what is used without being a parameter."""

_PLACES = {
    "registers": "register_tokens", "patch": "patch_embed.proj", "attention": "attn", "out": "proj",
    "scale1": "gamma_1", "scale2": "gamma_2", "kernel": "weight", "scale": "weight",
}  # fmt: skip
"""Our names in a file, where they differ."""


def load(
    path: Path, shape: Architecture, shapes: Mapping[str, Any], blocks: int, positions: str | None
) -> dict[str, Any]:
    """Returns the variables of a `ViT`, read from a weights file.

    Args:
      path: of a file that `weights_file.read` reads; its weights may be float16 or bfloat16.
      shape: of the network.
      shapes: what `jax.eval_shape(vit.init, ...)` returns.
      blocks: that are built; the file's others are left out.
      positions: whose rule of positions is followed; None for the file's own, which its names tell.

    Returns:
      A tree like `shapes` of float32 NumPy arrays.

    Raises:
      InputError: the file is missing or not readable, or has a key too few, a key too many, or one of another
        shape, or with values that are no finite numbers; the message names it.
    """
    weights = weights_file.read(path)
    file = _File(path, weights, shape)
    params = jax.tree_util.tree_map_with_path(
        lambda names, leaf: file.take([part.key for part in names], leaf.shape), shapes["params"]
    )
    file.check_rest(blocks)
    rule = positions_of(shape, positions or _codebase(weights))
    stored = next((key for key in weights if key.endswith(".periods")), None)
    if stored and not positions:
        rule = {"periods": file.exactly(stored, rule["periods"].shape)}
    return {"params": params, POSITIONS: rule}


def positions_of(shape: Architecture, codebase: str) -> dict[str, np.ndarray]:
    """Returns the variables "positions" that follow a codebase's rule."""
    if shape.grid:
        return {"rule": table_rule(codebase, shape.registers)}
    return {"periods": periods(codebase, shape.width // shape.heads)}


def _codebase(weights: weights_file.Weights) -> str:
    """Whose names a file has: Meta's keep the mask token of training, which timm's do without."""
    if any(key.startswith("embeddings.") for key in weights):
        return TRANSFORMERS
    return OFFICIAL if "mask_token" in weights else TIMM


class _File:
    """A file's weights, of which each is taken once.

    Attributes:
      path: for sentences.
    """

    def __init__(self, path: Path, weights: weights_file.Weights, shape: Architecture) -> None:
        self.path = path
        self._weights = weights
        self._shape = shape
        self._named = {_name(key): key for key in weights}
        self._left = {name for name in self._named if not _LEFT_OUT.fullmatch(name)}

    def take(self, names: list[str], shape: tuple[int, ...]) -> np.ndarray:
        """Returns a parameter by the names that lead to it."""
        if names == ["position"]:
            return self._table(shape)
        if names == ["cls_token"]:
            return self._exactly("cls_token", (1, *shape)).reshape(shape) + self._table_of_token(shape)
        name = _place(names)
        if names[0] == "registers":
            return self._exactly(name, (1, *shape))[0]
        if names == ["patch", "kernel"]:
            side = self._shape.patch
            stored = self._exactly(name, (shape[1], 3, side, side))
            return np.ascontiguousarray(stored.transpose(2, 3, 1, 0)).reshape(shape)
        if names[-1] == "kernel":
            return np.ascontiguousarray(self._part(name, shape[::-1]).T)
        return self._part(name, shape)

    def exactly(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """Returns what the file has under a key of its own."""
        weight = self._weights[key]
        if weight.shape != shape:
            raise InputError(
                f"{self.path}: {key} has the shape {weight.shape}, the network needs {shape}; choose the "
                "weights of the backbone that is configured."
            )
        found = finite(weight, self.path, key)
        if found.ndim > 1 and not found.any():
            raise InputError(f"{self.path}: {key} is zero throughout; download the weights again.")
        return found

    def check_rest(self, blocks: int) -> None:
        """Makes sure that nothing is left but what has no place by rule."""
        for name in sorted(self._left):
            block = re.match(r"blocks\.(\d+)\.", name)
            unbuilt = block and blocks <= int(block[1]) < self._shape.depth
            if not (unbuilt or name.startswith("norm.")):  # which is there where the last norm is
                key = self._named[name]
                raise InputError(
                    f"{self.path}: {key} of shape {self._weights[key].shape} has no place in the network; "
                    "choose the weights of the backbone that is configured."
                )

    def _part(self, name, shape):
        """A weight, be it by itself or a part of one in which several are stacked."""
        if name in self._named:
            stacked = name.endswith((".mlp.up.weight", ".mlp.up.bias")) and self._shape.gated
            if not (stacked and f"{name.rpartition('.mlp.')[0]}.mlp.gate.weight" not in self._named):
                return self._exactly(name, shape)
        for parts, whole in _STACKED:
            match = re.fullmatch(rf"(.*\.)({'|'.join(parts)})\.(weight|bias)", name)
            for stack in whole if match else ():
                stored = f"{match[1]}{stack}.{match[3]}"
                if stored in self._named:
                    return self._slice(stored, parts.index(match[2]), len(parts), shape)
        if re.fullmatch(r".*\.attn\.(query|value)\.bias", name) and not self._shape.key_bias:
            return self._zeros(name, shape)
        return self._exactly(name, shape)

    def _slice(self, name, index, count, shape):
        whole = self._exactly(name, (count * shape[0], *shape[1:]))
        return whole[index * shape[0] : (index + 1) * shape[0]]

    def _zeros(self, name, shape):
        """What timm's files of DINOv3 do without: biases that are zero in what Meta publishes."""
        block = name.rpartition(".attn.")[0]
        stored = {f"{block}.attn.{part}.bias" for part in ("query", "key", "value", "qkv")}
        if stored & self._named.keys() or f"{block}.attn.qkv.weight" not in self._named:
            return self._exactly(name, shape)
        return np.zeros(shape, np.float32)

    def _table(self, shape):
        return self._whole_table(shape)[-shape[0] * shape[1] :].reshape(shape)

    def _table_of_token(self, shape):
        """The class token's own position, which timm's files with registers have added already."""
        if not self._shape.grid:
            return np.zeros(shape, np.float32)
        table = self._whole_table((self._shape.grid, self._shape.grid, shape[-1]))
        return table[:1] if len(table) > self._shape.grid**2 else np.zeros(shape, np.float32)

    def _whole_table(self, shape):
        cells = shape[0] * shape[1]
        known = self._weights[self._key("pos_embed", (1, 1 + cells, shape[2]))].shape
        folded = known == (1, cells, shape[2]) and self._shape.registers
        return self._exactly("pos_embed", (1, cells + (0 if folded else 1), shape[2]))[0]

    def _exactly(self, name, shape):
        key = self._key(name, shape)
        self._left.discard(name)
        return self.exactly(key, shape)

    def _key(self, name, shape):
        if name not in self._named:
            raise InputError(
                f"{self.path}: the weight {name} of shape {shape} (by Meta's name) is missing; is it another "
                "network's?"
            )
        return self._named[name]


_STACKED = [(("query", "key", "value"), ("qkv",)), (("gate", "up"), ("gate_up", "up"))]
"""Parts that files stack in this order, and what they then call them."""


def _name(key: str) -> str:
    for pattern, replacement in _NAMES:
        key = re.sub(f"^{pattern}", replacement, key)
    return key


def _place(names: list[str]) -> str:
    """The name of a parameter, by the names that lead to it."""
    name = ".".join(_PLACES.get(part, part) for part in names)
    return re.sub(r"^block(\d+)", r"blocks.\1", name)
