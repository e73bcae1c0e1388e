"""What the command-line programs share: flags, configurations, one-sentence errors, exit codes."""

import inspect
import io
import logging
import os
import sys
import tempfile
import textwrap
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from absl import flags
from ml_collections import ConfigDict

from fsjax import distributed, experiment, preemption
from fsjax.compilation import CompileTime, keep_compiled
from fsjax.config import TABLE, Field, check_names
from fsjax.config import trains as trains_anything
from fsjax.config.fields import nearest
from fsjax.config.protocols import DATA_NAME, PROTOCOL, follow
from fsjax.errors import InputError
from fsjax.models import backbones

LOG = logging.getLogger(__name__)

BUG = 1
INPUT_ERROR = 2
PREEMPTED = 75  # EX_TEMPFAIL: the same command is to be started again
INTERRUPTED = 130  # as a shell says it
PIPE_CLOSED = 141  # likewise

STOPPED = (
    "Stopped. A training goes on from its last checkpoint, if it has one, when the same command is started "
    "again."
)

DEBUG = "--debug"
OPTIONS = "model.backbone_options."
CONFIGS = Path(__file__).parents[1] / "configs"


def run(
    program: Callable[[list[str]], None], argv: Sequence[str] | None = None, stopped: str = STOPPED
) -> int:
    """Runs a program and returns its exit code.

    Args:
      program: takes the command line, its own name first.
      argv: the command line; the process's own by default. With --debug errors show their traceback, too.
      stopped: what is said where the user interrupts it, or SIGTERM ends it.

    Returns:
      0; 2 after one sentence on standard error: the user's input is at fault, the system refuses, or a loss
      is not finite; 1 for a bug in fsjax, whose traceback is in a file then; 75 where SIGTERM ended it, so
      that the same command is to be started again; 130 where the user interrupted; 141 where what is printed
      is no longer read, as by `head`.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    for ours in ("fsjax", "datasets"):
        logging.getLogger(ours).setLevel(logging.INFO)
    given = list(sys.argv if argv is None else argv)
    began = time.monotonic()
    try:
        with preemption.heard(), CompileTime() as compiling:
            _check_datasets(program)
            program([argument for argument in given if argument != DEBUG])
        sys.stdout.flush()
        distributed.end()
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        distributed.leave("it was interrupted.", INTERRUPTED)
        return INTERRUPTED
    except preemption.Preempted as error:
        print(f"\n{str(error) or stopped}", file=sys.stderr)
        distributed.leave(str(error) or "it was asked to end.", PREEMPTED)
        return PREEMPTED
    except BrokenPipeError:
        sys.stdout = io.StringIO()  # what is left in its buffer would be written at exit
        distributed.leave("what it prints is no longer read.", PIPE_CLOSED)
        return PIPE_CLOSED
    except Exception as error:
        if DEBUG in given:
            traceback.print_exc()
        sentence, code = _told(error)
        if code == BUG:
            distributed.wait_for_verdict(error)  # it may come of another process's end
        print(f"error: {sentence}", file=sys.stderr)
        distributed.leave(sentence, code)
        return code
    seconds = time.monotonic() - began
    LOG.info("Done in %.0f seconds, %.0f of them compiling.", seconds, compiling.seconds)
    return 0


def _check_datasets(program: Callable[[list[str]], None]) -> None:
    """Makes sure that `datasets` is the clone's folder, not the well-known package of that name.

    A program lies at the top of the clone or in a folder of it.
    """
    found = getattr(program, "__globals__", {}).get("datasets")
    if found is None:
        return
    file = Path(inspect.getfile(program)).resolve()
    place = Path(inspect.getfile(found)).resolve().parent
    ours = next((root / "datasets" for root in file.parents if (root / "datasets").is_dir()), place)
    if place != ours:
        runs_alone = file.parent in (ours, ours.parent)
        module = f"-m {file.parent.name}.{file.stem} from {ours.parent}"
        raise InputError(
            f"`datasets` is another package here, the one in {place}: start this program in a process of its "
            f"own, as python {file if runs_alone else module}, without -P or PYTHONSAFEPATH."
        )


def _told(error: Exception) -> tuple[str, int]:
    """Returns the sentence about an error, and the exit code."""
    if isinstance(error, InputError | FloatingPointError):
        return str(error), INPUT_ERROR
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        why = error.strerror or error
        return f"The system refused{place}: {why}: make room or name another place.", INPUT_ERROR
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "Memory is exhausted: lower batch sizes or the sizes of images.", INPUT_ERROR
    name = type(error).__name__
    return f"This is a bug in fsjax ({name}): please report it with its traceback, {_kept(error)}.", BUG


def _kept(error: Exception) -> str:
    """Writes an error's traceback to a file in the temporary folder, and returns where it is."""
    lines = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="fsjax_", suffix=".log", delete=False) as log:
            log.write(lines)
    except OSError:
        print(lines, file=sys.stderr)
        return "which stands above"
    return f"which is in {log.name}"


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
