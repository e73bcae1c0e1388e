"""Data sets: what prepares them, and one function that opens what was prepared."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets import shapes
from datasets.prepared import (
    FORMAT,
    DamagedError,
    PreparedList,
    about_of,
    command,
    is_prepared,
    place_of,
)
from fsjax import distributed
from fsjax.data.source import Source
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)

DRAWN = "drawn"


def load(config: Any) -> dict[str, Source]:
    """Opens the data set that `config.data` describes; only `shapes` needs not be prepared before.

    Args:
        config: `config.data`: `name`, `tfds_dir`, `train_list`, `test_list`, and, for the folds, `split`,
            `folds`, `fold_count` and `fold_seed`.

    Returns:
        The lists that are the splits "train" and "test".

    Raises:
        InputError: there is no such data set, list, table of folds or class, or files are damaged or out of
            reach.
    """
    try:
        return _load(config)
    except OSError as error:
        raise InputError(
            f"The data set {config.name} cannot be read or written ({error}): see config.data.tfds_dir."
        ) from error


def at_hand(config: Any) -> tuple[dict[str, Source], str]:
    """Opens a data set as `load` does, or says why it is not there.

    Args:
        config: `config.data`, as in `load`.

    Returns:
        The lists; where the data set was not prepared, none, and the sentence that `load` refuses it with.

    Raises:
        InputError: as `load`, but for that.
    """
    folder = Path(config.tfds_dir).expanduser().absolute()
    if config.name == shapes.NAME or is_prepared(place_of(folder, config.name)):
        return load(config), ""
    return {}, str(_not_there(folder, config.name))


def _load(config: Any) -> dict[str, Source]:
    tfds_dir = Path(config.tfds_dir).expanduser().absolute()
    if config.name != shapes.NAME:
        return _opened(config, tfds_dir)
    if distributed.is_main():
        sources = _of_shapes(config, tfds_dir)
    distributed.barrier("drawn")  # for all that share the disk
    return sources if distributed.is_main() else _of_shapes(config, tfds_dir)


def _of_shapes(config: Any, tfds_dir: Path) -> dict[str, Source]:
    """Opens what is drawn where it is missing or damaged."""
    try:
        return _opened(config, tfds_dir)
    except DamagedError as error:
        LOG.warning("%s", error)
    shapes.prepare(tfds_dir)
    return _opened(config, tfds_dir)


def _opened(config: Any, tfds_dir: Path) -> dict[str, Source]:
    place, about = described(tfds_dir, config.name)
    folds = _folds(config, about)
    about["title"] = _title(config, about)
    chosen = zip(("train", "test"), (config.train_list, config.test_list), about["usual"], strict=True)
    return {
        part: PreparedList(place, about, _list(name or usual, about, config.name), folds)
        for part, name, usual in chosen
    }


def described(tfds_dir: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Returns where a data set's records are, and what it says of itself; `shapes` is drawn where needed.

    Args:
        tfds_dir: the folder for built data sets.
        name: what it is called.

    Raises:
        InputError: it was not prepared, or is damaged.
    """
    place = place_of(tfds_dir, name)
    if not is_prepared(place):
        if name != shapes.NAME:
            raise _not_there(tfds_dir, name)
        shapes.prepare(tfds_dir)
    about = about_of(place)
    if name == shapes.NAME and (about["kind"], about["version"]) != (shapes.NAME, shapes.VERSION):
        raise InputError(
            f"{place.parent} is not of this version of {name}: delete the folder; it is drawn anew."
        )
    return place, about


def _not_there(tfds_dir: Path, name: str) -> InputError:
    there = sorted(path.name for path in tfds_dir.glob("*") if is_prepared(path / FORMAT))
    known = f" (there is {', '.join(there)})" if there else ""
    return InputError(
        f"There is no data set {name} in {tfds_dir}{known}: prepare it with {command(tfds_dir, name)}, or "
        "name another with config.data.name."
    )


def _list(name: str, about: Mapping[str, Any], data_set: str) -> str:
    if name not in about["lists"]:
        other = f"{name}_derived"
        if other in about["lists"]:
            raise InputError(
                f"{data_set} has no list {name!r}, because what was derived differs from the published one: "
                f"give datasets.prepare a folder DIR with the published list by --lists, called "
                f"DIR/{name}.txt, or DIR/{name}/fold0.txt and so on; or take {other}."
            )
        raise InputError(f"{data_set} has no list {name!r}: it has {', '.join(about['lists'])}.")
    return name


def _folds(config: Any, about: Mapping[str, Any]) -> list[list[int]]:
    """Returns the class ids that each fold holds out; classes that are left out are in none."""
    names, tables = about["class_names"], about["folds"]
    left_out = {_class_id(name, names, "leave_out") for name in config.leave_out}
    if config.folds:
        folds = [[_class_id(name, names, "folds") for name in fold] for fold in config.folds]
    else:
        split = config.split or next(iter(tables), DRAWN)
        folds = _shapes(config, len(names)) if split == DRAWN else tables.get(split)
        if folds is None:
            raise InputError(
                f"{config.name} has no folds {split!r}: set data.split to {' or '.join([*tables, DRAWN])}."
            )
    return [[class_id for class_id in fold if class_id not in left_out] for fold in folds]


def _title(config: Any, about: Mapping[str, Any]) -> str:
    """Returns what reports call the data: a benchmark's name only with a table of folds of its own, whole."""
    title = about["title"]
    if about["folds"] and (config.folds or config.split == DRAWN):
        title += ", other folds"
    if config.leave_out:
        title += f", {len(config.leave_out)} classes left out"
    return title


def _shapes(config: Any, classes: int) -> list[list[int]]:
    """Deals the classes to folds whose sizes differ by one at most."""
    if classes < config.fold_count:
        raise InputError(
            f"data.fold_count is {config.fold_count}, and {config.name} has {classes} "
            f"class{'es' * (classes != 1)}: lower it, or name the classes of each fold with data.folds."
        )
    dealt = np.random.default_rng(config.fold_seed).permutation(classes) + 1
    return [sorted(dealt[fold :: config.fold_count].tolist()) for fold in range(config.fold_count)]


def _class_id(name: str, names: Sequence[str], field: str) -> int:
    if name not in names:
        nearest = difflib.get_close_matches(name, names, 1, cutoff=0)[0]
        raise InputError(
            f"data.{field} has the class {name!r}, which the data set has not: is it {nearest!r}?"
        )
    return list(names).index(name) + 1
