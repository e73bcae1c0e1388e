"""What may follow the colon behind a configuration's file: `--config=configs/NAME.py:fold=0,shots=5`."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from fsjax.errors import InputError


def parse(argument: str | None) -> dict[str, int]:
    """Reads e.g. "fold=0,shots=5": whole numbers for fold, ways, shots, seed.

    Raises:
      InputError: for anything else.

    >>> parse("fold=1,shots=5")
    {'fold': 1, 'shots': 5}
    """
    given = {}
    for part in filter(None, (argument or "").split(",")):
        name, _, value = part.partition("=")
        if name not in ("fold", "ways", "shots", "seed") or not value.isdecimal():
            raise InputError(
                f"{part!r} behind the configuration's colon is unknown: write fold=, ways=, shots= or seed= "
                "and a number."
            )
        given[name] = int(value)
    return given


def apply(config: ConfigDict, argument: str | None, parts: Sequence[str] = ("train", "eval")) -> ConfigDict:
    """Sets what the argument gives; ways and shots are set in the named parts of the configuration.

    Raises:
      InputError: as `parse`.
    """
    for name, value in parse(argument).items():
        for part in (config,) if name in ("fold", "seed") else (config[part] for part in parts):
            part[name] = value
    return config
