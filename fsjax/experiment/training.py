"""Training: one loop for every method."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import compiled, distributed, preemption, tracing
from fsjax import config as configuration
from fsjax.config import Found
from fsjax.data.loader import prefetch
from fsjax.data.source import Source
from fsjax.devices import first_copy, replicate, spread
from fsjax.episode import Episode
from fsjax.errors import InputError, NotFiniteError
from fsjax.evaluation.pictures import figures
from fsjax.experiment.alone import alone
from fsjax.experiment.processes import check_same
from fsjax.experiment.selection import Selection, backbone_selected_on, check_same_selection
from fsjax.experiment.settings import (
    Sources,
    backbone_classes,
    check_settings,
    digest_of_ids,
    plan_of,
    variables_before_training,
    what_is_known,
)
from fsjax.models import build
from fsjax.models.method import Trainable
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training import frozen
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.frozen_features import FrozenFeatures
from fsjax.training.plan import Plan
from fsjax.training.runs import Run
from fsjax.training.saving import Saving
from fsjax.training.step import TrainState, make_state, make_train_step, split
from fsjax.training.weights import RANDOM

LOG = logging.getLogger(__name__)


def train(config: ConfigDict, sources: Sources, workdir: str | Path) -> Run:
    """Trains a method on the base classes of a fold, going on from the latest checkpoint if there is one.

    Writes `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `learning_curve.png`. A run that was killed
    and is started again continues as if it had not been; SIGTERM saves after the next step. With
    `train.select` the best checkpoint that was measured stays beside the latest.

    Args:
      config: see `fsjax.config.TABLE`.
      sources: whose "train" is trained on; on "test" a checkpoint is selected.
      workdir: the run's folder.

    Returns:
      The run, whose training has ended, with its best checkpoint where one is selected, else the last.

    Raises:
      InputError: for a configuration that does not fit itself, the data, or the folder's earlier run.
      FloatingPointError: for a loss, gradients or weights that are not finite; what is, is kept.
      Preempted: SIGTERM, after the checkpoint is saved.
    """
    check_settings(config)
    if not configuration.trains(config):
        raise InputError("train.steps is 0: this configuration trains nothing, give it to eval.py.")
    workdir, source = Path(workdir), sources["train"]
    method, plan = build.trainable(config.model), plan_of(config, source)
    selection = Selection.configured(config, sources, method, plan.steps)
    with alone(workdir), Checkpoints(workdir) as checkpoints:
        config = _keeping(config, checkpoints)
        start = start_of(config, source, method, plan, checkpoints)
        state, fixed, found = start
        if selection:
            selection.check_earlier(found)
        tracing.check(tracing.TRAINING, plan.steps - int(state.step))
        check_same(config, source, plan, state, found)
        checkpoints.clear()
        if fixed and not int(state.step):
            found["backbone_sha256"] = frozen.digest(fixed["backbone"])
            if distributed.is_main():
                frozen.keep(workdir, fixed["backbone"])
        with preemption.deferred(), _named(config, source, plan, checkpoints):
            for reached, stopping in _steps(config, source, method, plan, workdir, start, selection):
                checkpoints.save(reached, config, found)
                if stopping:  # who leaves ends the others, also one that is still at work on files
                    checkpoints.finish()
    if distributed.is_main():
        figures.learning_curve(workdir / "learning_curve.png", read_metrics(workdir), config.train.select)
    distributed.barrier("trained")
    return Run(workdir, config, found, found["selection"]["step"] if selection else plan.steps)


Start = tuple[TrainState, Variables, Found]
"""The state to go on from, the variables that are never trained, and what the run has found out."""


def _keeping(config: ConfigDict, checkpoints: Checkpoints) -> ConfigDict:
    """Returns the configuration with the steps that an earlier run in the folder kept among those to keep."""
    if checkpoints.latest_step is None:
        return config
    stored, _ = checkpoints.stored()
    keeping = config.copy_and_resolve_references()
    keeping.train.keep = tuple(sorted({*config.train.keep, *stored.train.keep}))
    return keeping


@contextmanager
def _named(config: ConfigDict, source: Source, plan: Plan, checkpoints: Checkpoints) -> Iterator[None]:
    """Says where a training meets numbers that are not finite, and what is left of it."""
    try:
        yield
    except NotFiniteError as error:
        last = checkpoints.last_saved
        coarse = config.model.compute_dtype != "float32"
        cures = ["lower train.learning_rate", *["set model.compute_dtype=float32"] * coarse]
        left = (
            f"the last good checkpoint is that of step {last}" if last else "no checkpoint was saved before"
        )
        raise FloatingPointError(
            f"{error.what}, after {plan.told(error.step, source.ids)}: look at these photos and their masks, "
            f"{' or '.join(cures)}, and begin anew in another --workdir; {left}."
        ) from error


def start_of(
    config: ConfigDict, source: Source, method: Trainable, plan: Plan, checkpoints: Checkpoints
) -> Start:
    """Returns where a training starts: at its latest checkpoint, or before its first step.

    Raises:
      InputError: for weights that do not fit, or an earlier run in the folder that began otherwise.
    """
    begin = _begin if checkpoints.latest_step is None else _resume
    return begin(config, source, method, plan, checkpoints)


def _begin(
    config: ConfigDict, source: Source, method: Trainable, plan: Plan, checkpoints: Checkpoints
) -> Start:
    variables = variables_before_training(config, method, source)
    learned, fixed = split(method, variables)
    found = what_is_known(config, source, plan)
    found["train_ids_sha256"] = digest_of_ids(source)
    found["backbone_classes"] = backbone_classes(config, source)
    if config.model.weights not in ("", RANDOM):
        found["weights_sha256"] = frozen.digest(variables["backbone"])
    if novel := backbone_selected_on(config):
        found["backbone_selected_on"] = novel
    return make_state(learned, plan.optimizer), fixed, found


def _resume(
    config: ConfigDict, source: Source, method: Trainable, plan: Plan, checkpoints: Checkpoints
) -> Start:
    """Returns where an earlier run of the same command stopped."""
    stored, earlier = checkpoints.stored()
    run = Run(checkpoints.workdir, stored, earlier, checkpoints.chosen())
    found = _same_run(run, config, what_is_known(config, source, plan))
    if checkpoints.latest_step != plan.steps:
        check_same_selection(run, config)
    learned, fixed = split(method, jax.eval_shape(method.init, jax.random.key(config.seed)))
    state = checkpoints.restore(jax.eval_shape(lambda: make_state(learned, plan.optimizer)))
    LOG.info("Going on from step %d of %d in %s.", int(state.step), plan.steps, run.folder)
    return state, run.kept(fixed), found


def _steps(
    config: ConfigDict,
    source: Source,
    method: Trainable,
    plan: Plan,
    workdir: Path,
    begin: Start,
    selection: Selection | None,
) -> Iterator[tuple[TrainState, bool]]:
    """Trains on from where it starts, and yields the states to be saved, and whether it stops after each."""
    state, fixed, found = begin
    start, part = int(state.step), config.train
    step_of = make_train_step(method, plan.optimizer, plan.seed, plan.parts, plan.schedule)
    stacked = replicate(state)
    with preemption.at_once():  # nothing is lost yet; features of a frozen backbone may take hours
        placed, episodes = _prepared(config, source, method, plan, fixed, start)
    saving = Saving(part.checkpoint_every, part.checkpoint_minutes, part.log_every, {*part.keep, plan.steps})
    left = selection.measure_left(start, _whole(fixed, stacked), found) if selection else None
    with (
        Curves(workdir, start, selected=left, writes=distributed.is_main()) as curves,
        Progress("training", plan.steps, "step", start) as progress,
    ):
        batches = tracing.steps(tracing.TRAINING, prefetch(episodes), lambda: stacked)
        for step, batch in enumerate(batches, start + 1):
            stacked, values = step_of(stacked, placed, batch)
            curves.add(step, values)
            stopping = preemption.reached(step)
            due = saving.due(step) or stopping
            if selection and selection.due(step):
                curves.check()
                score = selection.measure_unless_stopping(step, _whole(fixed, stacked), found, stopping)
                if score is not None:
                    curves.select(score)
                due, stopping = True, stopping or score is None
            if due or step % part.log_every == 0:
                curves.flush()
                progress.reach(step, loss=curves.loss)
            if due:
                # With what was measured, which is neither lost nor measured again.
                yield first_copy(stacked), stopping
                saving.saved()
            if stopping:
                raise preemption.Preempted(_stopped(workdir, step, plan.steps))


def _prepared(
    config: ConfigDict, source: Source, method: Trainable, plan: Plan, fixed: Variables, start: int
) -> tuple[Variables, Iterator[Episode]]:
    """Returns what is never trained, placed on the devices, and the batches from a step on.

    A frozen backbone either runs in every step or has run once for each photo, and is not placed then.
    """
    features = _filled_features(config, source, method, fixed, plan)
    episodes = plan.episodes(
        source, start, threads=config.data.threads, workers=config.data.workers,
        features=features.reader if features else None,
    )  # fmt: skip
    return {} if features else replicate(fixed), episodes


def _whole(fixed: Variables, stacked: TrainState) -> Variables:
    return {**fixed, **jax.device_get(first_copy(stacked.variables))}


def _stopped(workdir: Path, step: int, steps: int) -> str:
    return (
        f"SIGTERM: the training in {workdir} stops after step {step} of {steps}, which is saved; the same "
        "command goes on."
    )


def _same_run(run: Run, config: ConfigDict, found: Found) -> Found:
    """Makes sure that a run goes on as it began, and returns what it has found out so far."""
    configuration.check_resumable(run.config, config, run.folder)
    for name in ("data_version", "steps", "base_classes"):
        if run.found.get(name, found[name]) != found[name]:
            cure = "go on with the data it began with, or name another folder"
            if name == "data_version":
                cure += "; data of before fsjax 0.3 are no longer read, and their run can only be evaluated"
            raise InputError(
                f"The run in {run.folder} began with {name}={run.found[name]}, not {found[name]}: {cure}."
            )
    return {**found, **run.found}


def _filled_features(
    config: ConfigDict, source: Source, method: Trainable, fixed: Variables, plan: Plan
) -> FrozenFeatures | None:
    """Returns the features of all training photos under a frozen backbone, None where photos are read."""
    if not config.train.cached_features:
        return None
    stacked = replicate({**fixed, "head": {}})
    mapped, side = compiled.embed_frozen(method), plan.inputs.size
    blank = np.zeros((1, side, side, 3), np.uint8), np.full((1, 2), side, np.int32)
    features = FrozenFeatures(
        config.data.feature_dir,
        source,
        lambda images, sizes: np.asarray(mapped(stacked, *spread((images, sizes)))),
        f"{method.backbone} {frozen.digest(fixed['backbone'])}",
        plan.inputs,
        shape=jax.eval_shape(method.embed, {**fixed, "head": {}}, *blank).map.shape[1:],
    )
    base = plan.sampler.classes
    photos = sorted({int(position) for c in base for position in plan.sampler.eligible(c)})
    # Each process fills its share, and then what it still lacks: all, where each has a disk of its own.
    features.fill(
        photos[distributed.process_index() :: distributed.process_count()], mirrored=plan.inputs.flip
    )
    distributed.barrier("features")
    if distributed.several():
        features.fill(photos, mirrored=plan.inputs.flip)
    return features
