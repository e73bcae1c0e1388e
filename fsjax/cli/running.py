"""Running a program: one-sentence errors, and exit codes."""

import inspect
import io
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fsjax import cpu, distributed, preemption
from fsjax.cli.arguments import DEBUG
from fsjax.cli.quiet import silenced
from fsjax.compilation import CompileTime
from fsjax.errors import InputError
from fsjax.exit_codes import BUG, INPUT_ERROR, INTERRUPTED, PIPE_CLOSED, PREEMPTED

LOG = logging.getLogger(__name__)

STOPPED = (
    "Stopped. A training goes on from its last checkpoint, if it has one, when the same command is started "
    "again."
)


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
      is not finite; 1 for a bug in fsjax, whose traceback is in a file then; 75 where SIGTERM ended it or
      another process of the run is lost, so that the same command is to be started again; 130 where the user
      interrupted; 141 where what is printed is no longer read, as by `head`.
    """
    cpu.prepare()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    for ours in ("fsjax", "datasets"):
        logging.getLogger(ours).setLevel(logging.INFO)
    with preemption.heard(), silenced(logging.root.handlers[0]):
        return _ended(program, list(sys.argv if argv is None else argv), stopped)


def _ended(program: Callable[[list[str]], None], given: list[str], stopped: str) -> int:
    """Runs a program, says how it ended, and returns its exit code."""
    began = time.monotonic()
    try:
        with CompileTime() as compiling:
            _check_datasets(program)
            program([argument for argument in given if argument != DEBUG])
        sys.stdout.flush()
        distributed.end()
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        distributed.leave("it was interrupted.", INTERRUPTED)
        return INTERRUPTED
    except preemption.Preempted as error:
        preemption.ignore()
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
