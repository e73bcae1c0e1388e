"""Evaluates a run's checkpoint, or pretrained weights without training, on novel classes.

    python eval.py --workdir=runs/prnet_shapes_fold0 --out=runs/again --config.eval.seed=7
    python eval.py --config=configs/prnet_pascal.py --config.model.weights=resnet50.npz --out=runs/untrained
    python eval.py --predictions=masks --episodes=episodes.jsonl --out=runs/theirs

With --workdir the configuration is the run's own; flags may change what belongs to the evaluation. The
checkpoint is the latest, or the best so far where the run selects one (train.select). An evaluation that
was killed goes on from its last finished photos when the same command is started again. With --predictions
nothing is segmented: masks of another program are scored (docs/other_codebases.md).
"""

import sys
from pathlib import Path

from absl.flags import FlagValues

import datasets
from fsjax import cli, distributed, experiment, tracing
from fsjax.data import manifest
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.training.runs import Run

FLAGS = {
    "config": "The configuration's file where there is no --workdir; by default configs/prnet_shapes.py, and "
    "with --predictions what the manifest says.",
    "workdir": "The run whose latest checkpoint, or best where it selects one, is evaluated.",
    "step": "The checkpoint to evaluate instead; train.keep says which stay.",
    "out": "The folder for tables and pictures.",
    "episodes": "A manifest to take the episodes from instead of drawing them.",
    "save_episodes": "Instead of evaluating: where to write the episodes as a manifest.",
    "predictions": "Instead of segmenting: a folder with a PNG of each query of --episodes, to be scored.",
    "name": "The row of these predictions; by default their folder's name.",
    "profile": "A folder for a trace of batches 3 to 5 by JAX's profiler (docs/profiling.md).",
    **distributed.FLAGS,
}
SWITCHES = {"dry_run": "Only says what would be evaluated, and what that costs; --out is not needed then."}
CONFIG = Path(__file__).parent / "configs" / "prnet_shapes.py"


def program(argv: list[str]) -> None:
    """Evaluates, and prints the table."""
    flags, settings = cli.parse(argv, __doc__, FLAGS, SWITCHES)
    distributed.start(flags.coordinator, flags.num_processes, flags.process_id)
    _check(flags)
    if flags.predictions or flags.name:
        _score(flags, settings)
        return
    run = Run.open(flags.workdir, int(flags.step) if flags.step else None) if flags.workdir else None
    config = cli.configured(run.config if run else flags.config or CONFIG, settings)
    if flags.dry_run:
        sources, why = datasets.at_hand(config.data)
        said = experiment.rehearse_evaluation(config, sources, run=run, episodes=flags.episodes, why=why)
        if distributed.is_main():
            print("\n".join(said))
        return
    sources = datasets.load(config.data)
    experiment.check(config, sources)
    if flags.save_episodes:
        if not distributed.is_main():
            return
        header, specs, _ = experiment.novel_episodes(config, sources["test"], flags.episodes)
        manifest.write(flags.save_episodes, header, specs, sources["test"].ids)
        print(f"{len(specs)} episodes are in {flags.save_episodes}.")
        return
    with tracing.tracing(flags.profile, tracing.EVALUATION):
        results = experiment.evaluate(config, sources, flags.out, run=run, episodes=flags.episodes)
        if distributed.is_main():
            print(report.table(results.rows))
            print(f"Tables and pictures are in {flags.out}.")


def _check(flags: FlagValues) -> None:
    """Makes sure that flags go with one another."""
    if flags.dry_run and (flags.predictions or flags.save_episodes):
        raise InputError("--dry_run goes with neither --predictions nor --save_episodes: leave one out.")
    if flags.profile and (flags.dry_run or flags.predictions or flags.save_episodes):
        raise InputError("--profile traces an evaluation that segments photos: give it with --out alone.")
    if not flags.dry_run and bool(flags.out) == bool(flags.save_episodes):
        raise InputError(
            "Name a folder for the tables and pictures with --out, or a file with --save_episodes to write "
            "the episodes without evaluating them: one of both."
        )
    if flags.out and flags.workdir and Path(flags.out).resolve() == Path(flags.workdir).resolve():
        raise InputError("--out is the run's own folder, whose results would be lost: name another.")
    if flags.save_episodes and (Path(flags.save_episodes).parent / "results.json").exists():
        raise InputError(f"{flags.save_episodes} lies beside an evaluation's results: name another place.")
    if flags.workdir and flags.config:
        raise InputError("--config and --workdir exclude each other: a run keeps its own configuration.")
    if flags.step and not (flags.workdir and flags.step.isdecimal()):
        raise InputError(
            f"--step is {flags.step!r}: give the number of a checkpoint, and its run with --workdir."
        )


def _score(flags: FlagValues, settings: list[str]) -> None:
    """Scores the masks of another program, and prints the table."""
    if not flags.predictions:
        raise InputError("--name is the row of --predictions: name their folder, too.")
    if not (flags.episodes and flags.out) or flags.step:
        raise InputError(
            "--predictions goes with --episodes, the manifest that they were made for, and --out, not with "
            "--save_episodes or --step: there is nothing to draw or to segment."
        )
    if distributed.several():
        raise InputError("--predictions is scored by one process: start this command once.")
    if Path(flags.out).resolve() == Path(flags.episodes).resolve().parent:
        raise InputError("--out is the folder of --episodes, whose files would be replaced: name another.")
    if flags.workdir:
        base = Run.open(flags.workdir).config
    else:
        base = flags.config or experiment.config_of_manifest(flags.episodes)
    config = cli.configured(base, settings)
    source = datasets.load(config.data)["test"]
    results = experiment.score_predictions(
        config, source, flags.predictions, flags.episodes, flags.out, name=flags.name
    )
    print(report.table(results.rows))
    print(f"Tables are in {flags.out}.")


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
