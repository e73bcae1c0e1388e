"""A sweep: jobs that several processes do between them, each once, in folders that they share."""

import errno
import gc
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsjax.errors import InputError
from fsjax.evaluation.results import checked_header
from fsjax.files import ClaimedError, UnwritableError, claimed
from fsjax.reproduction.jobs import Job, command, in_order

LOG = logging.getLogger(__name__)

Programs = Mapping[str, Callable[[list[str]], object]]
"""train.py and eval.py: what each does with a command line, its own name first."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""What a system says of a disk that takes no more."""

WAIT = 5.0  # seconds between two looks at what other processes do


@dataclass
class Sweep:
    """Jobs, and how far they are.

    Attributes:
      workdir: the folder that the processes share.
      jobs: trainings before what needs them, each once.
      programs: that do them.
      failed: sentences about jobs that ended in one.
    """

    workdir: Path
    jobs: Sequence[Job]
    programs: Programs
    failed: dict[Job, str] = field(default_factory=dict)
    _done: set[Job] = field(default_factory=set)

    @classmethod
    def of(cls, jobs: Iterable[Job], workdir: Path, programs: Programs) -> "Sweep":
        """Returns the sweep of some jobs and all that they come after."""
        return cls(workdir, in_order(jobs), programs)

    def run(self) -> None:
        """Does all jobs, but those that other processes do, for which it waits in the end.

        A job that ends in a sentence is left out with all that comes after it; the others are done.
        """
        awaited: list[Job] = []
        while open_jobs := [job for job in self.jobs if not self._settled(job)]:
            ready = [job for job in open_jobs if job.after is None or self._is_done(job.after)]
            if any(self._attempt(job) for job in ready):
                continue
            if ready != awaited:
                names = ", ".join(job.name for job in ready)
                LOG.info("Other processes in %s are at work on what is left: %s.", self.workdir, names)
                awaited = ready
            time.sleep(WAIT)

    def _is_done(self, job: Job) -> bool:
        if job not in self._done and results(job, self.workdir) is not None:
            self._done.add(job)
        return job in self._done

    def _settled(self, job: Job) -> bool:
        """Says whether nothing remains to be done, or can be, about a job."""
        if job.after in self.failed:
            self.failed.setdefault(job, f"{job.after.name} failed")
        return job in self.failed or self._is_done(job)

    def _attempt(self, job: Job) -> bool:
        """Does a job unless another process is at it; says whether that is so."""
        try:
            with claimed(self.workdir / "claims" / job.folder(self.workdir).name):
                if not self._is_done(job):
                    self._do(job)
        except ClaimedError:
            return False
        return True

    def _do(self, job: Job) -> None:
        argv = job.argv(self.workdir)
        LOG.info("%d of %d are done; now: %s", len(self._done), len(self.jobs), command(job, self.workdir))
        try:
            self.programs[argv[0]](argv)
            if not self._is_done(job):
                self.failed[job] = "it left no results"
        except (ClaimedError, UnwritableError):  # a full disk fails every job
            raise
        except (InputError, FloatingPointError) as error:
            self.failed[job] = str(error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            # Of this job alone, as far as anybody knows: a damaged photo, memory, or a bug.
            self.failed[job] = f"{type(error).__name__}: {error}".splitlines()[0]
            LOG.exception("%s failed.", job.name)
        gc.collect()  # the last job's arrays, before the next one's


def results(job: Job, workdir: Path) -> dict[str, Any] | None:
    """Returns results.json of a job; None where there is none, or it is damaged: it is then done again."""
    folder = job.folder(workdir)
    if not all((folder / name).is_file() for name in ("results.json", *job.pictures)):
        return None
    try:
        return checked_header(folder)
    except InputError as error:
        LOG.warning("%s It is done again.", error)
        return None
