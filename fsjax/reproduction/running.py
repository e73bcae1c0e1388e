"""From names of tables to their files: what a command asks for, whether a folder fits it, and the sweep."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fsjax.errors import InputError
from fsjax.experiment.sentences import number_of
from fsjax.files import ClaimedError, claimed, has_locks, make_writable, replacing
from fsjax.reproduction import foundation, plans, scales
from fsjax.reproduction.jobs import Job, Training, command, in_order
from fsjax.reproduction.plans import PLANS, Plan
from fsjax.reproduction.scales import FOLDS, Scale
from fsjax.reproduction.sweep import Programs, Sweep, results
from fsjax.reproduction.writing import write

LOG = logging.getLogger(__name__)

ALL = "all"
MARKER = "sweep.json"
CLAIMS = "claims"


def named(text: str) -> list[str]:
    """Returns the tables and figures that a text names, each once, in the papers' order.

    Args:
      text: names with commas between, as prnet/table1; prnet and dpnet are all of a paper's, all is all of
        both, and foundation the table of foundation backbones.

    Raises:
      InputError: for an unknown name, or none.
    """
    asked = [name.strip() for name in text.split(",") if name.strip()]
    groups = {ALL: list(PLANS)} | {
        paper: [name for name in PLANS if name.startswith(f"{paper}/")] for paper in scales.METHODS
    }
    groups[scales.FOUNDATION] = [foundation.NAME]
    chosen = {name for one in asked for name in groups.get(one, [one])}
    unknown = [one for one in asked if one not in groups and one not in PLANS]
    if unknown or not asked:
        what = f"There is no table {unknown[0]!r}" if unknown else "No --table is named"
        raise InputError(f"{what}: choose from {', '.join([*PLANS, *groups])}.")
    return [name for name in (*PLANS, foundation.NAME) if name in chosen]


def plan(name: str, scale: Scale) -> Plan:
    """Returns the plan of a table or figure at a scale."""
    return foundation.plan(scale) if name == foundation.NAME else plans.plan(name, scale)


def scale(name: str, data: str, given: tuple[str, ...], folds: str, backbones: str = "") -> Scale:
    """Returns the scale that a command asks for.

    Args:
      name: "paper", "shapes" or "own".
      data: the name of the data set of "own".
      given: "--config.FIELD=VALUE" each, for all trainings.
      folds: their numbers with commas between; "" are all.
      backbones: of the table of foundation backbones, names with commas between; "" are all.

    Raises:
      InputError: for another name, folds that there are not, data where none are named or needed, or a field
        that the tables themselves set.
    """
    numbers = [fold.strip() for fold in folds.split(",")] if folds else [str(fold) for fold in FOLDS]
    if not all(number in map(str, FOLDS) for number in numbers):
        raise InputError(f"--folds is {folds!r}: give numbers from {FOLDS[0]} to {FOLDS[-1]}, as 0,1.")
    chosen = tuple(sorted({int(number) for number in numbers}))
    if (name == "own") != bool(data):
        raise InputError(
            "--scale=own and --data=NAME, a prepared data set, belong together: give both or none."
        )
    match name:
        case "paper":
            found = scales.paper(given, chosen)
        case "shapes":
            found = scales.shapes(given, chosen)
        case "own":
            found = scales.own(data, given, chosen)
        case _:
            raise InputError(f"--scale is {name!r}: give 'paper', 'shapes' or 'own'.")
    for field in given:
        owned = field.removeprefix("--config.").partition("=")[0]
        if owned in found.owned:
            raise InputError(f"{owned} is what tells one cell of the tables from another: leave it out.")
    return replace(found, backbones=foundation.chosen(backbones))


def reproduce(plans: Sequence[Plan], scale: Scale, workdir: Path, programs: Programs) -> dict[Job, str]:
    """Runs what is missing of some tables and figures, and writes them and all others of the folder.

    Args:
      plans: of them.
      scale: at which they are made.
      workdir: the folder of the sweep, which other processes may share.
      programs: see `sweep.Programs`.

    Returns:
      Of each job that failed the sentence about it; its cells are not run.

    Raises:
      InputError: the folder is another sweep's, or cannot be written to.
    """
    _begin(plans, scale, workdir)
    if not has_locks(workdir):
        LOG.warning("Files in %s cannot be locked: let one process at a time work there.", workdir)
    sweep = Sweep.of([job for plan in plans for job in plan.jobs], workdir, programs)
    try:
        sweep.run()
    finally:  # other processes may have added tables meanwhile
        write([plan(name, scale) for name in _read_marker(workdir)["tables"]], scale, workdir)
    return sweep.failed


def rehearse(
    plans: Sequence[Plan], scale: Scale, workdir: Path, configured: Callable[[Job], ConfigDict]
) -> list[str]:
    """Returns lines about every training and evaluation: its command, its cost, and whether it is done.

    Args:
      plans: of the tables and figures.
      scale: at which they are made.
      workdir: the folder of the sweep.
      configured: returns the configuration of a training or an evaluation.

    Raises:
      InputError: the folder is another sweep's, or a configuration cannot be read.
    """
    _check_marker(plans, scale, workdir)
    jobs = in_order(job for plan in plans for job in plan.jobs)
    lines = list(dict.fromkeys(line for plan in plans for line in scale.header(plan.name)))
    for job in jobs:
        done = "done" if results(job, workdir) is not None else "to do"
        lines += [f"{job.name}, {_cost(job, configured(job))}, {done}:", f"    {command(job, workdir)}"]
    trainings = sum(isinstance(job, Training) for job in jobs)
    cells = sum(len(plan.cells) - len(plan.left) for plan in plans)
    further = number_of(len(jobs) - trainings, "further evaluation")
    lines.append(
        f"{number_of(trainings, 'different training')} and {further} make {number_of(cells, 'cell')} of "
        f"{', '.join(plan.name for plan in plans)}. Nothing was run."
    )
    return lines


def _cost(job: Job, config: ConfigDict) -> str:
    """Returns what a job costs, in steps and episodes."""
    part = config.eval
    episodes = f"{part.runs} x {part.episodes:,} episodes evaluated"
    if not isinstance(job, Training):
        return episodes
    train = config.train
    length = f"{train.epochs:,} epochs" if train.epochs else f"{train.steps:,} steps"
    return f"{length} of {number_of(config.batch_size, 'episode')} at {train.size} px, {episodes}"


def _begin(plans: Sequence[Plan], scale: Scale, workdir: Path) -> None:
    """Marks a folder as a sweep's, one process at a time."""
    _check_marker(plans, scale, workdir)
    make_writable(workdir)
    while True:
        try:
            with claimed(workdir / CLAIMS / MARKER):
                _check_marker(plans, scale, workdir)
                with replacing(workdir / MARKER) as temporary:
                    temporary.write_text(json.dumps(_mark(plans, scale), indent=2) + "\n", encoding="utf-8")
                return
        except ClaimedError:
            time.sleep(0.1)


def _mark(plans: Sequence[Plan], scale: Scale) -> dict[str, object]:
    return {
        "scale": scale.name,
        "folds": list(scale.folds),
        "given": list(scale.given),
        "fields": {method: list(fields) for method, fields in scale.fields.items()},
        "tables": [plan.name for plan in plans],
    }


def _check_marker(plans: Sequence[Plan], scale: Scale, workdir: Path) -> None:
    """Makes sure that a folder is new, or of the same sweep, to which tables may be added."""
    path, mark = workdir / MARKER, _mark(plans, scale)
    if not path.is_file():
        if _is_free(workdir):
            return
        if not path.is_file():  # another process may have begun there meanwhile
            raise InputError(f"{workdir} holds something else than a sweep: name a new folder.")
    stored = _read_marker(workdir)
    if not all(stored[name] == mark[name] for name in ("scale", "folds", "given", "fields")):
        folds = ",".join(map(str, stored["folds"]))
        began = " ".join([f"--scale={stored['scale']}", f"--folds={folds}", *map(str, stored["given"])])
        raise InputError(f"{workdir} holds a sweep with {began}: give the same, or name a new folder.")
    tables = stored["tables"]
    missing = [name for name in tables if name not in [plan.name for plan in plans]]
    if missing:
        raise InputError(
            f"{workdir} holds the sweep of {', '.join(tables)}: name {', '.join(missing)} in --table, too, "
            "or a new folder."
        )


def _is_free(workdir: Path) -> bool:
    """Says whether a folder holds nothing, but for what a process that begins there has before its mark."""
    if not workdir.is_dir():
        return not workdir.exists()
    return all(path.name == CLAIMS or path.name.startswith(".") for path in workdir.iterdir())


def _read_marker(workdir: Path) -> dict[str, Any]:
    """Returns what a folder's mark says of its sweep."""
    path = workdir / MARKER
    try:
        stored = json.loads(path.read_bytes())
        sound = all(isinstance(stored[name], list) for name in ("folds", "given", "tables"))
        sound = (
            sound
            and {"scale", "fields"} <= stored.keys()
            and set(stored["tables"]) <= {*PLANS, foundation.NAME}
        )
    except (ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise InputError(f"{path} is damaged: name a new folder.")
    return dict(stored)
