"""Whether the configuration of a run that has begun fits another one."""

from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from fsjax.config.checking import flatten
from fsjax.config.table import TABLE
from fsjax.errors import InputError


def check_resumable(stored: ConfigDict, config: ConfigDict, workdir: str | Path) -> None:
    """Makes sure that the run in a folder goes on with the configuration that it began with.

    Args:
      stored: the run's.
      config: what it is to go on with.
      workdir: the folder.

    Raises:
      InputError: naming the first field that differs and may not.
    """
    check_equal(stored, config, workdir, lambda name: _free(name) in ("never", "evaluation"))


def check_evaluation_owns(stored: ConfigDict, config: ConfigDict, workdir: str | Path) -> None:
    """Makes sure that an evaluation of a run changes no field but its own.

    Args:
      stored: the run's.
      config: what it is to be evaluated with.
      workdir: the run's folder.

    Raises:
      InputError: naming the first field that differs and may not.
    """
    for name, before, now in _differing(stored, config):
        if _free(name) in ("never", "resume"):
            raise InputError(
                f"The run in {workdir} was made with {name}={before}, and an evaluation cannot change it to "
                f"{now}: leave the field out."
            )


def check_equal(
    stored: ConfigDict, config: ConfigDict, workdir: str | Path, matters: Callable[[str], bool]
) -> None:
    """Makes sure that a run and another configuration agree in the fields that matter.

    Args:
      stored: the run's.
      config: the other one.
      workdir: the run's folder.
      matters: says of a dotted name whether it does.

    Raises:
      InputError: naming the first field that differs.
    """
    for name, before, now in _differing(stored, config):
        if matters(name):
            raise InputError(
                f"The run in {workdir} began with {name}={before}, not {now}: "
                "keep its configuration, or name another folder."
            )


def _differing(stored: ConfigDict, config: ConfigDict) -> list[tuple[str, object, object]]:
    before, now = flatten(stored), flatten(config)
    names = sorted(before.keys() | now.keys())
    pairs = [(name, before.get(name, "unset"), now.get(name, "unset")) for name in names]
    return [(name, old, new) for name, old, new in pairs if _comparable(old) != _comparable(new)]


def _comparable(value: object) -> object:
    return tuple(map(_comparable, value)) if isinstance(value, tuple | list) else value


def _free(name: str) -> str:
    """Fields of sections left free describe a network, and never change."""
    return TABLE[name].free if name in TABLE else "never"
