"""Data sets: TFDS builders, and one function that opens what they built."""

from pathlib import Path
from typing import Any

from datasets import pascal5i, shapes
from fsjax.data.source import Source
from fsjax.errors import InputError


def load(config: Any) -> dict[str, Source]:
    """Opens the data set that `config.data` describes, after building it where that has not been done.

    Args:
        config: `config.data`: `name` ("shapes" or "pascal5i") and `tfds_dir`, the folder for built data sets;
            for pascal5i also `dir`, `train_list`, `test_list` and `folds`, see `pascal5i.load`.

    Returns:
        The splits "train" and "test".

    Raises:
        InputError: the name is unknown, or files are missing or damaged, or a folder is out of reach.
    """
    try:
        return _load(config)
    except OSError as error:
        raise InputError(
            f"The data set {config.name} cannot be read or written ({error}): "
            "see config.data.dir and config.data.tfds_dir."
        ) from error


def _load(config: Any) -> dict[str, Source]:
    tfds_dir = Path(config.tfds_dir).expanduser().absolute()
    if config.name == "shapes":
        return shapes.load(tfds_dir)
    if config.name == "pascal5i":
        return pascal5i.load(
            tfds_dir,
            Path(config.dir).expanduser(),
            train_list=config.train_list,
            test_list=config.test_list,
            folds=config.folds,
        )
    if config.name == "coco20i":
        raise InputError(
            "The data set coco20i is still to come: choose shapes or pascal5i for config.data.name."
        )
    raise InputError(f"config.data.name is {config.name!r}: choose shapes or pascal5i.")
