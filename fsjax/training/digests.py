"""Whether a checkpoint is what was saved: the hash of each of its leaves, and of what lies beside them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

LEAVES = "sha256"
"""Beside the configuration: the digest of every leaf of the state, since fsjax 0.5."""

REST = "rest_sha256"
"""Beside those: the digest of all that is stored with the state, them included, since fsjax 0.6."""

_KNOWN = {"version", "config", "found", LEAVES, REST}

Leaves = Mapping[str, Any]


def leaves(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by their dotted names, those of tuples by their number."""
    found = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    return {dotted(path): leaf for path, leaf in found}


def dotted(path: tuple[Any, ...]) -> str:
    """Returns the name of a leaf from its path in a tree."""
    return ".".join(_key(part) for part in path)


def seal(stored: Mapping[str, Any], arrays: Leaves) -> dict[str, Any]:
    """Returns what is stored with a state, and the digests by which both can be checked."""
    sealed = {**stored, LEAVES: {name: _digest(array) for name, array in arrays.items()}}
    return {**sealed, REST: _digest_of_rest(sealed)}


def unsealed(sealed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was given to `seal`."""
    return {name: value for name, value in sealed.items() if name not in (LEAVES, REST)}


def differs(sealed: Mapping[str, Any], arrays: Leaves) -> str:
    """Says in what a checkpoint differs from what was saved, "" where it does not.

    An older fsjax wrote down no digests, or those of the leaves alone.

    Args:
      sealed: what is stored with the state.
      arrays: all leaves of the state.
    """
    if REST in sealed and sealed[REST] != _digest_of_rest(sealed):
        return "its configuration is not what was saved"
    unknown = sealed.keys() - _KNOWN
    if sealed.keys() & {LEAVES, REST} and unknown:
        return f"{min(unknown)} is stored in it, which is unknown here"
    saved = sealed.get(LEAVES, {})
    for name in sorted(arrays.keys() | saved.keys()):
        if name not in arrays:
            return f"{name} is missing"
        if LEAVES in sealed and saved.get(name) != _digest(arrays[name]):
            return f"{name} is not what was saved"
        if not np.isfinite(arrays[name]).all():
            return f"{name} is not finite"
    return ""


def _digest_of_rest(sealed: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in sealed.items() if name != REST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _digest(leaf: Any) -> str:
    """Returns the sha256 of a leaf's type, shape and bytes."""
    array = np.asarray(leaf)
    return hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()


def _key(part: Any) -> str:
    return str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part))))
