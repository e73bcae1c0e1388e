"""From a plan to records on disk: by all cores, one build at a time, whole or not at all."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from datasets import records, shards
from datasets.plans import Listed, Plan
from datasets.prepared import DamagedError, about_of, check_whole, is_prepared, place_of, sealed
from datasets.records import Labelled
from fsjax.errors import InputError
from fsjax.files import claimed
from fsjax.processes import begin_work
from fsjax.progress import Progress

LOG = logging.getLogger(__name__)

CHUNK = 16


class Written(NamedTuple):
    """A record as the workers return it, with the class ids that OSLSM's rule keeps."""

    id: str
    encoded: bytes
    shrinking: Sequence[int]


def build(plan: Plan, name: str, tfds_dir: Path, *, workers: int | None = None) -> Path:
    """Writes the records of a data set, unless they are there.

    Args:
        plan: the data set.
        name: what it will be called.
        tfds_dir: the folder for built data sets.
        workers: processes that read photos and masks; as many as there are cores by default, 0 for none.

    Returns:
        The folder of the records.

    Raises:
        InputError: for photos or masks that do not fit, another build of that name at the same time, another
            data set of that name, or a disk that refuses.
    """
    place = place_of(tfds_dir, name)
    with claimed(place.parent):
        if is_prepared(place) and _is_whole(plan, place):
            return place
        if place.exists() and not is_prepared(place):
            raise InputError(f"{place} is no whole data set: delete it, and start the same command again.")
        half = place.with_name(f".{place.name}.half")
        shutil.rmtree(half, ignore_errors=True)  # what a killed build has left
        try:
            _write(plan, half, _cores() if workers is None else workers)
            shutil.rmtree(place, ignore_errors=True)  # it is damaged, if it is there
            os.replace(half, place)
        except OSError as error:
            raise InputError(
                f"The data set {name} cannot be written to {place.parent} ({error.strerror or error}): make "
                "room there or name another folder, and start the same command again."
            ) from error
        finally:
            shutil.rmtree(half, ignore_errors=True)
            if not is_prepared(place):
                _remove_traces(place.parent)
    return place


def _is_whole(plan: Plan, place: Path) -> bool:
    """Says whether a data set that is there is sound, to the last record.

    Raises:
        InputError: it is another than the plan's.
    """
    try:
        _check_same(plan, about_of(place), place)
        check_whole(place)
    except DamagedError as error:
        LOG.warning("%s It is made anew.", error)
        return False
    return True


def _check_same(plan: Plan, about: Mapping[str, Any], place: Path) -> None:
    if (about["kind"], about["version"]) != (plan.kind, plan.version):
        raise InputError(
            f"{place.parent} holds another data set, made of other files, lists or options: "
            "give another --name, or delete the folder."
        )


def _remove_traces(folder: Path) -> None:
    """Removes the folder of a data set of which nothing was written."""
    if {path.name for path in folder.iterdir()} <= {".claimed"}:
        shutil.rmtree(folder, ignore_errors=True)


def _write(plan: Plan, folder: Path, workers: int) -> None:
    folder.mkdir(parents=True)
    shrinking: dict[str, Sequence[int]] = {}
    with (
        Progress(f"preparing {plan.title}", len(plan.tasks), "photo") as progress,
        contextlib.closing(_written(plan, workers)) as written,
    ):
        encoded = _noted(written, shrinking, progress)
        shards.write(encoded, folder, plan.title, lambda: _about(plan, shrinking, folder))


def _noted(
    written: Iterator[Written], shrinking: dict[str, Sequence[int]], progress: Progress
) -> Iterator[bytes]:
    """Yields the encoded records, and takes down which classes of each photo OSLSM's rule keeps."""
    for record in written:
        shrinking[record.id] = record.shrinking
        yield record.encoded
        progress.update()


def _about(plan: Plan, shrinking: Mapping[str, Sequence[int]], folder: Path) -> dict[str, Any]:
    """Returns what the data set will say of itself, and of the files of records in its folder."""
    lists, counts = plan.derive(shrinking) if plan.derive else ({}, ())
    about = {
        "kind": plan.kind, "title": plan.title, "version": plan.version, "ids": list(plan.ids),
        "class_names": list(plan.class_names), "folds": plan.folds, "usual": list(plan.usual),
        "lists": _positions(plan.ids, {**lists, **plan.lists}),
        "counts": [[count.what, count.found, count.known] for count in (*plan.counts, *counts)],
        "files": {path.name: path.stat().st_size for path in folder.iterdir()},
    }  # fmt: skip
    return sealed(about)


def _positions(ids: Sequence[str], lists: Mapping[str, Sequence[Listed]]) -> dict[str, list[list[Any]]]:
    """Returns of each list its photos' positions, each with the classes it is listed for, null for all."""
    position = {id: number for number, id in enumerate(ids)}
    pairs = {
        name: [(listed, None) if isinstance(listed, str) else listed for listed in photos]
        for name, photos in lists.items()
    }
    return {name: [[position[id], classes] for id, classes in photos] for name, photos in pairs.items()}


def _written(plan: Plan, workers: int) -> Iterator[Written]:
    """Yields the records of all photos in order."""
    if not workers or len(plan.tasks) <= CHUNK or not _main_can_be_imported():
        yield from itertools.chain.from_iterable(_read(plan.read, [task]) for task in plan.tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    waiting: deque[Future[list[Written]]] = deque()
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=begin_work)
    try:
        for chunk in _chunks(plan.tasks):
            waiting.append(pool.submit(_read, plan.read, chunk))
            if len(waiting) > 3 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "A process that reads photos was ended, as by a lack of memory: give fewer with --workers, and "
            "start the same command again; a script of yours needs `if __name__ == '__main__':` around it."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(tasks: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK))


def _read(read: Callable[[Any], Labelled], tasks: Sequence[Any]) -> list[Written]:
    return [_record(read(task)) for task in tasks]


def _record(labelled: Labelled) -> Written:
    record = records.record(labelled)
    shrinking = tuple(itertools.compress(record["classes"], record["shrinks"]))
    return Written(labelled.id, records.encode(record), shrinking)


def _main_can_be_imported() -> bool:
    """Says whether the main program is no pipe, which worker processes could not import."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is None or Path(file).exists()


def _cores() -> int:
    """Returns how many cores this process may use, where the system says so."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
