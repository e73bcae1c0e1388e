"""Files of weights, read as they are: name -> array."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.files import sha256_of

Weights = dict[str, np.ndarray]

SAFETENSORS = ".safetensors"
PYTORCH = (".pth", ".pt")
SUFFIXES = (".npz", SAFETENSORS, *PYTORCH)
"""How the names of files of weights end."""

_WRAPPERS = ("state_dict", "model")
"""What training programs call the weights in a .pth that holds more than them."""

_HASH = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8})\.pth$", re.ASCII)
"""The beginning of a file's SHA-256 that PyTorch's hub looks for in its name, as in resnet50-0676ba61.pth.

What may be a date, as in mine-20240131.pth, is none.
"""

_PARALLEL = "module."
"""What PyTorch's DataParallel puts before every name."""


def read(path: Path) -> Weights:
    """Returns the arrays of a file of weights by their names, in the types that are stored.

    Args:
      path: a .npz, a .safetensors or, where PyTorch is installed, a .pth or .pt, of which nothing but
        tensors is unpickled.

    Raises:
      InputError: the file is missing, damaged or of another kind.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: weights are read from .npz or .safetensors, and .pth where PyTorch is installed; name "
            "such a file."
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file; download the weights and give their path.")
    _check_name(path)
    weights = _from_pytorch(path) if path.suffix in PYTORCH else _from_arrays(path)
    if all(name.startswith(_PARALLEL) for name in weights):
        return {name.removeprefix(_PARALLEL): array for name, array in weights.items()}
    return weights


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a file's arrays by name; a .safetensors gives them without being read whole.

    Raises:
      InputError: as `read`.
    """
    if path.suffix != SAFETENSORS or not path.is_file():
        return {name: array.shape for name, array in read(path).items()}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {
                name.removeprefix(_PARALLEL): tuple(file.get_slice(name).get_shape())
                for name in file.keys()  # noqa: SIM118
            }
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error


def _check_name(path: Path) -> None:
    """Makes sure that a .pth has the hash that its name ends in, as torchvision's and timm's do."""
    told = _HASH.search(path.name)
    if told:
        sha256 = sha256_of(path)
        if not sha256.startswith(told[1]):
            raise InputError(
                f"{path}: the weights file is damaged, as its SHA-256 begins with {sha256[:8]} and its name "
                f"says {told[1]}; download it again, or rename it if it is meant to be another file."
            )


def _damaged(path: Path, error: Exception) -> InputError:
    why = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path}: the weights file is damaged ({why}); download it again.")


def _from_arrays(path: Path) -> Weights:
    try:
        if path.suffix == SAFETENSORS:
            return safetensors.numpy.load_file(path)
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except Exception as error:  # there is hardly one that zipfile does not raise of a damaged archive
        raise _damaged(path, error) from error


def _from_pytorch(path: Path) -> Weights:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise InputError(
            f"{path}: a {path.suffix} is read only where PyTorch is installed; where it is, write the file "
            "anew with safetensors.torch.save_file(state_dict, path), and name that one."
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's reader raises many types, those of pickle among them
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: the weights file is damaged or holds more than tensors ({reason}); download it again, "
            "or write it anew with safetensors.torch.save_file(state_dict, path)."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
        raise InputError(f"{path}: it holds no dict of tensors; name the file of a state_dict.")
    return {str(name): _array(tensor, torch.float32) for name, tensor in found.items()}


def _array(tensor: Any, float32: Any) -> np.ndarray:
    plain = tensor.detach()
    return (plain.to(float32) if plain.is_floating_point() else plain).numpy()
