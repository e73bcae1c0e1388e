"""What a training would do, said before it begins; nothing is trained."""

import contextlib
import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax.data.redraws import count_redraws
from fsjax.data.sampling import EpisodeSampler
from fsjax.data.source import Source
from fsjax.episode import Episode
from fsjax.evaluation.pictures.training_sheet import training_sheet
from fsjax.experiment.selection import NOVEL_FOLD, Selection
from fsjax.experiment.settings import Sources, check, novel_episodes, plan_of
from fsjax.experiment.training import start_of
from fsjax.files import make_writable
from fsjax.models import build
from fsjax.models.method import Trainable
from fsjax.models.variables import Variables
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.plan import Plan
from fsjax.training.step import TrainState, make_state, split, trainable
from fsjax.training.weights import RANDOM

SHEET = "dry_run.png"
EPISODES = 6
"""On the sheet."""

COUNTED = 100
"""Episodes in which redrawn crops and rotations are counted."""

WIDTH = 100
_NAMED = 120
_CHANGES = 8
TIED = "\0"  # a space at which no line is broken


def rehearse(config: ConfigDict, sources: Sources, workdir: str | Path) -> list[str]:
    """Says what a training would do, and draws its first episodes as augmented.

    Weights and an earlier run's checkpoint are read as in `train`, so that what would be refused there is
    refused here. `dry_run.png` is all that is written in the run's folder; elsewhere the class index may be,
    with the data, and weights in the hub's cache.

    Args:
      config: see `fsjax.config.TABLE`.
      sources: "train" and "test".
      workdir: the run's folder.

    Returns:
      Lines of at most 100 characters.

    Raises:
      InputError: as `train`.
    """
    check(config, sources)
    workdir, source = Path(workdir), sources["train"]
    method, plan = build.method(config.model), plan_of(config, source)
    selection = Selection.configured(config, sources, method, plan.steps)
    with Checkpoints(workdir) as checkpoints:
        reached = checkpoints.latest_step or 0
        state, fixed = _variables(config, source, method, plan, checkpoints)
    batches = _batches(config, source, plan, reached)
    if jax.process_index() == 0:
        make_writable(workdir)
        training_sheet(workdir / SHEET, _episodes(batches)[:EPISODES], source.class_names)
    _, _, novel = novel_episodes(config, sources["test"], "", count=0)
    paragraphs = [
        _what(config, source, state, fixed),
        classes(f"Trained on, with the photos of {source.split} that count", plan.sampler),
        classes(f"Evaluated, with the photos of {sources['test'].split} that count", novel),
        _how_long(config, plan, reached),
        _learning_rate(plan),
        *_selection(config, sources["test"], method, selection),
        _devices(plan, batches[0], state, fixed),
        *_redrawn(plan, source),
        f"The first episodes as augmented are in {workdir / SHEET}. Nothing was trained.",
    ]
    return [
        line.replace(TIED, " ")
        for text in paragraphs
        for line in (*textwrap.wrap(text, WIDTH, break_on_hyphens=False), "")
    ][:-1]


def _variables(
    config: ConfigDict, source: Source, method: Trainable, plan: Plan, checkpoints: Checkpoints
) -> tuple[TrainState, Variables]:
    """Returns where training starts and what stays frozen; of values drawn at random the shapes alone."""
    if checkpoints.latest_step is None and config.model.weights in ("", RANDOM):
        learned, fixed = split(method, jax.eval_shape(method.init, jax.random.key(config.seed)))
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


def _what(config: ConfigDict, source: Source, state: TrainState, fixed: Mapping[str, Any]) -> str:
    learned = sum(leaf.size for leaf in jax.tree.leaves(trainable(state.variables)))
    kept = sum(leaf.size for leaf in jax.tree.leaves(fixed))
    weights = config.model.weights or "none: it begins at random"
    frozen = f"; {kept:,} are frozen" if fixed else ""
    return (
        f"{config.model.name} over {config.model.backbone}, weights {weights}. {learned:,} values are learned"
        f"{frozen}. Data: {source.name} ({source.title}), version {source.version}, fold {config.fold}."
    )


def classes(what: str, sampler: EpisodeSampler) -> str:
    """Returns the classes of a sampler with their eligible photos, the most frequent first."""
    counts = {sampler.class_names[c - 1]: len(sampler.eligible(c)) for c in sampler.classes}
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{name} {count:,}".replace(" ", TIED) for name, count in ranked]
    if len(named) > _NAMED:
        half = _NAMED // 2
        named = [*named[:half], f"({len(named) - 2 * half:,} others)".replace(" ", TIED), *named[-half:]]
    return f"{what}, {number_of(len(counts), 'class', 'classes')}: {', '.join(named)}."


def _how_long(config: ConfigDict, plan: Plan, reached: int) -> str:
    train, sampler = config.train, plan.sampler
    eligible = sampler.counted[:, np.array(sampler.classes) - 1]
    pairs, episodes = int(eligible.sum()), plan.steps * plan.batch_size
    photos = int(eligible.any(axis=1).sum())
    dropped = ", none with a novel class" if config.data.drop_novel_images else ""
    begun = f" {reached:,} steps are done; it goes on from there." if reached else ""
    return (
        f"{plan.steps:,} steps of {number_of(plan.batch_size, 'episode')}, {train.ways}-way "
        f"{train.shots}-shot with {number_of(train.queries, 'query', 'queries')} at {train.size}x"
        f"{train.size} px, drawn by {train.policy}.{begun} {photos:,} photos make {pairs:,} eligible "
        f"pairs of a photo and a class (min_area {config.data.min_area}{dropped}): {episodes:,} episodes are "
        f"{episodes * train.queries / pairs:.3g} epochs of them as queries."
    )


def _learning_rate(plan: Plan) -> str:
    """Says the learning rate in words, from the schedule's own values."""
    rates = np.broadcast_to(np.asarray(plan.schedule(np.arange(plan.steps))), plan.steps)
    changes = np.flatnonzero(np.diff(rates)) + 1
    if len(changes) <= _CHANGES:
        later = "".join(f", from step {step:,} on {rates[step]:.3g}" for step in changes.tolist())
        return f"Learning rate: {rates[0]:.3g}{later or ' throughout'}."
    peak = int(rates.argmax())
    rise = f"rises from {rates[0]:.3g} to {rates[peak]:.3g} over {peak:,} steps, then" if peak else ""
    return f"Learning rate: {rise} falls from {rates[peak]:.3g} to {rates[-1]:.3g} until the last step."


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


def _devices(plan: Plan, batch: Episode, state: TrainState, fixed: Mapping[str, Any]) -> str:
    devices = len(batch.weight)
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, fixed)))
    read = sum(leaf.nbytes for leaf in jax.tree.leaves(batch)) // devices
    idle = int((batch.weight == 0).sum())
    spare = f" {idle} of {batch.weight.size} slots are idle." if idle else ""
    kind = jax.local_devices()[0].platform
    return (
        f"{number_of(devices, 'device')} ({kind}), each with {_megabytes(held)} of weights and optimiser "
        f"state and {_megabytes(read)} of photos and masks a step; features and gradients come on top.{spare}"
    )


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


def number_of(count: int, one: str, many: str = "") -> str:
    """Returns "1 class" or "1,200 classes"; without a plural it is the word with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
