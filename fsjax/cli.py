"""What the command-line programs share: flags, one-sentence errors, exit codes."""

import difflib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from fsjax.errors import InputError

PROGRAM_FLAG_ERROR = 2


def run(program: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Runs a program and returns its exit code.

    Args:
      program: takes the command line, its own name first.
      argv: the command line; the process's own by default.

    Returns:
      0, or 2 after one sentence on standard error about what is wrong with the user's input.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    for ours in ("fsjax", "datasets"):
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        program(list(sys.argv if argv is None else argv))
    except (InputError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return PROGRAM_FLAG_ERROR
    return 0


def parse(
    argv: Sequence[str],
    description: str,
    strings: dict[str, str],
    config: ConfigDict | str | Path,
) -> flags.FlagValues:
    """Parses a command line.

    Args:
      argv: the program's name and its arguments.
      description: what --help prints first.
      strings: the program's own flags, all strings: name -> help. Their default is "".
      config: what --config's fields override: a configuration, or the file that --config names by default.

    Returns:
      The flags' values, `config` among them.

    Raises:
      InputError: for an unknown flag or field, naming the nearest, a wrong value or a missing file.
    """
    values = flags.FlagValues()
    for name, meaning in strings.items():
        flags.DEFINE_string(name, "", meaning, flag_values=values)
    if isinstance(config, ConfigDict):
        config_flags.DEFINE_config_dict("config", config, flag_values=values)
    else:
        config_flags.DEFINE_config_file("config", str(config), "The configuration.", flag_values=values)
    if any(argument in ("-h", "-help", "--help") for argument in argv):
        print(f"{description}\n\n{values.get_help()}")
        raise SystemExit(0)
    _check_config_file(argv, config)
    try:
        rest = values(argv)
    except flags.UnrecognizedFlagError as error:
        known = [*strings, "config"]
        raise InputError(f"There is no flag --{error.flagname}{_nearest(error.flagname, known)}") from error
    except (AttributeError, KeyError) as error:
        raise InputError(_unknown_field(str(error), argv, config)) from error
    except ValueError as error:
        raise InputError(str(error).rstrip(".") + ".") from error
    if len(rest) > 1:
        raise InputError(f"{rest[1]!r} is not a flag: write --name=value.")
    return values


def peek(argv: Sequence[str], name: str) -> str:
    """Returns the value of one string flag before the others are parsed, "" where it is not given."""
    values = flags.FlagValues()
    flags.DEFINE_string(name, "", "", flag_values=values)
    values(list(argv), known_only=True)
    return values[name].value


def _check_config_file(argv: Sequence[str], config: ConfigDict | str | Path) -> None:
    named = [
        argument.partition("=")[2] for argument in argv if argument.startswith(("--config=", "-config="))
    ]
    for name in named:
        if isinstance(config, ConfigDict):
            raise InputError("--config and --workdir exclude each other: a run keeps its own configuration.")
        if not Path(name.partition(":")[0]).is_file():
            raise InputError(f"There is no configuration {name.partition(':')[0]}: see the folder configs.")


def _unknown_field(error: str, argv: Sequence[str], config: ConfigDict | str | Path) -> str:
    given = [
        argument.split("=")[0].lstrip("-")
        for argument in argv
        if argument.startswith(("--config.", "-config."))
    ]
    known = _fields(config if isinstance(config, ConfigDict) else _defaults(argv, config))
    for flag in given:
        field = flag.removeprefix("config.")
        if field not in known:
            return f"The configuration has no field {field}{_nearest(field, sorted(known))}"
    return f"The configuration cannot be read: {error}."


def _defaults(argv: Sequence[str], config: str | Path) -> ConfigDict:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", str(config), flag_values=values)
    values([argv[0], *(argument for argument in argv if argument.startswith(("--config=", "-config=")))])
    return values.config


def _fields(config: ConfigDict, prefix: str = "") -> set[str]:
    names = set()
    for name, value in config.items():
        names |= _fields(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {f"{prefix}{name}"}
    return names


def _nearest(name: str, known: Sequence[str]) -> str:
    """Returns the rest of the sentence: the known name most like this one, by its last part too."""
    last = {field.rpartition(".")[2]: field for field in known}
    near = difflib.get_close_matches(name, known, 1, 0.6)
    near = near or [last[n] for n in difflib.get_close_matches(name.rpartition(".")[2], last, 1, 0.6)]
    return f": did you mean {near[0]}?" if near else "."
