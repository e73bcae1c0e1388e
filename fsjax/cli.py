"""What the command-line programs share: flags, configurations, one-sentence errors, exit codes."""

import difflib
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from fsjax.errors import InputError

INPUT_ERROR = 2
INTERRUPTED = 130  # as a shell says it


def run(program: Callable[[list[str]], None], argv: Sequence[str] | None = None) -> int:
    """Runs a program and returns its exit code.

    Args:
      program: takes the command line, its own name first.
      argv: the command line; the process's own by default.

    Returns:
      0; 2 after one sentence on standard error: the user's input or disk is at fault, or a loss is not
      finite; 130 where the user interrupted it.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    for ours in ("fsjax", "datasets"):
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        program(list(sys.argv if argv is None else argv))
    except (InputError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return INPUT_ERROR
    except OSError as error:
        print(f"error: {error}.", file=sys.stderr)
        return INPUT_ERROR
    except KeyboardInterrupt:
        print("\nStopped: the same command goes on from a training's last checkpoint.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(
    argv: Sequence[str], description: str, strings: dict[str, str]
) -> tuple[flags.FlagValues, list[str]]:
    """Parses a command line, all but the fields of the configuration.

    Args:
      argv: the program's name and its arguments.
      description: what --help prints first.
      strings: the program's flags, all strings: name -> meaning. Their default is "".

    Returns:
      The flags' values, and the arguments that set fields, "--config.FIELD=VALUE" each.

    Raises:
      InputError: for an unknown flag, naming the nearest, or an argument that is no flag.
    """
    if {"-h", "-help", "--help"} & set(argv):
        meanings = {
            **strings,
            "config.FIELD": "A field of the configuration; configs/common.py has them all.",
        }
        print(description, *(f"  --{name}=...  {meaning}" for name, meaning in meanings.items()), sep="\n")
        raise SystemExit(0)
    values = flags.FlagValues()
    values.set_gnu_getopt()  # known flags are found behind unknown ones, too
    for name, meaning in strings.items():
        flags.DEFINE_string(name, "", meaning, flag_values=values)
    try:
        _, *fields = values(list(argv), known_only=True)
    except flags.Error as error:
        raise InputError(f"{error}: write --name=value.") from error
    for argument in fields:
        name, equals, _ = argument.partition("=")
        if not name.startswith("-"):
            raise InputError(f"{argument!r} is not a flag: write --name=value.")
        if not name.startswith("--config."):
            raise InputError(f"There is no flag {name}{_nearest(name, [f'--{known}' for known in strings])}")
        if not equals:
            raise InputError(f"{name} has no value: write {name}=value.")
    return values, fields


def load_config(place: str | Path) -> ConfigDict:
    """Returns what `get_config` returns in a file.

    Args:
      place: a Python file; what follows a colon is passed to `get_config`.

    Raises:
      InputError: there is no such file, or it does not know what follows the colon.
    """
    path, colon, argument = str(place).partition(":")
    if not (path.endswith(".py") and Path(path).is_file()):
        raise InputError(f"There is no configuration {path}: name a file as those in the folder configs.")
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.get_config(*[argument] if colon else [])
    except ValueError as error:
        raise InputError(f"The configuration {place} cannot be read: {error}.") from error


def run_folder(config: ConfigDict) -> Path:
    """Returns the folder of a run for which none is named."""
    return Path(f"runs/{config.model.name}_{config.data.name}_fold{config.fold}")


def set_fields(config: ConfigDict, arguments: Sequence[str]) -> ConfigDict:
    """Returns a configuration after setting fields of it.

    Args:
      config: it is changed.
      arguments: "--config.FIELD=VALUE" each; VALUE may be words with commas between them.

    Raises:
      InputError: for an unknown field, naming the nearest, or a value of another type than the field's.
    """
    known = _fields(config)
    for argument in arguments:
        field, _, value = argument.removeprefix("--config.").partition("=")
        if field not in known:
            raise InputError(f"The configuration has no field {field}{_nearest(field, sorted(known))}")
        if isinstance(known[field], tuple) and re.fullmatch(r"[a-z]\w*(,[a-z]\w*)+", value):
            value = str(tuple(value.split(",")))
        values = flags.FlagValues()
        argument = f"--config.{field}={value}"
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=[argument])
        try:
            values(["", argument])
        except (flags.Error, TypeError, ValueError) as error:
            kind = type(known[field]).__name__
            raise InputError(f"The field {field} is of type {kind}, and {value!r} is not.") from error
    return config


def _fields(config: ConfigDict, prefix: str = "") -> dict[str, object]:
    fields = {}
    for name, value in config.items():
        fields[f"{prefix}{name}"] = value
        if isinstance(value, ConfigDict):
            fields |= _fields(value, f"{prefix}{name}.")
    return fields


def _nearest(name: str, known: Sequence[str]) -> str:
    """Returns the rest of the sentence: the known name most like this one, by its last part too."""
    last = {field.rpartition(".")[2]: field for field in known}
    near = difflib.get_close_matches(name, known, 1, 0.6)
    near = near or [last[n] for n in difflib.get_close_matches(name.rpartition(".")[2], last, 1, 0.6)]
    return f": did you mean {near[0]}?" if near else "."
