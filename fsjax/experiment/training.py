"""Training: one loop for every method."""

import logging
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.config import Found
from fsjax.data.loader import prefetch
from fsjax.data.source import Source
from fsjax.devices import first_copy, replicate, spread
from fsjax.errors import InputError
from fsjax.evaluation.pictures import figures
from fsjax.experiment.settings import Sources, plan_of, variables_before_training, what_is_known
from fsjax.files import make_writable
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
from fsjax.training.step import make_state, make_train_step, split

LOG = logging.getLogger(__name__)


def train(config: ConfigDict, sources: Sources, workdir: str | Path) -> Run:
    """Trains a method on the base classes of a fold, going on from the latest checkpoint if there is one.

    Writes `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `learning_curve.png`. A run that was killed
    and is started again continues as if it had not been.

    Args:
      config: see `fsjax.config.TABLE`.
      sources: whose "train" is trained on.
      workdir: the run's folder.

    Returns:
      The run, whose training has ended.

    Raises:
      InputError: for a configuration that does not fit itself, the data, or the folder's earlier run.
      FloatingPointError: when the loss is no longer finite.
    """
    configuration.check(config)
    if not configuration.trains(config):
        raise InputError("train.steps is 0: this configuration trains nothing, give it to eval.py.")
    workdir, source = Path(workdir), sources["train"]
    method, plan = build.method(config.model), plan_of(config, source)
    found = what_is_known(config, source, plan)
    step_of = make_train_step(method, plan.optimizer, plan.seed)

    with Checkpoints(workdir) as checkpoints:
        # From the beginning, or where an earlier run of the same command stopped
        if checkpoints.latest_step is None:
            learned, fixed = split(method, variables_before_training(config, method, source))
            state = make_state(learned, plan.optimizer)
        else:
            run = Run.open(workdir)
            found = _same_run(run, config, found)
            learned, fixed = split(method, jax.eval_shape(method.init, jax.random.key(config.seed)))
            fixed = run.kept(fixed)
            state = checkpoints.restore(jax.eval_shape(lambda: make_state(learned, plan.optimizer)))
            LOG.info("Going on from step %d of %d in %s.", int(state.step), plan.steps, workdir)
        start = int(state.step)
        make_writable(workdir)
        stacked = replicate(state)

        # A frozen backbone either runs in every step or has run once for each photo
        features = _filled_features(config, source, method, fixed, plan)
        placed = {} if features else replicate(fixed)
        if fixed and start == 0:
            found["backbone_sha256"] = frozen.keep(workdir, fixed["backbone"])

        # The loop
        episodes = plan.episodes(
            source, start, threads=config.data.threads, workers=config.data.workers,
            features=features.reader if features else None,
        )  # fmt: skip
        with Curves(workdir, start) as curves, Progress("training", plan.steps, "step", start) as progress:
            for step, batch in enumerate(prefetch(episodes), start + 1):
                stacked, values = step_of(stacked, placed, batch)
                curves.add(step, values, learning_rate=plan.schedule(step - 1))
                saving = step % config.train.checkpoint_every == 0 or step == plan.steps
                if saving or step % config.train.log_every == 0:
                    curves.flush()
                    progress.reach(step, loss=curves.loss)
                if saving:
                    checkpoints.save(first_copy(stacked), config, found)
    figures.learning_curve(workdir / "learning_curve.png", read_metrics(workdir))
    return Run(workdir, config, found, plan.steps)


def _same_run(run: Run, config: ConfigDict, found: Found) -> Found:
    """Makes sure that a run goes on as it began, and returns what it has found out so far."""
    configuration.check_resumable(run.config, config, run.folder)
    for name in ("data_version", "steps", "base_classes"):
        if run.found.get(name, found[name]) != found[name]:
            raise InputError(
                f"The run in {run.folder} began with {name}={run.found[name]}, not {found[name]}: go on with "
                "the data it began with, or name another folder."
            )
    return {**found, **run.found}


def _filled_features(
    config: ConfigDict, source: Source, method: Trainable, fixed: Variables, plan: Plan
) -> FrozenFeatures | None:
    """Returns the features of all training photos under a frozen backbone, None where photos are read."""
    if not config.train.cached_features:
        return None
    stacked = replicate({**fixed, "head": {}})

    def embed(variables, images, sizes):
        return method.embed(variables, images, sizes).map.astype("float16")

    mapped, side = jax.pmap(embed), plan.inputs.size
    blank = np.zeros((1, side, side, 3), np.uint8), np.full((1, 2), side, np.int32)
    features = FrozenFeatures(
        config.data.feature_dir,
        source,
        lambda images, sizes: np.asarray(mapped(stacked, *spread((images, sizes)))),
        f"{method.backbone} {frozen.digest(fixed['backbone'])}",
        plan.inputs,
        shape=jax.eval_shape(embed, {**fixed, "head": {}}, *blank).shape[1:],
    )
    base = plan.sampler.classes
    photos = sorted({int(position) for c in base for position in plan.sampler.eligible(c)})
    features.fill(photos, mirrored=plan.inputs.flip)
    return features
