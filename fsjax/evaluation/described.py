"""What support photos show, as one process tells the others."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import PyTreeDef
from safetensors.numpy import load, save

from fsjax.segmenter import Segmenter

Asked = tuple[tuple[int, ...], int]
"""The classes of an episode's masks, and the way whose mask it is."""

Structures = tuple[PyTreeDef, PyTreeDef]
"""Of a photo's cells, and of what it shows under a mask."""


class Described(NamedTuple):
    """What several segmenters see in one support photo."""

    position: int
    names: Mapping[Asked, str]  # the hash of the mask that was asked for
    cells: Sequence[Any]  # by segmenter
    shown: Sequence[Mapping[str, Any]]  # by segmenter, then by the mask's hash


def structures(segmenter: Segmenter, side: int) -> Structures:
    """Returns how a segmenter's descriptions are built, without describing anything.

    Args:
      segmenter: it.
      side: of photos, in pixels.
    """
    method, variables = segmenter.method, segmenter.variables
    shape, size = jax.ShapeDtypeStruct, jax.ShapeDtypeStruct((2,), np.int32)
    photo = shape((1, side, side, 3), np.uint8), shape((1, 2), np.int32)
    features = jax.eval_shape(method.embed, variables, *photo)
    features = jax.tree.map(lambda x: shape(x.shape[1:], x.dtype), features)
    cells, shown = jax.eval_shape(method.describe, variables, features, shape((side, side), np.uint8), size)
    return jax.tree.structure(cells), jax.tree.structure(shown)


def pack(described: Sequence[Described]) -> bytes:
    """Returns descriptions as one line of JSON, and their arrays in the format of safetensors."""
    header, arrays = [], {}
    for i, one in enumerate(described):
        names = [[classes, way, name] for (classes, way), name in one.names.items()]
        header.append([one.position, names, list(one.shown[0])])
        for number, (cells, shown) in enumerate(zip(one.cells, one.shown, strict=True)):
            for name, tree in {"cells": cells, **shown}.items():
                for j, leaf in enumerate(jax.tree.leaves(tree)):
                    arrays[f"{i} {number} {name} {j}"] = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    return json.dumps(header).encode() + b"\n" + save(arrays)


def unpack(data: bytes, structures: Sequence[Structures]) -> Iterator[Described]:
    """Yields the descriptions that were packed.

    Args:
      data: of `pack`.
      structures: of each segmenter's descriptions.
    """
    line, _, rest = data.partition(b"\n")
    arrays = load(rest)

    def tree(structure: PyTreeDef, key: str) -> Any:
        return jax.tree.unflatten(structure, [arrays[f"{key} {j}"] for j in range(structure.num_leaves)])

    for i, (position, names, masks) in enumerate(json.loads(line)):
        yield Described(
            position,
            {(tuple(classes), way): name for classes, way, name in names},
            [tree(of_cells, f"{i} {number} cells") for number, (of_cells, _) in enumerate(structures)],
            [
                {name: tree(of_shown, f"{i} {number} {name}") for name in masks}
                for number, (_, of_shown) in enumerate(structures)
            ],
        )
