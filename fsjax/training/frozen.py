"""The frozen extractor of a run: kept once beside the checkpoints, and known by its hash."""

import hashlib
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.models.variables import Variables

NAME = "backbone.safetensors"


def digest(backbone: Variables) -> str:
    """Returns the sha256 of an extractor's names, shapes and values."""
    found = hashlib.sha256()
    for name, array in sorted(_flat(backbone).items()):
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def keep(workdir: str | Path, backbone: Variables) -> str:
    """Writes a run's extractor to `workdir/backbone.safetensors`, whole or not at all; returns its hash."""
    with replacing(Path(workdir) / NAME) as temporary:
        temporary.write_bytes(save(_flat(backbone)))  # readable by others, which save_file's files are not
    return digest(backbone)


def restore(workdir: str | Path, like: Variables, sha256: str) -> Variables:
    """Returns a run's extractor.

    Args:
      workdir: the run's folder.
      like: variables, or their shapes, of the extractor that the configuration describes.
      sha256: what the run's checkpoints say of it.

    Raises:
      InputError: where the file is missing, damaged, or another extractor's.
    """
    path = Path(workdir) / NAME
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError(f"{NAME} is no ordinary file")
        flat = load(path.read_bytes())  # a memory map of a file that is cut short would end the process
        backbone = traverse_util.unflatten_dict(flat, sep=".")
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is missing or damaged ({error}): copy the whole folder of the run."
        ) from error
    if digest(backbone) != sha256:
        raise InputError(
            f"{path} is not the extractor that this run was trained on: copy the whole folder of the run."
        )
    shapes = {name: leaf.shape for name, leaf in traverse_util.flatten_dict(like, sep=".").items()}
    if shapes != {name: array.shape for name, array in flat.items()}:
        raise InputError(f"{path} is of another architecture than config.model.backbone describes.")
    return backbone


def _flat(backbone: Variables) -> dict[str, np.ndarray]:
    arrays = jax.tree.map(lambda leaf: np.ascontiguousarray(leaf), backbone)
    return traverse_util.flatten_dict(arrays, sep=".")
