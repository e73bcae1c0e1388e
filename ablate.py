"""Measures what DPNet's parts are worth: the same training with each turned off, on the same episodes.

    python ablate.py                    the cycle comparison against none, at most ten minutes on two cores
    python ablate.py --table=all        Tables 3 and 4 of the paper on the embedded benchmark, at most thirty

PRNet's extractor is trained first where `model.weights`, by default runs/prnet_shapes_fold0, is not there.
"""

import sys
from pathlib import Path

import datasets
from fsjax import ablation, cli, experiment
from fsjax.errors import InputError
from fsjax.evaluation import report

FLAGS = {
    "config": "The configuration's file; by default configs/dpnet_shapes.py.",
    "table": "Which variants: ccm (the default) or all.",
    "out": "The folder for the tables; by default runs/ablation_ and the table's name.",
}
CONFIGS = Path(__file__).parent / "configs"


def program(argv: list[str]) -> None:
    """Trains and evaluates the variants, and prints the table."""
    flags, fields = cli.parse(argv, __doc__, FLAGS)
    table = flags.table or "ccm"
    if table not in ablation.TABLES:
        raise InputError(f"There is no table {table!r}: choose from {', '.join(ablation.TABLES)}.")
    config = cli.set_fields(cli.load_config(flags.config or CONFIGS / "dpnet_shapes.py"), fields)
    sources = datasets.load(config.data)
    if not flags.config and not Path(config.model.weights).exists():
        extractor = cli.load_config(CONFIGS / "prnet_shapes.py")
        extractor.fold, extractor.data = config.fold, config.data
        experiment.train(extractor, sources, config.model.weights)
    out = flags.out or f"runs/ablation_{table}"
    print(report.table(ablation.run(config, sources, out, ablation.TABLES[table])))
    print(f"Tables are in {out}.")


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
