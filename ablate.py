"""Measures what DPNet's cycle comparison is worth: the same training with and without it, the same episodes.

    python ablate.py                    on the embedded benchmark, at most ten minutes on two cores

`reproduce.py` has the other parts, by the paper's Tables 3 and 4. Unless a configuration or
`--config.model.weights` names another, the backbone is that of the fold's PRNet in runs/prnet_shapes_fold0,
which is trained first, or to its end, where it is not there. The same command started again goes on where it
stopped.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

import datasets
from fsjax import cli, experiment
from fsjax.evaluation import report

FLAGS = {
    "config": "The configuration's file; by default configs/dpnet_shapes.py. :fold=1,seed=2 may follow.",
    "out": "The folder for the runs and the tables; by default runs/ablation_ccm.",
}
CONFIGS = Path(__file__).parent / "configs"


def program(argv: list[str]) -> None:
    """Trains and evaluates the variants, and prints the table."""
    flags, settings = cli.parse(argv, __doc__, FLAGS)
    config = cli.configured(flags.config or CONFIGS / "dpnet_shapes.py", settings, trains=True)
    experiment.check_ablation(config)
    sources = datasets.load(config.data)
    experiment.check(config, sources)
    if not flags.config and not any(field.startswith("--config.model.weights=") for field in settings):
        config.model.weights = _trained_backbone(config, sources)
    out = flags.out or "runs/ablation_ccm"
    print(report.table(experiment.ablate(config, sources, out)))
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
