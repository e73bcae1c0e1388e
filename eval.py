"""Evaluates a run's latest checkpoint, or pretrained weights without training, on novel classes.

    python eval.py --workdir=runs/prnet_shapes_fold0 --out=runs/again --config.eval.seed=7
    python eval.py --config=configs/prnet_pascal.py --config.model.weights=resnet50.npz --out=runs/untrained

With --workdir the configuration is the run's own; flags override it.
"""

import sys
from pathlib import Path

import datasets
from fsjax import cli, experiment
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.training.checkpoints import Checkpoints

FLAGS = {
    "config": "The configuration's file where there is no --workdir; by default configs/prnet_shapes.py.",
    "workdir": "The run whose latest checkpoint is evaluated.",
    "out": "The folder for tables and pictures.",
    "episodes": "A manifest to take the episodes from instead of drawing them.",
    "save_episodes": "Where to write the episodes as a manifest.",
}
CONFIG = Path(__file__).parent / "configs" / "prnet_shapes.py"


def program(argv: list[str]) -> None:
    """Evaluates, and prints the table."""
    flags, fields = cli.parse(argv, __doc__, FLAGS)
    if not flags.out:
        raise InputError("--out is missing: name a folder for the tables and pictures.")
    if flags.workdir and flags.config:
        raise InputError("--config and --workdir exclude each other: a run keeps its own configuration.")
    if flags.workdir:
        config = Checkpoints.stored_config(flags.workdir)
    else:
        config = cli.load_config(flags.config or CONFIG)
    config = cli.set_fields(config, fields)
    rows = experiment.evaluate(
        config,
        datasets.load(config.data),
        flags.out,
        workdir=flags.workdir,
        episodes=flags.episodes,
        save_episodes=flags.save_episodes,
    )
    print(report.table(rows))
    print(f"Tables and pictures are in {flags.out}.")


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
