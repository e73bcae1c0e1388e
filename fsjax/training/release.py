"""A trained model as one file for others: variables, configuration, and what made it.

A safetensors file whose header (`release_header`) holds the rest as JSON; nothing of it is ever unpickled.
DPNet's auxiliary branch, which only training and ablations need, is left out.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load, save

import fsjax
from fsjax.config import TABLE, Found, check, store, upgrade
from fsjax.errors import InputError
from fsjax.files import replacing
from fsjax.models import build
from fsjax.models.backbones import hub
from fsjax.models.method import Networked
from fsjax.models.variables import Variables
from fsjax.training import frozen
from fsjax.training.release_header import damaged, is_export, sealed, unsealed
from fsjax.training.runs import Run
from fsjax.training.step import trainable

__all__ = ["SUFFIX", "Export", "export_run", "is_export", "read"]

SUFFIX = ".safetensors"

_OF_THE_MACHINE = ("compilation_cache", "data.tfds_dir", "data.feature_dir")
"""Fields that name folders of whoever trained; a file for others has their defaults."""

_AUXILIARY = "aux_decoder"
"""What the parameters of DPNet's auxiliary branch are called in its head."""


@dataclass(frozen=True, eq=False)
class Export:
    """An exported model.

    Attributes:
      path: of the file.
      config: of its run, as it describes the exported model.
      found: what the run found out.
      method: that the configuration describes, without an auxiliary branch.
      variables: of the method.
      header: all that the file says of itself, as JSON has it: "method", "step" of the checkpoint,
        "selected" (whether it was the best of those that the run measured), "as_trained" (fields that were
        others in training), "parameters" (how many, without a network's statistics), "variables_sha256",
        "checkpoint_sha256" (of the run's variables, with what was left out; it stands in results.json,
        too), "fsjax" (the version that exported it), and "made_by" and "evaluation" as they were given.
    """

    path: Path
    config: ConfigDict
    found: Found
    method: Networked
    variables: Variables = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)


def export_run(
    folder: str | Path,
    file: str | Path,
    step: int | None = None,
    made_by: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> str:
    """Writes the model of a run as one file, whole or not at all, and returns the sha256 of the file.

    Args:
      folder: of the run.
      file: a .safetensors; an earlier export is replaced.
      step: of the checkpoint; by default the best where the run selects one, else the latest.
      made_by: versions, commit and device, to stand in the header; as JSON has them.
      evaluation: scores, likewise. They are left out unless their "checkpoint_sha256" is this checkpoint's.

    Raises:
      InputError: there is no such run or checkpoint, it is damaged, its master branch was never trained
        (`model.dpnet.aux_only`), or another file is in the way.
    """
    path = _checked_place(file)
    run = Run.open(folder, step)
    method = build.method(run.config.model)
    trained = run.variables(method)
    config, changed = _released(run.config, folder)
    variables, sha256 = _without_auxiliary(trained), frozen.digest(trained)
    flat = _flat(variables)
    header = {
        "method": config.model.name,
        "step": run.step,
        "selected": run.selected,
        "as_trained": changed,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(trainable(variables))),
        "variables_sha256": frozen.digest(variables),
        "checkpoint_sha256": sha256,
        "fsjax": fsjax.__version__,
        "made_by": made_by,
        "evaluation": evaluation if (evaluation or {}).get("checkpoint_sha256") == sha256 else None,
        **store(config, run.found),
    }
    data = save(flat, metadata=sealed(header))
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def configuration(path: str | Path) -> ConfigDict:
    """Returns the configuration of an exported model, from its header alone.

    Raises:
      InputError: as `read`, but for its arrays.
    """
    return _described(Path(path), unsealed(Path(path), _content(Path(path))))[0]


def read(path: str | Path) -> Export:
    """Reads an exported model, of this or an older fsjax, and makes sure of every array in it.

    Raises:
      InputError: it is no exported model, of a newer fsjax, damaged, or does not fit its configuration.
    """
    path = Path(path)
    data = _content(path)
    header = unsealed(path, data)
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise damaged(path, str(error).rstrip(".")) from error
    if frozen.digest(arrays) != header.get("variables_sha256"):
        raise damaged(path, "its arrays are not those that were written")
    config, found, method = _described(path, header)
    variables = _placed(path, arrays, jax.eval_shape(method.init, jax.random.key(0)))
    return Export(path, config, found, method, variables, header)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: name an exported model.")
    return path.read_bytes()


def _described(path: Path, header: Mapping[str, Any]) -> tuple[ConfigDict, Found, Networked]:
    """Returns what a header says of its model, of this or an older fsjax."""
    try:
        config, found = upgrade({name: header.get(name) for name in ("version", "config", "found")})
        check(config)
        return config, found, build.method(config.model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checked_place(file: str | Path) -> Path:
    """Returns where an export may be written."""
    path = Path(file)
    if path.suffix != SUFFIX:
        raise InputError(f"{path} is to be a safetensors file: let its name end in {SUFFIX}.")
    if path.exists() and not path.is_dir() and not is_export(path):
        raise InputError(f"{path} is there already and is no exported model: name another file.")
    return path


def _released(config: ConfigDict, folder: str | Path) -> tuple[ConfigDict, dict[str, Any]]:
    """Returns the configuration of an exported model, and of the fields that were others in training these.

    Folders of the machine are neither kept nor mentioned.
    """
    released, changed = config.copy_and_resolve_references(), {}
    for name in _OF_THE_MACHINE:
        released.update_from_flattened_dict({name: TABLE[name].default})
    if hub.parse(config.model.weights) is None:
        released.model.weights = Path(config.model.weights).name
    if config.model.name == "dpnet" and config.model.dpnet.auxiliary:
        if config.model.dpnet.aux_only:
            raise InputError(
                f"{folder} was trained with model.dpnet.aux_only, and an exported model drops the auxiliary "
                "branch, the only one that has learned: train without aux_only to export a model."
            )
        without = {"model.dpnet.auxiliary": False, "model.dpnet.lambda1": 0.0}
        changed = {name: config.model.dpnet[name.rpartition(".")[2]] for name in without}
        rows = tuple(row for row in config.eval.rows if row != "aux")  # there is no such output any more
        released.update_from_flattened_dict({**without, "eval.rows": rows or ("master",)})
    return released, changed


def _without_auxiliary(variables: Variables) -> Variables:
    """Returns the variables without those of DPNet's auxiliary branch."""
    head = {name: part for name, part in variables["head"].items() if name != _AUXILIARY}
    return {**variables, "head": head}


def _flat(variables: Variables) -> dict[str, np.ndarray]:
    """Returns the arrays by their names, backbone.params.layer1_0.conv1.kernel and so on."""
    arrays = jax.tree.map(lambda leaf: np.asarray(leaf, order="C"), variables)  # scalars stay scalars
    return cast(dict[str, np.ndarray], traverse_util.flatten_dict(arrays, sep="."))


def _placed(path: Path, arrays: Mapping[str, np.ndarray], like: Variables) -> Variables:
    """Returns the arrays of a file in a tree like the method's variables.

    Raises:
      InputError: one is missing, too many, of another shape or type, or not finite.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    wanted = {".".join(part.key for part in names): leaf for names, leaf in leaves}
    for name in sorted(wanted.keys() ^ arrays.keys()):
        what = "lacks" if name in wanted else "has, besides the variables of its method,"
        raise InputError(f"{path} {what} the array {name}: export the model again.")
    for name, leaf in wanted.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise InputError(
                f"{path}: {name} is {array.dtype} {array.shape}, and its method needs {leaf.dtype} "
                f"{leaf.shape}: export the model again."
            )
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds values that are not finite: export the model again.")
    return cast(Variables, jax.tree_util.tree_unflatten(tree, [arrays[name] for name in wanted]))
