"""The last room: train a method on base classes, evaluate it on novel ones, write down what came out."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import optax
from ml_collections import ConfigDict

from fsjax.data import manifest
from fsjax.data.images import InputSettings
from fsjax.data.loader import Slots, batches, prefetch
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, PairSampler, build_index, fold_classes
from fsjax.data.source import Source
from fsjax.devices import first_copy, replicate
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.evaluation import metrics, report
from fsjax.evaluation.evaluate import Episodes
from fsjax.evaluation.pictures import figures, sheet
from fsjax.evaluation.rows import Evaluation, check_rows
from fsjax.evaluation.scales import Scales
from fsjax.evaluation.summary import describe, summaries
from fsjax.files import make_writable
from fsjax.models.method import Method, build
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training import frozen
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.frozen_features import FrozenFeatures
from fsjax.training.optimizer import learning_rate, make_optimizer
from fsjax.training.same_run import check_same_run
from fsjax.training.step import make_state, make_train_step, split
from fsjax.training.weights import initial_variables, kept_variables, trained_variables

LOG = logging.getLogger(__name__)

Sources = Mapping[str, Source]  # "train" and "test"


def train(config: ConfigDict, sources: Sources, workdir: str | Path) -> None:
    """Trains a method on the base classes of a fold, going on from the latest checkpoint if there is one.

    Writes `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `learning_curve.png`. A run that was killed
    and is started again continues as if it had not been.

    Args:
      config: its fields are described in configs/common.py.
      sources: whose "train" is trained on.
      workdir: the run's folder.

    Raises:
      InputError: for a configuration that does not fit itself, the data, or the folder's earlier run.
      FloatingPointError: when the loss is no longer finite.
    """
    workdir = Path(workdir)

    source = sources["train"]
    plan = make_plan(config, source)
    config, optimizer, steps = plan.config, plan.optimizer, plan.steps
    settings = training_inputs(config)
    method = build(config.model)
    train_step = make_train_step(method, optimizer, config.seed)

    with Checkpoints(workdir) as checkpoints:
        # From the beginning, or where an earlier run of the same command stopped
        if checkpoints.latest_step is None:
            learned, fixed = split(method, initial_variables(config, method))
            state = make_state(learned, optimizer)
        else:
            check_same_run(checkpoints.config(), config, workdir)
            learned, fixed = split(method, jax.eval_shape(method.init, jax.random.key(config.seed)))
            config.model.backbone_sha256 = checkpoints.config().model.backbone_sha256
            fixed = kept_variables(fixed, workdir, config.model.backbone_sha256)
            state = checkpoints.restore(jax.eval_shape(lambda: make_state(learned, optimizer)))
            LOG.info("Going on from step %d of %d in %s.", int(state.step), steps, workdir)
        start = int(state.step)
        make_writable(workdir)
        stacked = replicate(state)

        # A frozen extractor either runs in every step or has run once for each image
        features = open_features(config, "train", source, method, fixed, settings)
        if features:
            base = plan.sampler.classes
            images = sorted({int(image) for c in base for image in plan.sampler.eligible(c)})
            features.fill(images, mirrored=settings.flip)
        placed = {} if features else replicate(fixed)
        if fixed and start == 0:
            config.model.backbone_sha256 = frozen.keep(workdir, fixed["backbone"])

        # The loop
        episodes = training_episodes(plan, source, start, features)
        with Curves(workdir, start) as curves, Progress("training", steps, "step", start) as progress:
            for step, batch in enumerate(prefetch(episodes), start + 1):
                stacked, values = train_step(stacked, placed, batch)
                curves.add(step, values, learning_rate=plan.schedule(step - 1))
                saving = step % config.train.checkpoint_every == 0 or step == steps
                if saving or step % config.train.log_every == 0:
                    curves.flush()
                    progress.reach(step, loss=curves.loss)
                if saving:
                    checkpoints.save(first_copy(stacked), config)
    figures.learning_curve(workdir / "learning_curve.png", read_metrics(workdir))


class Plan(NamedTuple):
    """What a training draws, how fast it learns, and how long."""

    config: ConfigDict  # with its data's version and its steps filled in
    sampler: EpisodeSampler
    schedule: optax.Schedule
    optimizer: optax.GradientTransformation
    steps: int


def make_plan(config: ConfigDict, source: Source) -> Plan:
    """Returns the plan of a training on a fold's base classes; the configuration is copied.

    Raises:
      InputError: for a configuration that does not fit itself or the data.
    """
    config = config.copy_and_resolve_references()
    config.data.version = source.version
    base, novel = fold_classes(source.folds, config.fold)
    sampler = make_sampler(config, source, base, config.train, config.seed, novel)
    config.train.steps = steps_of(config, sampler)
    schedule, steps = learning_rate(config.train, config.batch_size, config.lr_scaling)
    return Plan(config, sampler, schedule, make_optimizer(config.train, schedule), steps)


def training_episodes(
    plan: Plan, source: Source, start: int = 0, features: FrozenFeatures | None = None
) -> Iterator[Episode]:
    """Yields the batches of a training's steps from `start` on, read as photos or as cached features."""
    config = plan.config
    return batches(
        source, plan.sampler, training_inputs(config), training_slots(config.batch_size),
        seed=config.seed, start=start, stop=plan.steps, threads=config.data.threads,
        workers=config.data.workers, features=features and features.cache,
    )  # fmt: skip


def evaluate(
    config: ConfigDict,
    sources: Sources,
    out: str | Path,
    *,
    workdir: str | Path = "",
    episodes: str | Path = "",
    save_episodes: str | Path = "",
) -> list[dict]:
    """Evaluates a method on the novel classes of a fold.

    Writes `results.json`, `results.md`, `episodes.jsonl` and, unless `eval.pictures` is 0, `episodes.png`; of
    a method that compares cells also `cycles.png`.

    Args:
      config: its fields are described in configs/common.py.
      sources: whose "test" is evaluated on.
      out: the folder for what is written.
      workdir: a run, whose latest checkpoint is evaluated; without one, the initial weights are.
      episodes: a manifest to take the episodes from, whose ways, shots, queries, runs and seed then hold; by
        default they are drawn from `eval.seed`.
      save_episodes: where to write the episodes as a manifest.

    Returns:
      The rows of results.json.

    Raises:
      InputError: for a configuration, checkpoint or manifest that does not fit.
    """
    check_evaluation(config, sources)
    source, method = sources["test"], build(config.model)
    header, specs, sampler = novel_episodes(config, source, episodes)
    if workdir:
        variables, step = trained_variables(config, method, workdir)
    else:
        variables, step = initial_variables(config, method), None
        if method.frozen:
            LOG.info("Without a run the head is as it was drawn, before any training.")
    make_writable(out)
    if save_episodes:
        manifest.write(save_episodes, header, specs, source.ids)
    read = read_as_evaluated(config, source, sampler, specs)
    features = open_features(config, "eval", source, method, variables, read.settings)

    evaluation = Evaluation(
        method=method,
        variables=variables,
        untrained=lambda: initial_variables(config, method),
        sampler=sampler,
        episodes=replace(read, features=features),
        run_length=len(specs) // header.runs,
        adapt_length=config.eval.adapt_episodes,
        settings=method.settings(config.eval),
        scales=Scales(config.eval.scales, config.eval.scale_average),
        fusion=FusionSettings(**config.eval.fusion),
        adapt=AdaptSettings(**config.eval.adapt),
    )
    scored = sorted(evaluation.score(config.eval.rows), key=lambda row: evaluation.position(row.name))

    about = describe(config, sources, header, step, evaluation.settings)
    rows = summaries(scored, header, config.eval, evaluation.comparisons)
    if config.eval.pictures:
        sheet.draw(Path(out), evaluation, config.eval.pictures)
    report.write_report(Path(out), about, rows, (record for row in scored for record in row.records))
    return rows


def check_evaluation(config: ConfigDict, sources: Sources) -> None:
    """Makes sure that the settings of an evaluation are sound, before hours of training or of the evaluation.

    Raises:
      InputError: naming what is not.
    """
    metrics.check_policies(void=config.eval.void, counting=config.eval.counting)
    FusionSettings(**config.eval.fusion)
    AdaptSettings(**config.eval.adapt)
    if min(config.eval.runs, config.eval.episodes, config.eval.batch_size) < 1:
        raise InputError("eval.runs, eval.episodes and eval.batch_size count: give 1 or more of each.")
    scales = Scales(config.eval.scales, config.eval.scale_average)
    if config.eval.cached_features and scales.factors != (1.0,):
        raise InputError(
            "Features are cached at one scale: set eval.scales=(1.0,) or eval.cached_features=False."
        )
    method = build(config.model)
    method.settings(config.eval)
    check_rows(config.eval.rows, method)
    _, novel = fold_classes(sources["test"].folds, config.fold)
    sampler = make_sampler(config, sources["test"], novel, config.eval, config.eval.seed)
    read_as_evaluated(config, sources["test"], sampler, [])


def novel_episodes(
    config: ConfigDict, source: Source, path: str | Path
) -> tuple[manifest.Header, list[EpisodeSpec], EpisodeSampler]:
    """Returns the evaluation's episodes, drawn or read from a manifest, and the sampler they came from.

    Raises:
      InputError: for a manifest of another fold, or one that its runs do not divide.
    """
    _, novel = fold_classes(source.folds, config.fold)
    if not path:
        sampler = make_sampler(config, source, novel, config.eval, config.eval.seed)
        policy = f"{config.eval.label} size, void {config.eval.void}"
        header = manifest.describe(
            source, sampler, fold=config.fold, label_policy=policy, runs=config.eval.runs
        )
        return header, [sampler(i) for i in range(config.eval.runs * config.eval.episodes)], sampler
    header, specs = manifest.read(path, source)
    if header.fold != config.fold or set(header.classes.values()) != set(novel):
        raise InputError(
            f"{path} holds episodes of fold {header.fold}, not of fold={config.fold}: name another."
        )
    if not specs or len(specs) % header.runs:
        raise InputError(
            f"{path} holds {len(specs)} episodes, which are not {header.runs} runs: write it anew."
        )
    return header, specs, make_sampler(config, source, novel, header, header.seed)


def make_sampler(
    config: ConfigDict,
    source: Source,
    classes: tuple[int, ...],
    part: ConfigDict | manifest.Header,
    seed: int,
    novel: tuple[int, ...] = (),
) -> EpisodeSampler:
    """Returns the sampler of a part's episodes.

    Args:
      config: of the run.
      source: what to draw from.
      classes: ids of the classes to draw.
      part: config.train, config.eval or a manifest's header, for its ways, shots and queries.
      seed: of the draw.
      novel: classes whose images are left out if `data.drop_novel_images` says so.
    """
    policies = {"class_uniform": EpisodeSampler, "pair_epoch": PairSampler}
    policy = part.policy if part is config.train else "class_uniform"
    if policy not in policies:
        raise InputError(f"train.policy is {policy!r}: choose from {', '.join(policies)}.")
    return policies[policy](
        build_index(source), source.class_names, classes,
        ways=part.ways, shots=part.shots, queries=part.queries, seed=seed,
        min_area=config.data.min_area, without=novel if config.data.drop_novel_images else (),
    )  # fmt: skip


def steps_of(config: ConfigDict, sampler: EpisodeSampler) -> int:
    """Returns `train.steps`, or the steps in which `train.epochs` walks through all pairs are made.

    Where `lr_scaling` counts steps of the reference batch size, so are these.

    Raises:
      InputError: for epochs of episodes that know none.
    """
    train = config.train
    if not train.epochs:
        return train.steps
    if not isinstance(sampler, PairSampler):
        raise InputError("train.epochs counts walks through all pairs: set train.policy=pair_epoch.")
    counted = train.reference_batch_size if config.lr_scaling == "linear" else config.batch_size
    return round(train.epochs * sampler.pairs / counted)


def training_inputs(config: ConfigDict) -> InputSettings:
    """Returns how photos are resized and augmented in training.

    Raises:
      InputError: for an augmentation that cached features do not have.
    """
    train = config.train
    if train.cached_features and (train.crop != 1 or train.rotate != 0):
        raise InputError(
            "Cached features know only a photo and its mirror image: set train.crop=1 and train.rotate=0, or "
            "train.cached_features=False."
        )
    return InputSettings(
        size=train.size, void=train.void, flip=train.flip, crop=train.crop, rotate=train.rotate
    )


def open_features(
    config: ConfigDict,
    part: str,
    source: Source,
    method: Method,
    variables: Variables,
    settings: InputSettings,
) -> FrozenFeatures | None:
    """Returns the cached features of a part ("train" or "eval"), None where it reads photos."""
    if not config[part].cached_features:
        return None
    return FrozenFeatures(config.data.feature_dir, source, method, variables, config.model, settings)


def read_as_evaluated(
    config: ConfigDict, source: Source, sampler: EpisodeSampler, specs: list[EpisodeSpec]
) -> Episodes:
    """Returns the episodes with the sizes of the evaluation's protocol; void keeps its value for scoring."""
    settings = InputSettings(
        size=config.eval.size,
        input=config.eval.input,
        label=config.eval.label,
        label_side=int(sampler.index.sizes.max()),
    )
    return Episodes(source, specs, settings, config.eval.batch_size, config.data.threads, config.data.workers)


def training_slots(batch_size: int) -> Slots:
    """Spreads a batch over all devices of all hosts, and says how many stand idle."""
    devices, hosts = jax.local_device_count(), jax.process_count()
    per_device = math.ceil(batch_size / (devices * hosts))
    idle = devices * hosts * per_device - batch_size
    if idle:
        LOG.info(
            "batch_size=%d leaves %d of %d device slots idle: --config.batch_size=%d "
            "--config.lr_scaling=linear would use them.",
            batch_size, idle, batch_size + idle, batch_size + idle,
        )  # fmt: skip
    return Slots(devices, per_device, batch_size, jax.process_index(), hosts)
