"""fsjax's variables as PyTorch's, and back."""

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.against_pytorch.problem import Arrays

_NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def load(module: nn.Module, variables: Arrays) -> None:
    """Puts fsjax's variables into a module of all of them, "backbone" and "head"."""
    state = {torch_name(name): torch.from_numpy(_to_torch(name, array)) for name, array in variables.items()}
    counters = {name for name in module.state_dict() if name.endswith("num_batches_tracked")}
    found = module.load_state_dict(state, strict=False)
    assert not found.unexpected_keys, found.unexpected_keys
    assert set(found.missing_keys) <= counters, found.missing_keys


def changes(parameters: Mapping[str, Tensor], variables: Arrays) -> Arrays:
    """Returns by how much parameters differ from the variables they began as, by fsjax's names."""
    found = {}
    for name, before in variables.items():
        parameter = parameters.get(torch_name(name))
        if parameter is not None:
            after = _to_fsjax(name, parameter.detach().float().cpu().numpy())
            found["change/" + name.replace("backbone/params/", "backbone/")] = after - before
    return found


def torch_name(name: str) -> str:
    """Returns what torchvision would call a variable.

    >>> torch_name("backbone/params/layer1_0/downsample_bn/scale")
    'backbone.layer1.0.downsample.1.weight'
    """
    name = re.sub("^backbone/(params|batch_stats)/", "backbone/", name)
    name = re.sub(r"layer(\d+)_(\d+)/", r"layer\1/\2/", name)
    name = name.replace("downsample_conv", "downsample/0").replace("downsample_bn", "downsample/1")
    *path, last = name.split("/")
    return ".".join([*path, _NAMES.get(last, last)])


def _to_torch(name: str, array: np.ndarray) -> np.ndarray:
    if name.endswith("/kernel"):
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    return np.array(array, order="C")


def _to_fsjax(name: str, array: np.ndarray) -> np.ndarray:
    if name.endswith("/kernel"):
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    return array
