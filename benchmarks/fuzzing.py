"""What the fuzzings share: an outcome of each damaged file, in processes that may crash or hang."""

import contextlib
import multiprocessing
import resource
import signal
import tempfile
import warnings
from pathlib import Path

from fsjax.errors import InputError

SECONDS = 10
ROOM = 2 * 2**30


class HungError(BaseException):
    """A file took too long; what catches every Exception lets it pass."""


@contextlib.contextmanager
def limited():
    """Ends what takes too long, and makes errors of warnings that reach the user."""

    def ring(*_):
        raise HungError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation")  # pycocotools', which nobody sees
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(read, named):
    """Returns what `read` says, "read" for True, "sentence" where it refuses, or else what went wrong.

    Args:
        read: reads a file, and returns whether the result is sound, or says in words what it is.
        named: what a sentence must name, or several of which it must name one.
    """
    try:
        with limited():
            found = read()
    except InputError as error:
        return sentence_of(str(error), [named] if isinstance(named, str) else named)
    except MemoryError:
        return "out of memory"
    except (Exception, HungError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return found if isinstance(found, str) else "read" if found else "unsound result"


def sentence_of(text, named):
    """Returns "sentence" if a text is one that names one of these, and what is wrong with it otherwise."""
    is_sentence = any(name in text for name in named) and text.endswith((".", "?")) and "\n" not in text
    return "sentence" if is_sentence else f"poor sentence: {text}"


def received(outcomes, count, room=ROOM):
    """Returns the outcomes of a format with their seeds; a crash is one, too, and so is a hang.

    Args:
        outcomes: yields them, given seeds and an empty folder, in a process of its own.
        count: of the seeds.
        room: bytes that this process may take more than it has at its start; None for any.
    """
    results, context = [], multiprocessing.get_context("fork")
    while len(results) < count:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(outcomes, range(len(results), count), room, sender))
        process.start()
        sender.close()
        results += _heard(process, receiver, len(results))
        process.join()
    return results


def _run(outcomes, seeds, room, sender):
    """Sends the outcomes of a format, in a process of its own."""
    if room:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    with tempfile.TemporaryDirectory() as folder:
        for seed, found in zip(seeds, outcomes(seeds, folder), strict=True):
            sender.send((seed, found))
    sender.send(None)


def _heard(process, receiver, first):
    """Returns what a process sends, and as its last outcome how it ended if it did not end well."""
    results, wait = [], 6 * SECONDS  # for what it makes first
    try:
        while receiver.poll(wait):
            if (result := receiver.recv()) is None:
                return results
            results.append(result)
            wait = 3 * SECONDS
    except EOFError:
        process.join()
        return [*results, (first + len(results), {"file": f"crash, exit code {process.exitcode}"})]
    process.kill()  # no alarm interrupts a library's own loop
    return [*results, (first + len(results), {"file": "a library hung"})]
