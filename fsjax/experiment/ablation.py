"""DPNet's ablation: trainings that differ in one switch, evaluated on the same episodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.paired import Comparison
from fsjax.evaluation.summary import Scored, summaries
from fsjax.experiment.alone import alone
from fsjax.experiment.evaluation import evaluate
from fsjax.experiment.settings import Sources, check
from fsjax.experiment.training import train

BRANCHES = ("aux", "master")


@dataclass(frozen=True)
class Variant:
    """A row of an ablation.

    Attributes:
      name: of the row.
      folder: of its run.
      changes: fields of `config.model.dpnet` that it sets.
    """

    name: str
    folder: str
    changes: Mapping[str, Any] = field(default_factory=dict)


OFF = Variant("ccm=off", "ccm_off", {"ccm": False})
FULL = Variant("ccm", "ccm")
VARIANTS = (OFF, FULL)
"""The last is what the others are compared with."""


def check_ablation(config: ConfigDict) -> None:
    """Makes sure that a configuration can be ablated.

    Raises:
      InputError: for another method, or no auxiliary branch.
    """
    if config.model.name != "dpnet" or not config.model.dpnet.auxiliary:
        raise InputError("The ablation is DPNet's: give a configuration of it, with its auxiliary branch.")


def ablate(config: ConfigDict, sources: Sources, out: str | Path) -> list[dict[str, Any]]:
    """Trains and evaluates every one of `VARIANTS` as train.py does, and compares the last with the others.

    Each has its run in a folder of its own, and goes on from there when the same command is started again.
    Writes `results.json`, `results.md` and `episodes.jsonl` of the comparison beside them.

    Args:
      config: of DPNet.
      sources: "train" and "test".
      out: the folder for the runs and the tables.

    Returns:
      The rows: of each variant its master branch, and of the last one the auxiliary branch, too.

    Raises:
      InputError: as `check` and `check_ablation`, or for weights that do not fit.
      FloatingPointError: when a loss is no longer finite.
    """
    check(config, sources)
    check_ablation(config)
    with alone(Path(out)):
        return _ablated(config, sources, Path(out))


def _ablated(config: ConfigDict, sources: Sources, out: Path) -> list[dict[str, Any]]:
    scored: list[Scored] = []
    for variant in VARIANTS:
        changed, workdir = _with(config, variant.changes), out / variant.folder
        found = evaluate(changed, sources, workdir, run=train(changed, sources, workdir))
        names = {"aux": f"{variant.name}, aux", "master": variant.name}
        branches = BRANCHES if variant is VARIANTS[-1] else BRANCHES[-1:]
        scored += [_renamed(row, names[row.name]) for row in found.scored if row.name in branches]
    about = replace(found.description, checkpoint_sha256=None, selection=None)
    comparisons = [Comparison(scored[-1].name, row.name) for row in scored[:-1]]
    rows = summaries(scored, about, comparisons)
    report.write_report(out, about, rows, (record for row in scored for record in row.records))
    return rows


def _renamed(row: Scored, name: str) -> Scored:
    return replace(row, name=name, records=[{**record, "row": name} for record in row.records])


def _with(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    changed = config.copy_and_resolve_references()
    changed.model.dpnet.update(changes)
    changed.eval.rows = BRANCHES
    configuration.check(changed)
    return changed
