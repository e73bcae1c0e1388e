"""Measures what DPNet's parts are worth: the same training with each turned off, on the same episodes.

    python ablate.py                    the cycle comparison against none, at most ten minutes on two cores
    python ablate.py --table=all        Tables 3 and 4 of the paper on the embedded benchmark, at most thirty

Unless a configuration or `--config.model.weights` names another, the backbone is that of the fold's PRNet in
runs/prnet_shapes_fold0, which is trained first, or to its end, where it is not there. The same command
started again goes on where it stopped.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

import datasets
from fsjax import cli, experiment
from fsjax.errors import InputError
from fsjax.evaluation import report

FLAGS = {
    "config": "The configuration's file; by default configs/dpnet_shapes.py. :fold=1,seed=2 may follow.",
    "table": "Which variants: ccm (the default) or all.",
    "out": "The folder for the runs and the tables; by default runs/ablation_ and the table's name.",
}
CONFIGS = Path(__file__).parent / "configs"


def program(argv: list[str]) -> None:
    """Trains and evaluates the variants, and prints the table."""
    flags, settings = cli.parse(argv, __doc__, FLAGS)
    table = flags.table or "ccm"
    if table not in experiment.TABLES:
        raise InputError(f"There is no table {table!r}: choose from {', '.join(experiment.TABLES)}.")
    config = cli.configured(flags.config or CONFIGS / "dpnet_shapes.py", settings, trains=True)
    experiment.check_ablation(config)
    sources = datasets.load(config.data)
    experiment.check(config, sources)
    if not flags.config and not any(field.startswith("--config.model.weights=") for field in settings):
        config.model.weights = _trained_backbone(config, sources)
    out = flags.out or f"runs/ablation_{table}"
    print(report.table(experiment.ablate(config, sources, out, experiment.TABLES[table])))
    print(f"Runs and tables are in {out}.")


def _trained_backbone(config: ConfigDict, sources: experiment.Sources) -> str:
    """Returns the folder of the fold's PRNet, trained on the embedded benchmark as `python train.py` does."""
    prnet = cli.load_config(f"{CONFIGS / 'prnet_shapes.py'}:fold={config.fold}")
    prnet.data = config.data
    folder = str(cli.run_folder(prnet))
    experiment.train(prnet, sources, folder)
    return folder


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
