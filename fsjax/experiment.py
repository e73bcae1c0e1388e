"""The last room: train a method on base classes, evaluate it on novel ones, write down what came out."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fsjax.data import manifest
from fsjax.data.images import InputSettings
from fsjax.data.loader import Slots, batches, prefetch
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, build_index, fold_classes
from fsjax.data.source import Source
from fsjax.devices import first_copy, replicate
from fsjax.errors import InputError
from fsjax.evaluation import figures, metrics, report, sheet
from fsjax.evaluation.evaluate import Episodes
from fsjax.evaluation.rows import Evaluation, Scored, check_rows
from fsjax.models import pretrained
from fsjax.models.adaptation import AdaptSettings
from fsjax.models.fusion import FusionSettings
from fsjax.models.method import Method, build
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import Curves, read_metrics
from fsjax.training.optimizer import learning_rate, make_optimizer
from fsjax.training.same_run import check_same_run, check_same_task
from fsjax.training.step import make_state, make_train_step

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

    # Data
    source = sources["train"]
    config = config.copy_and_resolve_references()
    config.data.version = source.version
    base, novel = fold_classes(source.folds, config.fold)
    sampler = make_sampler(config, source, base, config.train, config.seed, novel)
    settings = InputSettings(size=config.train.size, void=config.train.void, flip=config.train.flip)
    slots = training_slots(config.batch_size)

    # Method and optimiser
    method = build(config.model)
    schedule, steps = learning_rate(config.train, config.batch_size, config.lr_scaling)
    optimizer = make_optimizer(config.train, schedule)
    train_step = make_train_step(method, optimizer, config.seed)

    with Checkpoints(workdir) as checkpoints:
        # From the beginning, or where an earlier run of the same command stopped
        if checkpoints.latest_step is None:
            state = make_state(initial_variables(config, method), optimizer)
        else:
            check_same_run(checkpoints.config(), config)
            shapes = jax.eval_shape(lambda: make_state(method.init(jax.random.key(config.seed)), optimizer))
            state = checkpoints.restore(shapes)
            LOG.info("Going on from step %d of %d.", int(state.step), steps)
        start = int(state.step)
        stacked = replicate(state)

        # The loop
        episodes = batches(
            source, sampler, settings, slots, seed=config.seed, start=start, stop=steps,
            threads=config.data.threads, workers=config.data.workers,
        )  # fmt: skip
        with Curves(workdir, start) as curves, Progress("training", steps, "step", start) as progress:
            for step, batch in enumerate(prefetch(episodes), start + 1):
                stacked, values = train_step(stacked, batch)
                curves.add(step, values, learning_rate=schedule(step - 1))
                saving = step % config.train.checkpoint_every == 0 or step == steps
                if saving or step % config.train.log_every == 0:
                    curves.flush()
                    progress.reach(step, loss=curves.loss)
                if saving:
                    checkpoints.save(first_copy(stacked), config)
    figures.learning_curve(workdir / "learning_curve.png", read_metrics(workdir))


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

    Writes `results.json`, `results.md`, `episodes.jsonl` and, unless `eval.pictures` is 0, `episodes.png`.

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
    variables, step = evaluated_variables(config, method, workdir)
    if save_episodes:
        manifest.write(save_episodes, header, specs, source.ids)

    evaluation = Evaluation(
        method=method,
        variables=variables,
        untrained=lambda: initial_variables(config, method),
        sampler=sampler,
        episodes=read_as_evaluated(config, source, sampler, specs),
        run_length=len(specs) // header.runs,
        adapt_length=config.eval.adapt_episodes,
        fusion=FusionSettings(**config.eval.fusion),
        adapt=AdaptSettings(**config.eval.adapt),
    )
    scored = sorted(evaluation.score(config.eval.rows), key=lambda row: evaluation.position(row.name))

    policies = {"void": config.eval.void, "counting": config.eval.counting}
    about = {
        "data_set": source.name, "version": source.version, "split": source.split, "fold": header.fold,
        "classes": list(header.classes),
        "protocol": {
            "ways": header.ways, "shots": header.shots, "queries": header.queries,
            "input": config.eval.input, "size": config.eval.size, "label": config.eval.label, **policies,
        },
        "step": step,
        "tested_images_in_training": images_in_both(config, sources) if workdir else 0,
        "config": json.loads(config.to_json_best_effort()),
    }  # fmt: skip
    rows = summaries(scored, header, policies, evaluation)
    if config.eval.pictures:
        sheet.draw(Path(out) / "episodes.png", evaluation, config.eval.pictures)
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
    check_rows(config.eval.rows, build(config.model))
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


def evaluated_variables(
    config: ConfigDict, method: Method, workdir: str | Path
) -> tuple[Variables, int | None]:
    """Returns the variables to evaluate, and their checkpoint's step; None for those of before training.

    Raises:
      InputError: where the run is of another fold or data set, so that novel classes would not be novel.
    """
    if not workdir:
        return initial_variables(config, method), None
    with Checkpoints(workdir) as checkpoints:
        check_same_task(checkpoints.config(), config)
        shapes = jax.eval_shape(method.init, jax.random.key(config.seed))
        return checkpoints.variables(shapes), checkpoints.latest_step


def summaries(
    scored: list[Scored], header: manifest.Header, policies: dict[str, str], evaluation: Evaluation
) -> list[dict]:
    """Returns the rows of results.json; the adapted row is also compared with the method's own, in pairs."""
    classes = {class_id: name for name, class_id in header.classes.items()}
    records = {row.name: row.records for row in scored}
    rows = [
        {
            "name": row.name,
            **metrics.summarize(row.records, classes, **policies),
            "seed": header.seed,
            "manifest": row.manifest,
            "seconds": row.seconds,
        }
        for row in scored
    ]
    final = evaluation.method.final
    for row in rows:
        if row["name"] == evaluation.adapted_name and final in records:
            difference = metrics.paired_difference(records[row["name"]], records[final], classes, **policies)
            row["against"] = {"row": final, **difference}
    return rows


def images_in_both(config: ConfigDict, sources: Sources) -> int:
    """Returns how many tested images were also seen in training, as background."""
    if config.data.drop_novel_images:
        return 0
    return len(set(sources["test"].ids) & set(sources["train"].ids))


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
    return EpisodeSampler(
        build_index(source), source.class_names, classes,
        ways=part.ways, shots=part.shots, queries=part.queries, seed=seed,
        min_area=config.data.min_area, without=novel if config.data.drop_novel_images else (),
    )  # fmt: skip


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


def initial_variables(config: ConfigDict, method: Method) -> Variables:
    """Returns a method's variables before any training: pretrained, or else drawn from the seed."""
    rng = jax.random.key(config.seed)
    if not config.model.weights:
        return method.init(rng)
    shapes = jax.eval_shape(method.init, rng)
    convention = config.model.backbone_options.get("convention", "torchvision")
    backbone = pretrained.load(config.model.weights, shapes["backbone"], convention=convention)
    return {"backbone": backbone, "head": {}}
