"""Pretrained weights, from files with torchvision's key names, which are timm's, too.

A ResNet's holds `conv1.weight`, `bn1.running_mean`, `layer1.0.downsample.0.weight` and so on, with
convolutions OIHW. Every key is accounted for: it is loaded, left out by one of the rules in
`_is_left_out`, or an error.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.errors import InputError
from fsjax.models.backbones import weights_file
from fsjax.models.backbones.normalization import MEAN_BGR

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def load(path: str | Path, variables_shape: Mapping[str, Any], *, convention: str) -> dict[str, Any]:
    """Returns the variables of a ResNet, read from a weights file.

    Args:
      path: of a file that `weights_file.read` reads; its weights may be float16 or bfloat16.
      variables_shape: what `jax.eval_shape(resnet.init, ...)` returns, with the keys `params` and
        `batch_stats`; initialising the weights just to replace them would take seconds.
      convention: the ResNet's field of that name.

    Returns:
      A tree like `variables_shape` of float32 NumPy arrays, convolutions HWIO.

    Raises:
      InputError: the file is missing or not readable, is of another convention, or has a key too few,
        a key too many, or one of another shape, with values that are no finite numbers, negative variances
        or zeros alone where no trained network has them; the message names it.
    """
    weights = weights_file.read(Path(path))
    _check_convention(path, weights, convention)
    stages = max(int(name[len("layer")]) for name in variables_shape["params"] if name.startswith("layer"))
    return place(path, weights, variables_shape, _key, lambda key: _is_left_out(key, weights[key], stages))


def place(
    path: str | Path,
    weights: weights_file.Weights,
    variables_shape: Mapping[str, Any],
    key_of: Callable[[list[str]], str],
    is_left_out: Callable[[str], bool],
) -> dict[str, Any]:
    """Returns a network's variables, each taken from where a file has it; every key is accounted for.

    Args:
      path: of the file, for sentences.
      weights: what `weights_file.read` found in it.
      variables_shape: the shapes of the variables, in a tree.
      key_of: the file's key of a variable, given the names that lead to it.
      is_left_out: says of a key that has no place whether that is as it should be.

    Returns:
      A tree like `variables_shape` of float32 NumPy arrays, convolutions HWIO.

    Raises:
      InputError: as `load`.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(variables_shape)
    expected = {key_of([part.key for part in names]): leaf.shape for names, leaf in leaves}
    for key, shape in expected.items():
        if key not in weights:
            raise InputError(
                f"{path}: the weight {key} of shape {_stored(shape)} is missing; is it another network's?"
            )
        if weights[key].shape != _stored(shape):
            raise InputError(
                f"{path}: {key} has the shape {weights[key].shape}, the network needs {_stored(shape)}; "
                "choose the weights of the backbone that is configured."
            )
    for key in sorted(weights.keys() - expected.keys()):
        if not is_left_out(key):
            raise InputError(
                f"{path}: {key} of shape {weights[key].shape} has no place in the network; "
                "choose the weights of the backbone that is configured."
            )
    values = [_as_ours(weights[key], path, key) for key in expected]
    return jax.tree_util.tree_unflatten(tree, values)


def _key(names):
    """The file's key of a variable, e.g. layer1.0.downsample.0.weight."""
    _, *modules, leaf = names
    key = ".".join([*modules, _LEAVES[leaf]])
    key = key.replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")
    return re.sub(r"^layer(\d+)_(\d+)", r"layer\1.\2", key)


def _stored(shape):
    """The shape that a variable of this shape has in the file: OIHW for HWIO."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else tuple(shape)


def finite(weight: np.ndarray, path: str | Path, key: str) -> np.ndarray:
    """Returns a weight in float32.

    Args:
      weight: as a file has it.
      path: of that file, for sentences.
      key: its name there.

    Raises:
      InputError: it holds whole numbers, or values that are not finite.
    """
    if not jnp.issubdtype(weight.dtype, jnp.floating):
        raise InputError(f"{path}: {key} holds {weight.dtype}; name weights of floating-point numbers.")
    weight = weight.astype(np.float32)
    if not np.isfinite(weight).all():
        raise InputError(f"{path}: {key} holds values that are not finite; download the weights again.")
    return weight


def _as_ours(weight, path, key):
    weight = finite(weight, path, key)
    is_variance = key.endswith(_LEAVES["var"])
    if is_variance and (weight < 0).any():
        raise InputError(f"{path}: {key} holds negative variances; download the weights again.")
    if (is_variance or weight.ndim == 4) and not weight.any():
        raise InputError(f"{path}: {key} is zero throughout; download the weights again.")
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)) if weight.ndim == 4 else weight


def _is_left_out(key, weight, stages):
    """Whether a key belongs to what fsjax does without, by rule."""
    stage = re.match(r"layer(\d+)\.", key)
    return (
        key.startswith("fc.")
        or key.endswith(".num_batches_tracked")
        or (stage is not None and int(stage[1]) > stages)
        or key == "mean_bgr"  # checked on its own
        or (key == "conv1.bias" and not np.any(np.abs(weight) > 1e-6))  # Caffe's files carry it
    )


def _check_convention(path, weights, convention):
    mean = weights.get("mean_bgr")
    if mean is None:
        return
    if convention != "caffe":
        raise InputError(
            f"{path}: its mean_bgr says that it is of the caffe convention: set "
            "--config.model.backbone_options.convention=caffe."
        )
    if mean.shape != (3,) or np.abs(mean - np.asarray(MEAN_BGR)).max() > 0.01:
        raise InputError(f"{path}: it expects images minus mean_bgr {mean}, fsjax subtracts {MEAN_BGR}.")
