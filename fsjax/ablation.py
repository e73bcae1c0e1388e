"""DPNet's ablations: the same training with other switches, on the same episodes, in one program.

Switches are arguments of the compiled step and predictor, so that nothing compiles again from one variant to
the next. All variants have the same parameters, begin with the same ones, and see the same episodes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from fsjax import experiment
from fsjax.data import manifest
from fsjax.data.loader import prefetch
from fsjax.devices import DEVICES, first_copy, replicate
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.evaluate import predictor, run_predictor
from fsjax.evaluation.rows import score_row
from fsjax.evaluation.scales import Scales
from fsjax.evaluation.summary import describe, summaries
from fsjax.files import make_writable
from fsjax.models.dpnet.dpnet import DPNet
from fsjax.models.dpnet.head import Switches
from fsjax.models.method import build, switches
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training.curves import Curves
from fsjax.training.optimizer import learning_rate
from fsjax.training.step import make_state, split, train_step
from fsjax.training.weights import initial_variables


@dataclass(frozen=True)
class Variant:
    """A row of an ablation.

    Attributes:
      name: of the row.
      changes: fields of `config.model.dpnet` that it sets.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)


OFF = Variant("ccm=off", {"ccm": False})
FULL = Variant("ccm")
TABLES = {
    "ccm": (OFF, FULL),
    "all": (
        Variant("baseline", {"pim": False, "msf": False, "ccm": False}),
        Variant("+pim", {"msf": False, "ccm": False}),
        OFF,
        Variant("global", {"pseudo_prototype": "global"}),
        Variant("cosine", {"pseudo_prototype": "cosine"}),
        FULL,
    ),
}
"""The rows of "ccm", which compares the cycle comparison with none, and of DPNet's Tables 3 and 4 together:
"ccm=off" is the row +MSF of the one and the baseline of the other."""


def check(config: ConfigDict, sources: experiment.Sources) -> None:
    """Makes sure that a configuration can be ablated, before an hour of training.

    Raises:
      InputError: for another method, or a configuration that does not fit.
    """
    experiment.check_evaluation(config, sources)
    method = build(config.model)
    if not isinstance(method, DPNet) or not method.head.auxiliary:
        raise InputError("The ablations are DPNet's: give a configuration of it, with its auxiliary branch.")
    if config.train.cached_features or config.eval.cached_features:
        raise InputError(
            "The ablations read photos: set train.cached_features and eval.cached_features=False."
        )
    learning_rate(config.train, config.batch_size, config.lr_scaling)


def run(
    config: ConfigDict, sources: experiment.Sources, out: str | Path, variants: Sequence[Variant]
) -> list[dict]:
    """Trains and evaluates every variant; the last one is compared with each other in pairs of episodes.

    Writes `manifest.jsonl`, for each variant a folder with the curves of its training, and, when all are
    done, `results.json`, `results.md` and `episodes.jsonl`.

    Args:
      config: of DPNet; its fields are described in configs/common.py.
      sources: "train" and "test".
      out: the folder for what is written.
      variants: the last is what the others are compared with.

    Returns:
      The rows: of each variant its master branch, and of the last one the auxiliary branch, too.

    Raises:
      InputError: as `check`, or for weights that do not fit.
      FloatingPointError: when a loss is no longer finite.
    """
    check(config, sources)
    method = build(config.model)
    header, specs, sampler = experiment.novel_episodes(config, sources["test"], "")
    episodes = experiment.read_as_evaluated(config, sources["test"], sampler, specs)
    variables = initial_variables(config, method)
    make_writable(out)
    manifest.write(Path(out) / "manifest.jsonl", header, specs, sources["test"].ids)
    trainer = _Trainer(config, method, sources["train"], variables)
    settings = method.settings(config.eval)
    scales = Scales(config.eval.scales, config.eval.scale_average)

    def predict(switches: Switches, variables: Variables, batch):
        return predictor(replace(method, switches=switches), settings, scales=scales)(variables, batch)

    predict = jax.pmap(predict, in_axes=(None, 0, 0))
    length = len(specs) // header.runs
    runs = [place // length for place in range(len(specs))]
    scored = []
    for variant in variants:
        turned = switches(_with(config.model.dpnet, variant.changes))
        began = time.monotonic()
        learned = trainer.train(variant.name, turned, Path(out) / variant.name)
        counted = run_predictor(partial(predict, turned), learned, episodes, variant.name)
        seconds = time.monotonic() - began
        names = {"master": variant.name}
        if variant is variants[-1]:
            names = {"aux": f"{variant.name}, aux", **names}
        scored += [
            score_row(name, episodes, counted[branch], runs, seconds) for branch, name in names.items()
        ]
    rows = summaries(scored, header, config.eval, [(variants[-1].name, row.name) for row in scored[:-1]])
    about = describe(config, sources, header, trainer.steps, settings)
    report.write_report(Path(out), about, rows, (record for row in scored for record in row.records))
    return rows


class _Trainer:
    """Trains variants from the same variables with one compiled step."""

    def __init__(self, config: ConfigDict, method: DPNet, source, variables: Variables):
        self._plan, self._method, self._source = experiment.make_plan(config, source), method, source
        self._learned, self._frozen = split(method, variables)
        self._step = jax.pmap(self._step_of, DEVICES, in_axes=(None, 0, 0, 0), donate_argnums=(1,))

    def _step_of(self, switches: Switches, *arguments):
        method = replace(self._method, switches=switches)
        return train_step(method, self._plan.optimizer, self._plan.config.seed)(*arguments)

    @property
    def steps(self) -> int:
        """How many steps each variant is trained for."""
        return self._plan.steps

    def train(self, name: str, switches: Switches, folder: Path) -> Variables:
        """Returns the variables after training with these switches, the frozen ones included.

        Args:
          name: for the progress bar.
          switches: what is turned on.
          folder: for the curves.
        """
        log_every = self._plan.config.train.log_every
        state = replicate(make_state(self._learned, self._plan.optimizer))
        frozen = replicate(self._frozen)
        episodes = experiment.training_episodes(self._plan, self._source)
        with Curves(folder, 0) as curves, Progress(f"training {name}", self.steps) as progress:
            for step, batch in enumerate(prefetch(episodes), 1):
                state, values = self._step(switches, state, frozen, batch)
                curves.add(step, values, learning_rate=self._plan.schedule(step - 1))
                if step % log_every == 0 or step == self.steps:
                    curves.flush()
                    progress.reach(step, loss=curves.loss)
        return jax.device_get({**self._frozen, **first_copy(state).variables})


def _with(options: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    changed = options.copy_and_resolve_references()
    changed.update(changes)
    return changed
