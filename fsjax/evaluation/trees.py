"""What an evaluation puts aside: trees of arrays, in memory as far as it goes and on disk past it."""

from typing import Any

import jax
import numpy as np
from jax.tree_util import PyTreeDef

from fsjax.data.store import Store
from fsjax.errors import InputError


class Trees:
    """Trees of NumPy arrays under string keys."""

    def __init__(self, store: Store):
        """Begins without any.

        Args:
          store: keeps the arrays.
        """
        self._store = store
        self._structures: dict[str, PyTreeDef] = {}

    def put(self, key: str, tree: Any) -> None:
        """Stores a copy of a tree.

        Raises:
          InputError: a value is not finite, or there is no room on the disk.
        """
        arrays = _arrays(tree)
        if arrays:
            self._store.put(key, arrays)
        self._structures[key] = jax.tree.structure(tree)

    def keep(self, key: str, tree: Any) -> bool:
        """Stores a copy of a tree if memory has room; returns whether it had.

        Raises:
          InputError: a value is not finite.
        """
        kept = self._store.keep(key, _arrays(tree))
        if kept:
            self._structures[key] = jax.tree.structure(tree)
        return kept

    def get(self, key: str) -> Any:
        """Returns the tree of a key that is there, not to be written to.

        Raises:
          InputError: its file is damaged.
        """
        structure = self._structures[key]
        arrays = self._store.get(key) if structure.num_leaves else {}
        if arrays is None:
            raise InputError(
                "What was put aside on disk during the evaluation is damaged: evaluate again, with a larger "
                "eval.memory if the disk is at fault."
            )
        return jax.tree.unflatten(structure, [arrays[str(i)] for i in range(structure.num_leaves)])

    def __contains__(self, key: str) -> bool:
        """Whether a tree was stored."""
        return key in self._structures


def tree_bytes(tree: Any) -> int:
    """Returns how many bytes the arrays of a tree hold."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _arrays(tree: Any) -> dict[str, np.ndarray]:
    return {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
