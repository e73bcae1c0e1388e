"""Trains a few-shot segmenter on base classes and evaluates it on classes it never saw.

    python train.py                                              PRNet on the embedded benchmark, in minutes
    python train.py --config=configs/dpnet_shapes.py             DPNet over the backbone of that run
    python train.py --config=configs/prnet_pascal.py:fold=1 --workdir=runs/pascal1

The same command started again goes on where it stopped.
"""

import sys
from pathlib import Path

import datasets
from fsjax import cli, distributed, experiment, tracing
from fsjax.errors import InputError
from fsjax.evaluation import report

FLAGS = {
    "config": "The configuration's file; by default configs/prnet_shapes.py. :fold=1,seed=2 may follow.",
    "workdir": "The run's folder; by default runs/ and the configuration's name and fold.",
    "profile": "A folder for a trace of the steps 11 to 15 by JAX's profiler (docs/profiling.md).",
    **distributed.FLAGS,
}
SWITCHES = {
    "dry_run": "Only says what would be trained and what a step costs, and draws the first episodes if the "
    "data are here: dry_run.png in the folder."
}
CONFIG = Path(__file__).parent / "configs" / "prnet_shapes.py"


def program(argv: list[str]) -> None:
    """Trains, evaluates, and prints the table."""
    flags, settings = cli.parse(argv, __doc__, FLAGS, SWITCHES)
    distributed.start(flags.coordinator, flags.num_processes, flags.process_id)
    if flags.dry_run and flags.profile:
        raise InputError("--dry_run trains nothing that --profile could trace: leave one out.")
    config = cli.configured(flags.config or CONFIG, settings, trains=True)
    workdir = Path(flags.workdir or cli.run_folder(config))
    if flags.dry_run:
        sources, why = datasets.at_hand(config.data)
        said = experiment.rehearse(config, sources, workdir, why)
        if distributed.is_main():
            print("\n".join(said))
        return
    sources = datasets.load(config.data)
    experiment.check(config, sources)
    with tracing.tracing(flags.profile, tracing.TRAINING):
        run = experiment.train(config, sources, workdir)
    results = experiment.evaluate(config, sources, workdir, run=run)
    if not distributed.is_main():
        return
    print(report.table(results.rows))
    print(f"Tables, pictures and curves are in {workdir}.")


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
