"""What a configuration means for the rooms below, which take values."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.config import Found
from fsjax.data import manifest
from fsjax.data.class_names import shared
from fsjax.data.images import InputSettings
from fsjax.data.index import ClassIndex, MinArea, build_index
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, TooFewImagesError, fold_classes, make_sampler
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.rows import Evaluation, check_rows
from fsjax.models import build
from fsjax.models.backbones.named import IMAGENET
from fsjax.models.fssdino.clustering import Clustering
from fsjax.models.method import Adaptable, Networked
from fsjax.models.prnet.adaptation import AdaptSettings, check_adapted
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.variables import Variables
from fsjax.segmenter import Segmenter
from fsjax.training.optimizer import OptimizerSettings
from fsjax.training.plan import Plan
from fsjax.training.runs import Run
from fsjax.training.weights import initial_variables, run_folder

Sources = Mapping[str, Source]  # "train" and "test"

BACKBONE = ("model.backbone",)
"""How the fields that describe a backbone begin."""

TASK = (
    "fold", "data.name", "data.split", "data.folds", "data.fold_count", "data.fold_seed", "data.leave_out",
)  # fmt: skip
"""The fields that told which classes a run was trained on before it kept their names."""


def check_settings(config: ConfigDict) -> None:
    """Makes sure that a configuration is sound, and that its method has its rows, before any data are opened.

    Raises:
      InputError: naming what does not fit.
    """
    configuration.check(config)
    method = build.method(config.model)
    check_rows(config.eval.rows, method)
    build.variants(config)  # refuses now what could not be scored later
    part = config.eval
    if part.pictures and part.pictures_of != "first" and method.final not in part.rows:
        raise InputError(
            f"eval.pictures_of is {part.pictures_of!r}, which goes by the IoU of the row {method.final}: add "
            "it to eval.rows, or show the first."
        )
    if method.frozen and not config.model.weights:
        raise InputError(
            "This method never trains its backbone: set model.weights to imagenet, to a file or a run's "
            "folder, or to random, to freeze one that has learned nothing."
        )
    if config.model.weights == IMAGENET:
        method.backbone.imagenet()  # refuses now what could not be fetched or loaded later
    if isinstance(method, Adaptable):
        check_adapted(method.backbone, config.eval.adapt.parameters)


def check(config: ConfigDict, sources: Sources) -> None:
    """Makes sure that a configuration fits itself and the data, before hours of training or evaluation.

    Raises:
      InputError: naming what does not fit.
    """
    check_settings(config)
    try:
        novel_episodes(config, sources["test"], "", count=0)
    except TooFewImagesError as few:  # the base classes must not be refused only when these are left out
        raise few.together_with(_too_few_in_training(config, sources["train"])) from None


def _too_few_in_training(config: ConfigDict, source: Source) -> tuple[str, ...]:
    """Returns the names of the base classes that a training would refuse."""
    if configuration.trains(config):
        try:
            plan_of(config, source)
        except TooFewImagesError as few:
            return few.names
        except InputError:  # of something else, which comes next
            pass
    return ()


def novel_episodes(
    config: ConfigDict, source: Source, path: str | Path, count: int | None = None
) -> tuple[manifest.Header, list[EpisodeSpec], EpisodeSampler]:
    """Returns the evaluation's episodes, drawn or read from a manifest, and the sampler they came from.

    Args:
      config: for its `eval`.
      source: the data.
      path: of a manifest; "" draws the episodes.
      count: how many are drawn; by default those of all runs.

    Raises:
      InputError: for a manifest of another fold, or one that its runs do not divide.
    """
    _, novel = fold_classes(source.folds, config.fold)
    if not path:
        sampler = sampler_of(config, source, novel, config.eval, config.eval.seed, evaluated_area(config))
        policy = f"{config.eval.label} size, void {config.eval.void}"
        header = manifest.describe(
            source, sampler, fold=config.fold, label_policy=policy, runs=config.eval.runs
        )
        count = config.eval.runs * config.eval.episodes if count is None else count
        return header, [sampler(i) for i in range(count)], sampler
    header, specs = read_episodes(path, source)
    if header.fold != config.fold or set(header.classes.values()) != set(novel):
        raise InputError(
            f"{path} holds episodes of fold {header.fold}, not of fold={config.fold}: name another."
        )
    rule = manifest.rule_of(header) or evaluated_area(config)  # of what else is drawn, as wrong supports
    return header, specs, sampler_of(config, source, novel, header, header.seed, rule)


def read_episodes(path: str | Path, source: Source) -> tuple[manifest.Header, list[EpisodeSpec]]:
    """Returns the header and the episodes of a manifest, run after run.

    Raises:
      InputError: as `manifest.read`, or its runs do not divide its episodes.
    """
    header, specs = manifest.read(path, source)
    if not specs or len(specs) % header.runs:
        raise InputError(
            f"{path} holds {len(specs)} episodes, which are not {header.runs} runs: write it anew."
        )
    return header, specs


def sampler_of(
    config: ConfigDict,
    source: Source,
    classes: Sequence[int],
    part: Any,
    seed: int,
    area: MinArea,
    without: Sequence[int] = (),
    index: ClassIndex | None = None,
) -> EpisodeSampler:
    """Returns the sampler of a part.

    Args:
      config: for its `data.leave_out`.
      source: the data.
      classes: the class ids to draw from.
      part: whose policy, ways, shots and queries hold: `config.train`, `config.eval` or a manifest's header.
      seed: of the episodes.
      area: which photos count for a class: that of the training, or `evaluated_area`.
      without: class ids whose photos are left out.
      index: of the photos that may be drawn; by default of all.

    Raises:
      InputError: one of the sampler's reasons.
    """
    try:
        return make_sampler(
            part.policy, index or build_index(source), source.class_names, classes,
            ways=part.ways, shots=part.shots, queries=part.queries, seed=seed,
            min_area=area, without=without,
        )  # fmt: skip
    except TooFewImagesError as few:
        raise few.together_with(config.data.leave_out) from None


def evaluated_area(config: ConfigDict) -> MinArea:
    """Returns which photos count in the evaluation and in selections: by its own rule, or the data's."""
    return _min_area(config.eval.min_area or config.data.min_area)


def name_of_area(rule: MinArea) -> str:
    """Returns a rule as the fields have it, by its name where it has one."""
    return next((name for name, known in _AREAS.items() if known == rule), str(rule))


_AREAS: dict[str, MinArea] = {"none": 1, "pfenet": 2048, "oslsm": "oslsm"}


def _min_area(rule: str) -> MinArea:
    return _AREAS[rule] if rule in _AREAS else int(rule)


def plan_of(config: ConfigDict, source: Source) -> Plan:
    """Returns the plan of a training on a fold's base classes.

    Raises:
      InputError: for a configuration that does not fit the data, or trains in float16.
    """
    if config.model.compute_dtype == "float16":
        raise InputError(
            "model.compute_dtype is float16, in which small gradients vanish and large features overflow: "
            "train in bfloat16, or in float32."
        )
    train = config.train
    base, novel = fold_classes(source.folds, config.fold)
    without = novel if config.data.drop_novel_images else ()
    sampler = sampler_of(config, source, base, train, config.seed, _min_area(config.data.min_area), without)
    inputs = InputSettings(
        size=train.size, void=train.void, support_void=train.support_void, flip=train.flip, crop=train.crop,
        rotate=train.rotate,
        ignored=novel if train.other_classes == "ignore" else (),
    )  # fmt: skip
    return Plan.make(
        sampler, inputs, optimizer_of(config), batch_size=config.batch_size, lr_scaling=config.lr_scaling,
        reference_batch_size=train.reference_batch_size, steps=train.steps, epochs=train.epochs,
        seed=config.seed, accumulate=train.accumulate,
    )  # fmt: skip


def optimizer_of(config: ConfigDict) -> OptimizerSettings:
    """Returns how a training learns, meant for its reference batch size."""
    given = {field.name: config.train[field.name] for field in fields(OptimizerSettings)}
    return OptimizerSettings(**{**given, "milestones": tuple(config.train.milestones)})


def photos_of(config: ConfigDict, source: Source, sampler: EpisodeSampler) -> Photos:
    """Returns how the evaluation's protocol reads photos; void keeps its value for scoring."""
    settings = InputSettings(
        size=config.eval.size,
        input=config.eval.input,
        label=config.eval.label,
        support_void=config.eval.support_void,
    )
    memory = int(config.eval.memory * 1e9)
    return Photos(source, settings, config.eval.batch_size, config.data.threads, memory)


def evaluation_of(
    config: ConfigDict,
    segmenter: Segmenter,
    source: Source,
    sampler: EpisodeSampler,
    specs: Sequence[EpisodeSpec],
    run_length: int,
    untrained: Callable[[], Variables],
) -> Evaluation:
    """Returns what rows are made of under the protocol of `config.eval`; the others as in `Evaluation`."""
    return Evaluation(
        segmenter=segmenter,
        untrained=untrained,
        sampler=sampler,
        photos=photos_of(config, source, sampler),
        specs=specs,
        run_length=run_length,
        adapt_length=config.eval.adapt_episodes,
        fusion=FusionSettings(**config.eval.fusion),
        fssdino=Clustering(**config.eval.fssdino),
        adapt=AdaptSettings(**config.eval.adapt),
        adapt_curve=config.eval.adapt_curve,
        variants=build.variants(config),
    )


def digest_of_ids(source: Source) -> str:
    """Returns the sha256 of the ids of a source's images."""
    return hashlib.sha256("\n".join(source.ids).encode()).hexdigest()


def folds_in_words(config: ConfigDict) -> str:
    """Returns which table of folds a configuration names, as a report says it."""
    data = config.data
    if data.folds:
        return "one's own"
    if data.split == "drawn":
        return f"drawn: {data.fold_count} by seed {data.fold_seed}"
    return data.split or "usual"


def what_is_known(config: ConfigDict, source: Source, plan: Plan | None = None) -> Found:
    """Returns what is known of a run before it begins."""
    base, novel = (
        [source.class_names[c - 1] for c in classes] for classes in fold_classes(source.folds, config.fold)
    )
    found = Found(data_version=source.version, base_classes=base, novel_classes=novel)
    if plan:
        found["steps"] = plan.steps
    return found


def variables_before_training(config: ConfigDict, method: Networked, source: Source) -> Variables:
    """Returns a method's variables before any training.

    Args:
      config: of the training.
      method: that it describes.
      source: of the data, for the names of the novel classes.

    Raises:
      InputError: as `initial_variables`, and for a run's weights of another backbone or of novel classes.
    """
    novel = what_is_known(config, source)["novel_classes"]

    def check_run(run: Run) -> None:
        configuration.check_equal(run.config, config, run.folder, lambda name: name.startswith(BACKBONE))
        seen = shared(base_classes(run, config, source), novel)
        if seen:
            raise InputError(
                f"The run in {run.folder} was trained on {', '.join(sorted(set(seen)))}, which "
                f"fold={config.fold} holds out: name a run of the same fold."
            )

    return initial_variables(method, config.seed, config.model.weights, check_run)


def base_classes(run: Run, config: ConfigDict, source: Source) -> list[str]:
    """Returns the names of the classes that a run, or the one whose backbone it took, was trained on.

    Args:
      run: it; one of an older fsjax keeps no names, and they follow from its fold.
      config: of what it is used for.
      source: the data of that.

    Raises:
      InputError: an older run is of another fold or data set.
    """
    if "base_classes" not in run.found:
        configuration.check_equal(run.config, config, run.folder, lambda name: name in TASK)
    own = run.found.get("base_classes", what_is_known(config, source)["base_classes"])
    return [*own, *run.found.get("backbone_classes", [])]


def backbone_classes(config: ConfigDict, source: Source) -> list[str]:
    """Returns the names of the classes that the run in `model.weights`, if it is one, was trained on."""
    folder = run_folder(config.model.weights)
    return base_classes(Run.open(folder), config, source) if folder else []
