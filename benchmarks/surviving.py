"""Commands that are ended again and again, and whether that shows in what they leave in the end."""

import contextlib
import errno
import functools
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]

PATIENCE = 1200
"""Seconds that a start may take, on a machine that is busy with other things, too."""

CODES = {signal.SIGKILL: (-signal.SIGKILL,), signal.SIGTERM: (75, -signal.SIGTERM)}
"""The exit codes that a signal leads to; before Python has begun the program, SIGTERM is heard by nobody."""

Command = tuple[str, ...]
"""What Python runs; {out} stands for the folder that it writes."""

Compare = Callable[[Path, Path], list[str]]
"""Returns what differs between the folder of the undisturbed command and the other one, in words."""


@dataclass
class Survival:
    """What became of a command that was disturbed.

    Attributes:
        starts: how often it was started; the last time it came to its end.
        moments: when it was disturbed, in seconds of processor time after the start.
        reached: which checkpoints were there then.
        wrong: what went wrong or differs, in words; then the rest was not tried.
    """

    starts: int = 0
    moments: list[float] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Start:
    """A command that was started, in a group of processes that ends with the block."""

    def __init__(self, command: Command, out: Path):
        """Starts it.

        Args:
            command: what Python runs.
            out: the folder that it writes.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *(part.format(out=out) for part in command)],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},  # on which equal programs give equal bits
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )

    def __enter__(self) -> "Start":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._errors.close()

    def runs_until(self, happened: Callable[[], bool]) -> bool:
        """Waits for something to happen; says whether it did before the command ended by itself."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if happened():
                return True
            time.sleep(0.02)
        return False

    def used(self) -> float:
        """Returns the seconds of processor time that the command and all that it started have used."""
        return sum(ticks for _, ticks in self._group()) / os.sysconf("SC_CLK_TCK")

    def _group(self) -> Iterator[tuple[str, int]]:
        """Yields the state of every process of the group, and its ticks with those of its dead children."""
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                told = place.read_text().rpartition(")")[2].split()
                if int(told[2]) == self.process.pid:
                    yield told[0], sum(map(int, told[11:15]))

    def wrong_end(self, *codes: int) -> list[str]:
        """Waits for the end; returns what is wrong about it.

        Args:
            codes: the exit codes that are right.
        """
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"it did not end within {PATIENCE} seconds"]
        self._errors.seek(0)
        said = self._errors.read()
        if code not in codes or "Traceback" in said:
            return [f"exit code {code}, and it said: {' '.join(said.splitlines()[-3:])}"]
        return []

    def left(self) -> list[str]:
        """Returns what is wrong about the processes that it had started: they end when it is gone."""
        deadline = time.monotonic() + 60
        while any(state not in "ZX" for state, _ in self._group()):
            if time.monotonic() > deadline:
                return ["processes that it had started did not end"]
            time.sleep(0.02)
        return []


@functools.cache
def undisturbed(command: Command, folder: Path, again: int = 0) -> float:
    """Runs a command to its end, and returns the seconds of processor time that it takes.

    Args:
        command: to be run.
        folder: for what it leaves.
        again: 1 runs it once more where it has been run, so that little is left to be done.
    """
    before = _of_children()
    with Start(command, folder) as start:
        if wrong := start.wrong_end(0):
            sys.exit(f"Undisturbed, {' '.join(command)} fails: {wrong[0]}")
    return _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def survive(
    command: Command,
    folder: Path,
    compare: Compare,
    kills: int,
    seed: int,
    *,
    by: signal.Signals = signal.SIGKILL,
    continues: bool = True,
) -> Survival:
    """Ends a command at random moments, starts it again each time, and compares what it leaves in the end.

    The signal goes to the command's own process; what that has started must end by itself. Moments are drawn
    in processor time: however busy the machine is, they lie anywhere between the start of Python and the last
    file, and the last of them comes late in the work.

    Args:
        command: to be run.
        folder: what it leaves is in `whole` of it if undisturbed, else in a folder named after the signal.
        compare: says what differs.
        kills: how often it is ended.
        seed: of the moments.
        by: the signal.
        continues: whether a start goes on where the one before was ended, or begins anew.
    """
    whole, out = folder / "whole", folder / by.name
    span = undisturbed(command, whole)
    if continues:
        again = undisturbed(command, whole, again=1)
        span = again + 2 * max(span - again, 0) / kills
    rng, found = random.Random(seed), Survival()
    while len(found.moments) < kills and not found.wrong:
        found.starts += 1
        moment = rng.uniform(0, span)
        with Start(command, out) as start:
            if not start.runs_until(lambda: start.used() >= moment):  # noqa: B023
                found.wrong += start.wrong_end(0)  # it was through before
                continue
            found.moments.append(moment)
            found.reached.append(reached(out))
            start.process.send_signal(by)
            found.wrong += start.wrong_end(0, *CODES[by]) or start.left()
    return _finished(found, command, out, whole, compare)


def survive_full_disk(
    command: Command, folder: Path, compare: Compare, kills: int, seed: int, megabytes: int = 16
) -> Survival:
    """Fills the disk of a training again and again; otherwise as `survive`. Only root can do that.

    When there is one more checkpoint, a file leaves less room on a small disk than a checkpoint takes. The
    training has to say so, and goes on when that file is gone.

    Raises:
        PermissionError: the user may not mount a disk.
    """
    whole, out = folder / "whole", folder / "full"
    undisturbed(command, whole)
    rng, found = random.Random(seed), Survival()
    with _small_disk(out, megabytes):
        while len(found.moments) < kills and not found.wrong:
            found.starts += 1
            with Start(command, out) as start:
                before = reached(out)
                if not start.runs_until(lambda: reached(out) != before):  # noqa: B023
                    found.wrong += start.wrong_end(0) or ["it was through before its disk was full"]
                    break
                found.moments.append(start.used())
                found.reached.append(reached(out))
                _fill(out / "ballast", rng.random() * _latest_bytes(out))
                found.wrong += start.wrong_end(2)
                (out / "ballast").unlink()
        return _finished(found, command, out, whole, compare)


def _finished(found: Survival, command: Command, out: Path, whole: Path, compare: Compare) -> Survival:
    """Starts the command a last time, lets it come to its end, and compares."""
    if not found.wrong:
        found.starts += 1
        with Start(command, out) as start:
            found.wrong += start.wrong_end(0) or compare(whole, out)
    return found


def reached(out: Path) -> str:
    """Returns the latest checkpoint of each run in a folder, or in a folder of it."""
    return "+".join(str(max(steps)) for steps in _checkpoints(out).values())


def _checkpoints(out: Path) -> dict[Path, list[int]]:
    found: dict[Path, list[int]] = {}
    for place in (*out.glob("checkpoints/*"), *out.glob("*/checkpoints/*")):
        if place.name.isdecimal():
            found.setdefault(place.parent, []).append(int(place.name))
    return dict(sorted(found.items()))


def _latest_bytes(out: Path) -> int:
    """Returns what the latest checkpoint takes on the disk."""
    ((folder, steps),) = _checkpoints(out).items()
    return sum(path.stat().st_blocks * 512 for path in (folder / str(max(steps))).rglob("*"))


def _fill(ballast: Path, room: float) -> None:
    """Writes a file that leaves so many bytes on its disk."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while (free := os.statvfs(ballast).f_bavail * os.statvfs(ballast).f_frsize - int(room)) > 0:
            file.write(bytes(min(free, 1 << 16)))


@contextlib.contextmanager
def _small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "fsjax", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        raise PermissionError(errno.EPERM, "only root may mount a small disk, and not in every container")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
