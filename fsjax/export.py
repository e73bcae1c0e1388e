"""Writes the model of a run as one file for others, or says what such a file holds.

    python -m fsjax.export runs/prnet_shapes_fold0 prnet_shapes.safetensors
    python -m fsjax.export runs/prnet_shapes_fold0 prnet_shapes.safetensors --step=600
    python -m fsjax.export --show prnet_shapes.safetensors

The file holds the variables, the configuration, what the run was trained on, what made it, hashes of all
this, and the scores in the run's folder where they are of this checkpoint. DPNet's auxiliary branch is left
out. An earlier export of that name is replaced.
"""

import hashlib
import logging
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation.provenance import provenance
from fsjax.evaluation.results import Results
from fsjax.training import release

LOG = logging.getLogger(__name__)

FLAGS = {"step": "The checkpoint; by default the best where the run selects one, else the latest."}
SWITCHES = {"show": "Says what a file holds, after its hashes have been checked."}


def program(argv: list[str]) -> None:
    """Exports, and prints what is in the file."""
    flags, places = cli.parse(argv, __doc__, FLAGS, SWITCHES, fields=False, places=True)
    if len(places) != (1 if flags.show else 2) or (flags.show and flags.step):
        raise InputError("Name the folder of a run and the file to write, or with --show one file alone.")
    if flags.step and not flags.step.isdecimal():
        raise InputError(f"--step is {flags.step!r}: give the number of a checkpoint.")
    if not flags.show:
        folder, file = places
        step = int(flags.step) if flags.step else None
        release.export_run(folder, file, step, provenance(), _evaluation(Path(folder)))
    print("\n".join(_lines(release.read(places[-1]))))


def _evaluation(folder: Path) -> dict[str, Any] | None:
    """Returns the scores in a run's folder, with what tells which checkpoint they are of."""
    if not (folder / "results.json").is_file():
        return None
    try:
        header = Results.read(folder).header
    except InputError as error:
        LOG.info("The scores are left out: %s", error)
        return None
    kept = ("title", "classes", "trained_classes", "protocol", "checkpoint_sha256", "manifest_sha256")
    columns = ("name", "mean_iou", "ci95", "episodes")
    rows = [{name: row.get(name) for name in columns} for row in header["rows"]]
    return {**{name: header.get(name) for name in kept}, "rows": rows}


def _lines(model: release.Export) -> list[str]:
    """Returns what a file holds, as aligned text."""
    size = model.path.stat().st_size
    sha256 = hashlib.sha256(model.path.read_bytes()).hexdigest()
    facts = dict(_facts(model))
    width = max(map(len, facts)) + 2
    told = [
        textwrap.fill(f"{name:<{width}}{text}", 110, subsequent_indent=" " * width)
        for name, text in facts.items()
    ]
    return [f"{model.path}: {size / 1e6:,.2f} MB, sha256 {sha256}", *told]


def _facts(model: release.Export) -> Iterator[tuple[str, str]]:
    """Yields what a file says of itself."""
    config, found, header = model.config, model.found, model.header
    options = "".join(f", {name} {value}" for name, value in config.model.backbone_options.items())
    yield "method", f"{config.model.name} on {config.model.backbone}{options}"
    yield "parameters", f"{header['parameters']:,}"
    if header["as_trained"]:
        yield "left out", "the auxiliary branch of DPNet"
    yield "checkpoint", _checkpoint(model)
    yield "data", f"{config.data.name} {found.get('data_version', '')}, fold {config.fold}"
    yield "trained on", ", ".join(found.get("base_classes", ["classes that the run did not write down"]))
    if others := found.get("backbone_classes"):
        yield "backbone saw", ", ".join(others)
    if novel := found.get("novel_classes"):
        yield "held out", ", ".join(novel)
    if config.model.weights:
        sha256 = found.get("weights_sha256")
        yield "began with", f"{config.model.weights} weights" + (f", sha256 {sha256}" if sha256 else "")
    if header["evaluation"]:
        yield "scores", "; ".join(_scores(header["evaluation"]))
    if header["made_by"]:
        yield "exported by", _made_by(header["made_by"])
    yield "variables", f"sha256 {header['variables_sha256']}"


def _checkpoint(model: release.Export) -> str:
    """Says which checkpoint a file holds, and how it was chosen."""
    config, found, step = model.config, model.found, model.header["step"]
    steps = f" of {found['steps']:,}" if "steps" in found else ""
    text = f"step {step:,}{steps}"
    if not model.header["selected"]:
        return text
    best = found["selection"]
    return (
        f"{text}, selected by {config.train.select}: {best['row']} {best['score']:.1f} on "
        f"{best['episodes']:,} episodes"
    )


def _scores(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yields the scores of a file, mean-IoU in percent with intervals of 95%."""
    for row in evaluation["rows"]:
        low, high = row["ci95"] or (None, None)
        between = "" if low is None or high is None else f" ({low:.1f} to {high:.1f})"
        mean = "-" if row["mean_iou"] is None else f"{row['mean_iou']:.1f}"
        yield f"{row['name']} {mean}{between}"
    shown = {name: evaluation["protocol"].get(name) for name in ("ways", "shots", "size")}
    said = ", ".join(f"{name} {value}" for name, value in shown.items())
    yield f"{evaluation['rows'][0]['episodes']:,} episodes of {', '.join(evaluation['classes'])}, {said}"
    if evaluation["trained_classes"]:
        yield f"trained on {', '.join(evaluation['trained_classes'])}: no test on new classes"


def _made_by(said: Mapping[str, Any]) -> str:
    """Says what exported a file, and on what."""
    versions = [f"{name} {said[name]}" for name in ("fsjax", "jax", "flax", "numpy", "python")]
    commit = (
        f"commit {said['commit']}{'' if said['clean'] else ', changed'}" if said["commit"] else "no commit"
    )
    return ", ".join([*versions, commit, f"{said['devices']} x {said['device']}"])


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
