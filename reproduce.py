"""Makes the papers' tables and figures: trains and evaluates what they need, and sets it beside the paper's.

    python reproduce.py --table=prnet/table1 --workdir=runs/table1              as the paper, with its data
    python reproduce.py --table=prnet/table1 --workdir=runs/small --scale=shapes    in minutes, not comparable
    python reproduce.py --table=foundation --workdir=runs/foundation             frozen DINOv2 and DINOv3
    python reproduce.py --table=prnet,dpnet/figure5 --workdir=runs/all --scale=own --data=mydata --dry_run

The same command started again goes on where it stopped; started on several machines that share the folder,
each does a part. --config.FIELD=VALUE sets a field of all trainings. From the clone's folder.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

import eval as evaluation
import train
from fsjax import cli, reproduction
from fsjax.config import check
from fsjax.errors import InputError

FLAGS = {
    "table": "What to make: prnet/table1 and so on, prnet, dpnet, all of both, or foundation, the table of "
    "foundation backbones; several with commas between.",
    "workdir": "The folder of the runs, evaluations and tables.",
    "scale": "paper (the default), shapes (the embedded benchmark) or own.",
    "data": "The name of the prepared data set of --scale=own.",
    "folds": "The folds that are run, as 0,1; by default all four. One's own classes are dealt into as many.",
    "backbones": "Of foundation: the weights that are run, as dinov2-small,dinov3-base; by default all. "
    "Others of the same folder are shown if they were run.",
}
SWITCHES = {"dry_run": "Only says what would be trained and evaluated, and what that costs."}
PROGRAMS = {"train.py": train.program, "eval.py": evaluation.program}


def program(argv: list[str]) -> None:
    """Runs what is missing, and writes the tables and figures."""
    flags, fields = cli.parse(argv, __doc__, FLAGS, SWITCHES)
    names = reproduction.named(flags.table)
    scale = reproduction.scale(
        flags.scale or "paper", flags.data, tuple(fields), flags.folds, flags.backbones
    )
    if not flags.workdir:
        raise InputError("Name the folder of the runs and tables with --workdir.")
    workdir = Path(flags.workdir)
    plans = [reproduction.plan(name, scale) for name in names]
    if flags.dry_run:
        print("\n".join(reproduction.rehearse(plans, scale, workdir, _configured)))
        return
    failed = reproduction.reproduce(plans, scale, workdir, PROGRAMS)
    print(f"Tables and figures are in {workdir / reproduction.FOLDER}.")
    if failed:
        raise InputError(f"{len(failed)} of the runs failed, and their cells say not run. {_told(failed)}")


def _told(failed: Mapping[reproduction.Job, str]) -> str:
    """Returns each sentence once, with the runs that it is about."""
    about: dict[str, list[str]] = {}
    for job, sentence in failed.items():
        about.setdefault(sentence, []).append(job.name)
    return " ".join(f"{', '.join(names)}: {sentence.rstrip('.')}." for sentence, names in about.items())


def _configured(job: reproduction.Job) -> ConfigDict:
    """Returns the configuration of a job, without opening its data."""
    begun = job.training if isinstance(job, reproduction.Evaluation) else job
    config = cli.set_fields(cli.load_config(begun.config), begun.fields)
    if job is not begun:
        config = cli.set_fields(config, job.fields)
    check(config)
    return config


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
