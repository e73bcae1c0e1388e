"""Flags of a program, and its help."""

import os
import textwrap
from collections.abc import Mapping, Sequence

from absl import flags

from fsjax.cli.configs import OPTIONS
from fsjax.config import TABLE, Field
from fsjax.config.fields import nearest
from fsjax.errors import InputError
from fsjax.models import backbones

DEBUG = "--debug"


def parse(
    argv: Sequence[str],
    description: str,
    strings: Mapping[str, str],
    switches: Mapping[str, str] | None = None,
    *,
    fields: bool = True,
    places: bool = False,
) -> tuple[flags.FlagValues, list[str]]:
    """Parses a command line, all but the fields of the configuration.

    Args:
      argv: the program's name and its arguments.
      description: what --help prints first.
      strings: the program's flags that take a text: name -> meaning. Their default is "".
      switches: its flags that are given or not: name -> meaning.
      fields: whether it takes fields of a configuration, too.
      places: whether it takes folders or files, which are no flags, too.

    Returns:
      The flags' values, with the user's folder for a leading ~, and the other arguments: those that set
      fields, "--config.FIELD=VALUE" each, and places.

    Raises:
      InputError: for an unknown flag, naming the nearest, an argument that is neither a flag nor a place, or
        one that is not in UTF-8.
    """
    if {"-h", "-help", "--help"} & set(argv):
        print("\n".join(_help(description, strings, switches or {}, fields)))
        raise SystemExit(0)
    _check_utf8(argv)
    values = flags.FlagValues()
    values.set_gnu_getopt()  # known flags are found behind unknown ones, too
    for name, meaning in strings.items():
        flags.DEFINE_string(name, "", meaning, flag_values=values)
    for name, meaning in (switches or {}).items():
        flags.DEFINE_boolean(name, False, meaning, flag_values=values)
    try:
        _, *others = values(list(argv), known_only=True)
    except flags.Error as error:
        raise InputError(f"{error}: write --name=value.") from error
    for name in strings:  # a shell leaves the ~ of --name=~/folder as it is
        values[name].value = os.path.expanduser(values[name].value or "")
    for argument in others:
        name, equals, _ = argument.partition("=")
        if not name.startswith("-"):
            if places:
                continue
            raise InputError(f"{argument!r} is not a flag: write --name=value.")
        if not (fields and name.startswith("--config.")):
            known = [f"--{flag}" for flag in (*strings, *(switches or {}))]
            raise InputError(f"There is no flag {name}{nearest(name, known)}")
        if not equals:
            raise InputError(f"{name} has no value: write {name}=value.")
    return values, others


def _check_utf8(argv: Sequence[str]) -> None:
    """Makes sure that arguments can be printed and written down."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The argument {argument!a} is not in UTF-8: rename what it names.") from error


def _help(
    description: str, strings: Mapping[str, str], switches: Mapping[str, str], fields: bool
) -> list[str]:
    lines = [description, *(f"  --{name}=...  {meaning}" for name, meaning in strings.items())]
    lines += [f"  --{name}  {meaning}" for name, meaning in switches.items()]
    lines += [f"  {DEBUG}  Errors show their traceback."]
    if not fields:
        return lines
    lines += ["", "Fields, set by --config.FIELD=VALUE."]
    lines += ["Defaults are those of the table; each file in configs/ sets its own.", *_fields_help(TABLE)]
    for name, options in backbones.OPTIONS.items():
        lines += ["", f"With --config.model.backbone={name} also:"]
        lines += _fields_help({OPTIONS + option: field for option, field in options.items()})
    return lines


def _fields_help(table: Mapping[str, Field]) -> list[str]:
    lines = []
    for name, field in table.items():
        text = f"{field.help.rstrip('.')}; give {field.allowed}."
        lines += [f"  --config.{name}={field.default}", textwrap.indent(textwrap.fill(text, 100), " " * 8)]
    return lines
