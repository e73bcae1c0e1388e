"""Configurations from files and from the command line."""

import traceback
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from fsjax import experiment
from fsjax.compilation import keep_compiled
from fsjax.config import TABLE, Field, check_names
from fsjax.config import trains as trains_anything
from fsjax.config.fields import nearest
from fsjax.config.protocols import DATA_NAME, PROTOCOL, follow
from fsjax.errors import InputError
from fsjax.models import backbones

OPTIONS = "model.backbone_options."
CONFIGS = Path(__file__).parents[2] / "configs"


def of_any_network(settings: Sequence[str]) -> list[str]:
    """Returns settings without the options of a network: what can be checked before there is one."""
    return [setting for setting in settings if not setting.startswith(f"--config.{OPTIONS}")]


def load_config(place: str | Path) -> ConfigDict:
    """Returns what `get_config` returns in a file.

    Args:
      place: a Python file; what follows a colon is passed to `get_config`.

    Raises:
      InputError: there is no such file, it is broken, does not know what follows the colon, or has other
        fields than the table.
    """
    path, colon, argument = str(place).partition(":")
    if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        raise InputError(
            f"The configuration {path} is no ordinary file: name a Python file with a get_config."
        )
    if not (path.endswith(".py") and Path(path).is_file()):
        there = ", ".join(map(str, _configurations(Path(path).parent)))
        what = f"choose from {there}" if there else "name a Python file with a get_config"
        raise InputError(f"There is no configuration {path}: {what}.")
    module = ModuleType("config")
    try:
        SourceFileLoader("config", path).exec_module(module)
        config = module.get_config(*[argument] if colon else [])
    except InputError:
        raise
    except Exception as error:  # it is the user's program, and may fail in any way
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path
        ]
        where = f" in line {lines[-1]}" if lines else ""
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"The configuration {place} cannot be read{where}, {why[:300]}: mend it.") from error
    if not isinstance(config, ConfigDict):
        raise InputError(
            f"The configuration {place} cannot be read: its get_config returns {type(config).__name__}, "
            "and is to return fsjax.config.default() with its fields set."
        )
    check_names(config)
    return config


def _configurations(folder: Path) -> list[Path]:
    """Returns the configurations of a folder, or, where it has none, of the folder configs."""
    for place in (folder, Path("configs"), CONFIGS):
        files = [path for path in sorted(place.glob("*.py")) if path.is_file()]
        found = [path for path in files if b"def get_config(" in path.read_bytes()]
        if found:
            return found
    return []


def configured(
    source: str | Path | ConfigDict, arguments: Sequence[str], *, trains: bool = False
) -> ConfigDict:
    """Returns a configuration checked before any data is opened, and lets JAX keep what it compiles.

    Args:
      source: its file, or a configuration, which is copied.
      arguments: the fields that are set, see `set_fields`.
      trains: whether it is to be trained.

    Raises:
      InputError: for a configuration that cannot be read, is not sound, or trains nothing.
    """
    config = source.copy_and_resolve_references() if isinstance(source, ConfigDict) else load_config(source)
    config = set_fields(config, arguments)
    experiment.check_settings(config)
    if trains and not trains_anything(config):
        raise InputError(f"{source} trains nothing, train.steps being 0: give it to eval.py.")
    keep_compiled(config.compilation_cache)
    return config


def run_folder(config: ConfigDict) -> Path:
    """Returns the folder of a run for which none is named."""
    return Path(f"runs/{config.model.name}_{config.data.name}_fold{config.fold}")


def set_fields(config: ConfigDict, arguments: Sequence[str]) -> ConfigDict:
    """Returns a configuration after setting fields of it.

    Args:
      config: it is changed.
      arguments: "--config.FIELD=VALUE" each; VALUE may be words or numbers with commas between them.

    Raises:
      InputError: for an unknown field, naming the nearest, or a value that is not allowed.
    """
    pairs = [argument.removeprefix("--config.").partition("=") for argument in arguments]
    for name, _, text in sorted(pairs, key=lambda pair: _turn(pair[0])):
        known = TABLE | _options(config)
        if name not in known:
            raise InputError(_unknown(name, known))
        *sections, last = name.split(".")
        part = config
        for section in sections:
            part = part[section]
        part[last] = known[name].read(name, text)
        if name == PROTOCOL:
            follow(config, part[last])
    return config


def _turn(name: str) -> int:
    """Returns when a field is set: data decide what a protocol says, and a backbone what options it has."""
    first = (DATA_NAME, PROTOCOL)
    return first.index(name) if name in first else len(first) + name.startswith(OPTIONS)


def _options(config: ConfigDict) -> dict[str, Field]:
    """Returns the options of the configuration's backbone by their dotted names."""
    options = backbones.OPTIONS.get(str(config.model.backbone), {})
    return {OPTIONS + option: field for option, field in options.items()}


def _unknown(name: str, known: Mapping[str, Field]) -> str:
    inside = next((field for field in known if field.startswith(f"{name}.")), None)
    if inside:
        return f"{name} is a section of fields, not a value: set those in it, as --config.{inside}=value."
    return f"The configuration has no field {name}{nearest(name, known)}"
