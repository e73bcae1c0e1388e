"""What a training would do, said before it begins; nothing is trained."""

import contextlib
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.data.redraws import count_redraws
from fsjax.data.source import Source
from fsjax.episode import Episode
from fsjax.evaluation.pictures.training_sheet import training_sheet
from fsjax.experiment.costs import costs
from fsjax.experiment.selection import NONE, NOVEL_FOLD, Selection
from fsjax.experiment.sentences import (
    ELSEWHERE,
    classes,
    cost_of,
    devices,
    in_bytes,
    in_lines,
    number_of,
)
from fsjax.experiment.settings import Sources, check, check_settings, novel_episodes, optimizer_of, plan_of
from fsjax.experiment.shapes import episode_of, stacked, variables_of
from fsjax.experiment.training import start_of
from fsjax.files import make_writable
from fsjax.models import build
from fsjax.models.method import Trainable
from fsjax.models.variables import Variables
from fsjax.training import weights
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.optimizer import OptimizerSettings, learning_rate, make_optimizer
from fsjax.training.plan import Plan, parts_of, rate_factor, slots_of
from fsjax.training.runs import Run
from fsjax.training.step import TrainState, make_state, make_train_step, split, trainable

SHEET = "dry_run.png"
EPISODES = 6
"""On the sheet."""

COUNTED = 100
"""Episodes in which redrawn crops and rotations are counted."""

_CHANGES = 8


def rehearse(config: ConfigDict, sources: Sources, workdir: str | Path, why: str = "") -> list[str]:
    """Says what a training would do and cost, and draws its first episodes as augmented.

    An earlier run's checkpoint, and weights that are here, are read as in `train`, so that what would be
    refused there is refused here. Nothing is fetched. `dry_run.png` is all that is written in the run's
    folder; elsewhere the class index may be, with the data, and compiled programs with the others.

    Args:
      config: see `fsjax.config.TABLE`.
      sources: "train" and "test"; without them all is said that needs no data, and nothing is drawn.
      workdir: the run's folder.
      why: the sentence that says why there are none.

    Returns:
      Lines of at most 100 characters.

    Raises:
      InputError: as `train`.
    """
    if not sources:
        return in_lines(_without_data(config, Path(workdir), why))
    check(config, sources)
    workdir, source = Path(workdir), sources["train"]
    method, plan = build.trainable(config.model), plan_of(config, source)
    selection = Selection.configured(config, sources, method, plan.steps)
    with Checkpoints(workdir) as checkpoints:
        reached = checkpoints.latest_step or 0
        lacking = "" if reached else weights.missing(config.model.weights, method.backbone)
        state, fixed = _variables(config, source, method, plan, checkpoints, lacking)
    batches = _batches(config, source, plan, reached)
    if jax.process_index() == 0:
        make_writable(workdir)
        training_sheet(workdir / SHEET, _episodes(batches)[:EPISODES], source.class_names)
    _, _, novel = novel_episodes(config, sources["test"], "", count=0)
    data = f"{source.name} ({source.title}), version {source.version}"
    return in_lines(
        [
            _what(config, data, state, fixed),
            *([lacking] if lacking else []),
            classes(f"Trained on, with the photos of {source.split} that count", plan.sampler),
            classes(f"Evaluated, with the photos of {sources['test'].split} that count", novel),
            f"{_how_long(config, plan.steps, reached)} {_epochs(config, plan)}",
            _learning_rate(plan.schedule, plan.steps),
            *_selection(config, sources["test"], method, selection),
            *_devices(config, method, plan.optimizer, state, fixed),
            *_redrawn(plan, source),
            f"The first episodes as augmented are in {workdir / SHEET}. Nothing was trained.",
        ]
    )


def _without_data(config: ConfigDict, workdir: Path, why: str) -> list[str]:
    """Says of a training what needs neither data nor weights."""
    check_settings(config)
    with Checkpoints(workdir) as checkpoints:
        reached = checkpoints.latest_step or 0
    if reached:
        configuration.check_resumable(Run.open(workdir).config, config, workdir)
    method = build.trainable(config.model)
    lacking = "" if reached else weights.missing(config.model.weights, method.backbone)
    train, settings = config.train, optimizer_of(config)
    factor = rate_factor(config.batch_size, train.reference_batch_size, config.lr_scaling)
    known = () if train.epochs else learning_rate(settings, train.steps, factor)
    schedule = known[0] if known else optax.constant_schedule(settings.learning_rate * factor)
    optimizer = make_optimizer(settings, schedule)
    learned, fixed = split(method, variables_of(method))
    state = jax.eval_shape(lambda: make_state(learned, optimizer))
    chosen = "No checkpoint is selected: the last one" if train.select == NONE else "The best checkpoint"
    by = "" if train.select == NONE else f" ({train.select})"
    return [
        _what(config, f"{config.data.name}, not at hand", state, fixed),
        f"{why} Without it nothing can be said of classes and photos, and no episodes are drawn.",
        *([lacking] if lacking else []),
        _how_long(config, known[1] if known else None, reached),
        _learning_rate(*known) if known else _unknown_rate(settings, factor),
        f"{chosen} is evaluated{by}.",
        *_devices(config, method, optimizer, state, fixed),
        "Nothing was trained, and nothing is written.",
    ]  # fmt: skip


def _variables(
    config: ConfigDict,
    source: Source,
    method: Trainable,
    plan: Plan,
    checkpoints: Checkpoints,
    lacking: str,
) -> tuple[TrainState, Variables]:
    """Returns where training starts and what stays frozen; of values not at hand the shapes alone."""
    drawn = config.model.weights in ("", weights.RANDOM)
    if checkpoints.latest_step is None and (drawn or lacking):
        learned, fixed = split(method, variables_of(method))
        return jax.eval_shape(lambda: make_state(learned, plan.optimizer)), fixed
    state, fixed, _ = start_of(config, source, method, plan, checkpoints)
    return state, fixed


def _batches(config: ConfigDict, source: Source, plan: Plan, reached: int) -> list[Episode]:
    """Returns the next batches of a training, as many as the sheet needs; of one that has ended its last."""
    needed = -(-EPISODES // plan.batch_size)
    start = min(reached, max(plan.steps - needed, 0))
    episodes = plan.episodes(source, start, threads=config.data.threads, workers=0)
    with contextlib.closing(episodes):  # type: ignore[type-var]
        return list(islice(episodes, needed))


def _episodes(batches: Sequence[Episode]) -> list[Episode]:
    """Returns the episodes of this host without their device and batch axes, no fillings, in order."""
    found = [
        jax.tree.map(lambda x, place=place: x[place], batch)
        for batch in batches
        for place in map(tuple, np.argwhere(batch.weight > 0).tolist())
    ]
    return sorted(found, key=lambda episode: int(episode.index))


def _what(config: ConfigDict, data: str, state: TrainState, fixed: Mapping[str, Any]) -> str:
    learned = sum(leaf.size for leaf in jax.tree.leaves(trainable(state.variables)))
    kept = sum(leaf.size for leaf in jax.tree.leaves(fixed))
    begun = config.model.weights or "none: it begins at random"
    frozen = f"; {kept:,} are frozen" if fixed else ""
    return (
        f"{config.model.name} over {config.model.backbone}, weights {begun}. {learned:,} values are learned"
        f"{frozen}. Data: {data}, fold {config.fold}."
    )


def _how_long(config: ConfigDict, steps: int | None, reached: int) -> str:
    """Says how many steps there are; None where that follows from the data."""
    train = config.train
    begun = f" {reached:,} steps are done; it goes on from there." if reached else ""
    walks = f"{number_of(train.epochs, 'walk')} through all pairs of a photo and a class, in steps"
    return (
        f"{walks if steps is None else f'{steps:,} steps'} of {number_of(config.batch_size, 'episode')}, "
        f"{train.ways}-way {train.shots}-shot with {number_of(train.queries, 'query', 'queries')} at "
        f"{train.size}x{train.size} px, drawn by {train.policy}.{begun}"
    )


def _epochs(config: ConfigDict, plan: Plan) -> str:
    sampler = plan.sampler
    eligible = sampler.counted[:, np.array(sampler.classes) - 1]
    pairs, episodes = int(eligible.sum()), plan.steps * plan.batch_size
    photos = int(eligible.any(axis=1).sum())
    dropped = ", none with a novel class" if config.data.drop_novel_images else ""
    return (
        f"{photos:,} photos make {pairs:,} eligible "
        f"pairs of a photo and a class (min_area {config.data.min_area}{dropped}): {episodes:,} episodes are "
        f"{episodes * config.train.queries / pairs:.3g} epochs of them as queries."
    )


def _learning_rate(schedule: optax.Schedule, steps: int) -> str:
    """Says the learning rate in words, from the schedule's own values."""
    rates = np.broadcast_to(np.asarray(schedule(np.arange(steps))), steps)
    changes = np.flatnonzero(np.diff(rates)) + 1
    if len(changes) <= _CHANGES:
        later = "".join(f", from step {step:,} on {rates[step]:.3g}" for step in changes.tolist())
        return f"Learning rate: {rates[0]:.3g}{later or ' throughout'}."
    peak = int(rates.argmax())
    rise = f"rises from {rates[0]:.3g} to {rates[peak]:.3g} over {peak:,} steps, then" if peak else ""
    return f"Learning rate: {rise} falls from {rates[peak]:.3g} to {rates[-1]:.3g} until the last step."


def _unknown_rate(settings: OptimizerSettings, factor: float) -> str:
    """Says the learning rate where the number of steps is not known."""
    highest = f"Learning rate: {settings.learning_rate * factor:.3g}"
    if settings.schedule == "constant":
        return f"{highest} throughout."
    return f"{highest} at its highest, {settings.schedule}; how it changes follows from the number of steps."


def _selection(config: ConfigDict, test: Source, method: Trainable, selection: Selection | None) -> list[str]:
    """Says which checkpoint counts, and what it is selected on."""
    if selection is None:
        return ["No checkpoint is selected: the last one is evaluated."]
    part, train = config.eval, config.train
    novel = train.select == NOVEL_FOLD
    which = "" if novel else " and that are held out of training"
    mark = " These are the tested classes: scores will be too high, and every table says so." if novel else ""
    return [
        f"The best checkpoint is evaluated ({train.select}): {number_of(selection.times, 'time')}, every "
        f"{number_of(train.select_every, 'step')} and after the last, the mean-IoU of {method.final} is "
        f"measured on the same {number_of(train.select_episodes, 'episode')}, {part.ways}-way "
        f"{part.shots}-shot at {part.size} px.{mark}",
        classes(f"Selected on, with the photos of {test.split} that count{which}", selection.sampler),
    ]


def _devices(
    config: ConfigDict,
    method: Trainable,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    fixed: Variables,
) -> list[str]:
    """Says what a training runs on, and what its step costs there."""
    accumulate = config.train.accumulate
    slots = slots_of(config.batch_size, accumulate)
    places = slots.local * slots.process_count
    batch = stacked(episode_of(config, method), slots.devices, slots.per_device)
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, fixed)))
    read = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(batch)) // slots.devices
    idle = places - config.batch_size
    spare = (
        f" {idle} of {places} slots are idle: --config.batch_size={places} --config.lr_scaling=linear would "
        "use them."
    )
    said = (
        f"{devices()}, each with {number_of(slots.per_device, 'episode')}, {in_bytes(held)} of weights and "
        f"optimiser state and {in_bytes(read)} of photos and masks a step.{spare if idle else ''}"
    )
    if jax.process_count() > 1:
        return [said, "What a step costs is said where one process runs alone."]
    placed = {} if config.train.cached_features else fixed
    step = make_train_step(method, optimizer, config.seed, parts_of(config.batch_size, accumulate).number)
    found = costs(step, stacked(state, slots.devices), stacked(placed, slots.devices), batch)
    handed_in = "weights, optimiser state, photos and masks"
    return [said, f"{cost_of('a step', found, handed_in, 'features and gradients')} {ELSEWHERE}"]


def _redrawn(plan: Plan, source: Source) -> list[str]:
    """Says how often objects left the picture, where photos are cropped or rotated."""
    if not plan.inputs.warps:
        return []
    count = min(COUNTED, plan.steps * plan.batch_size)
    found = count_redraws(source, map(plan.sampler, range(count)), plan.inputs, plan.seed)
    return [
        f"Crops and rotations in the first {number_of(count, 'episode')}: of {found.photos:,} photos "
        f"{found.again:,} are drawn anew, as an object would be lost, {found.attempts:,} times in all; "
        f"{found.plain:,} are only resized in the end."
    ]
