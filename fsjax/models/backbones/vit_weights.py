"""Weights of DINOv2 and DINOv3, in the names of Meta's code, of transformers or of timm.

Every key is accounted for: it is placed, left out by a rule (`_LEFT_OUT`, and blocks that are not built), or
an error. A key is first brought to one name, Meta's for DINOv2 with queries, keys and values apart.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fsjax.errors import InputError
from fsjax.models.backbones import weights_file
from fsjax.models.backbones.architecture import Architecture
from fsjax.models.backbones.positions import OFFICIAL, TIMM, TRANSFORMERS, periods, table_rule
from fsjax.models.backbones.pretrained import finite
from fsjax.models.backbones.vit import POSITIONS

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
    "position": "pos_embed", "registers": "register_tokens", "patch": "patch_embed.proj",
    "attention": "attn", "out": "proj", "scale1": "gamma_1", "scale2": "gamma_2",
    "kernel": "weight", "scale": "weight",
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
    if not (shape.grid or positions):
        stored = file.periods(rule["periods"].shape)
        rule = rule if stored is None else {"periods": stored}
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
        self._shape = shape
        self._named: dict[str, tuple[str, np.ndarray]] = {}
        for name, (key, weight) in _apart(weights, shape.gated):
            if name in self._named:
                raise InputError(
                    f"{path}: {self._named[name][0]} and {key} are one weight, by two codebases' names; "
                    "download the weights again."
                )
            self._named[name] = key, weight
        self._left = {name for name in self._named if not _LEFT_OUT.fullmatch(name)}

    def take(self, names: list[str], shape: tuple[int, ...]) -> np.ndarray:
        """Returns a parameter by the names that lead to it."""
        name = _place(names)
        if names == ["position"]:
            return self._table()[-shape[0] * shape[1] :].reshape(shape)
        if names == ["cls_token"]:
            return self._exactly(name, (1, *shape))[0] + self._own_position()
        if names == ["registers"]:
            return self._exactly(name, (1, *shape))[0]
        if names == ["patch", "kernel"]:
            side = self._shape.patch
            stored = self._exactly(name, (shape[1], 3, side, side))
            return np.ascontiguousarray(stored.transpose(2, 3, 1, 0)).reshape(shape)
        if names[-1] == "kernel":
            return np.ascontiguousarray(self._exactly(name, shape[::-1]).T)
        if name.endswith((".query.bias", ".value.bias")) and self._without_bias(name):
            return np.zeros(shape, np.float32)
        return self._exactly(name, shape)

    def check_rest(self, blocks: int) -> None:
        """Makes sure that nothing is left but what has no place by rule."""
        for name in sorted(self._left):
            block = re.match(r"blocks\.(\d+)\.", name)
            unbuilt = block and blocks <= int(block[1]) < self._shape.depth
            if not (unbuilt or name in ("norm.weight", "norm.bias") or self._is_masked(name)):
                key, weight = self._named[name]
                raise InputError(
                    f"{self.path}: {key} of shape {weight.shape} has no place in the network; choose the "
                    "weights of the backbone that is configured."
                )

    def periods(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Returns the periods of rotations, if the file has them."""
        name = next((name for name in self._named if name.endswith(".periods")), None)
        return self._exactly(name, shape) if name else None

    def _without_bias(self, name):
        """Whether a block has no bias there: timm's DINOv3, as those that Meta publishes are zero."""
        attention = name.rpartition(".attn.")[0] + ".attn."
        biases = {f"{attention}{part}.bias" for part in ("query", "key", "value")}
        return not (self._shape.key_bias or biases & self._named.keys())

    def _is_masked(self, name):
        """Whether this is a bias of keys that counts for nothing in DINOv3."""
        if not name.endswith(".attn.key.bias") or self._shape.key_bias:
            return False
        mask = name.replace(".key.bias", ".qkv.bias_mask")
        return mask in self._named or not self._named[name][1].any()

    def _own_position(self):
        """The class token's own position, which timm's files with registers have added already."""
        if not self._shape.grid:
            return 0
        table = self._table()
        return table[:1] if len(table) > self._shape.grid**2 else 0

    def _table(self):
        name, (cells, width) = "pos_embed", (self._shape.grid**2, self._shape.width)
        known = self._named[name][1].shape if name in self._named else ()
        folded = self._shape.registers and known == (1, cells, width)
        return self._exactly(name, (1, cells if folded else cells + 1, width))[0]

    def _exactly(self, name, shape):
        if name not in self._named:
            raise InputError(
                f"{self.path}: the weight {name} of shape {shape}, by Meta's name, is missing; is it another "
                "network's?"
            )
        self._left.discard(name)
        key, weight = self._named[name]
        if weight.shape != shape:
            raise InputError(
                f"{self.path}: {key} has the shape {weight.shape}, the network needs {shape} of it; choose "
                "the weights of the backbone that is configured."
            )
        found = finite(weight, self.path, key)
        if not (found.any() or name.endswith(".bias")):
            raise InputError(f"{self.path}: {key} is zero throughout; download the weights again.")
        return found


_STACKED = {"qkv": ("query", "key", "value"), "gate_up": ("gate", "up")}
"""What files stack, and its parts in their order."""


def _apart(weights: weights_file.Weights, gated: bool) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    """Yields every weight by its one name, the parts of a stack by themselves, with the file's name of it."""
    names = {key: name_of(key) for key in sorted(weights)}
    for key, name in names.items():
        if gated and name.replace(".up.", ".gate.") not in names.values():
            name = name.replace(".mlp.up.", ".mlp.gate_up.")  # timm's DINOv2
        before, _, last = name.rpartition(".")
        stack = before.rpartition(".")[2]
        if last in ("weight", "bias") and stack in _STACKED and len(weights[key]) % len(_STACKED[stack]) == 0:
            parts = np.split(weights[key], len(_STACKED[stack]))
            for part, weight in zip(_STACKED[stack], parts, strict=True):
                yield f"{before.removesuffix(stack)}{part}.{last}", (key, weight)
        else:
            yield name, (key, weights[key])


def name_of(key: str) -> str:
    """Returns the one name of a key, whoever's the file is; what is stacked keeps the stack's."""
    for pattern, replacement in _NAMES:
        key = re.sub(f"^{pattern}", replacement, key)
    return key


def _place(names: list[str]) -> str:
    """The name of a parameter, by the names that lead to it."""
    name = ".".join(_PLACES.get(part, part) for part in names)
    return re.sub(r"^block(\d+)", r"blocks.\1", name)
