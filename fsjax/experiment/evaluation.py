"""Evaluation: the rows of a table on a fold's novel classes, and all that is written of them."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax import distributed
from fsjax.data import manifest
from fsjax.data.class_names import shared
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.chosen import Chosen, choose
from fsjax.evaluation.pictures import sheet
from fsjax.evaluation.pictures.shown import Shown
from fsjax.evaluation.provenance import provenance
from fsjax.evaluation.rows import UNTRAINED, Evaluation
from fsjax.evaluation.show import show
from fsjax.evaluation.summary import Description, Scored, augmentation, summaries
from fsjax.experiment.alone import alone
from fsjax.experiment.departures import departures
from fsjax.experiment.selection import backbone_selected_on, selected_on
from fsjax.experiment.settings import (
    Sources,
    base_classes,
    check,
    digest_of_ids,
    evaluation_of,
    folds_in_words,
    novel_episodes,
    variables_before_training,
)
from fsjax.experiment.unfinished import kept
from fsjax.models import build
from fsjax.models.method import Networked, Trainable
from fsjax.models.variables import Variables
from fsjax.segmenter import Segmenter
from fsjax.training import frozen
from fsjax.training.runs import Run
from fsjax.training.weights import RANDOM, run_folder

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
      description: what all rows share.
      scored: the rows with their episodes.
      rows: as results.json has them.
    """

    description: Description
    scored: Sequence[Scored]
    rows: Sequence[dict[str, Any]]


def evaluate(
    config: ConfigDict,
    sources: Sources,
    out: str | Path,
    *,
    run: Run | None = None,
    episodes: str | Path = "",
) -> Results:
    """Evaluates a method on the novel classes of a fold.

    Writes `manifest.jsonl`, `results.json`, `results.md`, `episodes.jsonl` and, unless `eval.pictures` is 0,
    `episodes.png` and the method's own sheets: of PRNet `fusion.png` and `stages.png`, of DPNet `cycles.png`
    and `branches.png`. What is finished is kept in `.unfinished` until then: an evaluation that was killed
    goes on from there when it is started again, with as many processes and devices as there are then. Several
    processes evaluate together, and the first one writes.

    Args:
      config: see `fsjax.config.TABLE`; of a run only what an evaluation owns may differ from the run's own.
      sources: whose "test" is evaluated on.
      out: the folder for what is written.
      run: whose checkpoint is evaluated; without one, the initial weights are.
      episodes: a manifest to take the episodes from, whose ways, shots, queries, runs and seed then hold; by
        default they are drawn from `eval.seed`.

    Raises:
      InputError: for a configuration, checkpoint or manifest that does not fit, and for classes that the run
        was trained on, unless `eval.allow_trained_classes` is set.
    """
    check(config, sources)
    out, source, method = Path(out), sources["test"], build.method(config.model)
    header, specs, sampler = novel_episodes(config, source, episodes)
    trained = trained_classes(config, run, sources, list(header.classes))

    evaluation = _evaluation(config, method, source, run, header, specs, sampler)
    if run and run.selected:
        LOG.info("Evaluating the checkpoint of step %d, selected by %s.", run.step, run.config.train.select)
    with alone(out), kept(out, config, header, evaluation) as parts:
        evaluation = replace(evaluation, parts=parts)
        scored = evaluation.score(config.eval.rows)
        sha256 = manifest.digest(specs, source.ids)
        about = _description(config, sources, header, evaluation, run, trained, sha256)
        results = Results(about, scored, summaries(scored, about, evaluation.comparisons))
        if distributed.is_main():
            manifest.write(out / "manifest.jsonl", header, specs, source.ids)
            report.write_report(
                out, about, results.rows, (record for row in scored for record in row.records)
            )
            if config.eval.pictures:
                sheet.draw(out, _shown(config, evaluation, scored), method.outputs, method.final)
    return results


def _shown(config: ConfigDict, evaluation: Evaluation, scored: Sequence[Scored]) -> list[Shown]:
    """Returns the episodes of the picture sheets."""
    part, specs, segmenter = config.eval, evaluation.specs, evaluation.segmenter
    chosen = [Chosen(place, "") for place in range(min(part.pictures, len(specs)))]
    if part.pictures_of != "first":
        (records,) = (row.records for row in scored if row.name == segmenter.method.final)
        chosen = choose(records, part.pictures, part.pictures_of, void=part.void, counting=part.counting)
    photos, taken = evaluation.photos, [specs[one.place] for one in chosen]
    shown = show(segmenter, photos.source, taken, photos.settings)
    return [replace(one, note=note) for one, (_, note) in zip(shown, chosen, strict=True)]


def _evaluation(
    config: ConfigDict,
    method: Networked,
    source: Source,
    run: Run | None,
    header: manifest.Header,
    specs: Sequence[EpisodeSpec],
    sampler: EpisodeSampler,
) -> Evaluation:
    """Returns what rows are made of; all that it may refuse is refused here, before anything is written."""

    @cache
    def untrained() -> Variables:
        drawn = variables_before_training(config, method, source)
        begun = run.found.get("weights_sha256", "") if run else ""
        if begun not in ("", frozen.digest(drawn["backbone"])):
            raise InputError(
                f"{config.model.weights} is not what the run began with: put those weights back, or leave "
                "the row untrained out."
            )
        return drawn

    if run is None and not method.frozen and run_folder(config.model.weights):
        trained = Run.open(config.model.weights)
        raise InputError(
            f"model.weights names the run {trained.folder}: evaluate it with --workdir, so that what it was "
            "trained on is known."
        )
    variables = run.variables(method) if run else untrained()
    if UNTRAINED in config.eval.rows:
        untrained()
    if run is None and method.frozen and isinstance(method, Trainable):
        LOG.info("Without a run the head is as it was drawn, before any training.")
    segmenter = Segmenter.configured(config, method, variables)
    return evaluation_of(config, segmenter, source, sampler, specs, len(specs) // header.runs, untrained)


def trained_classes(
    config: ConfigDict, run: Run | None, sources: Sources, classes: list[str]
) -> tuple[str, ...]:
    """Returns the evaluated classes that a run was trained on, which only a flag allows."""
    if run is None:
        return ()
    configuration.check_evaluation_owns(run.config, config, run.folder)
    trained = tuple(shared(classes, base_classes(run, config, sources["test"])))
    if trained and not config.eval.allow_trained_classes:
        raise InputError(
            f"The run in {run.folder} was trained on {', '.join(trained)}: evaluate it on classes that it "
            "never saw, or set eval.allow_trained_classes=True, and every table says so."
        )
    return trained


def _selection(run: Run | None) -> dict[str, Any] | None:
    """Returns how a run's checkpoint was selected, None where none was measured."""
    if run is None or "selection" not in run.found:
        return None
    return {"by": run.config.train.select, "used": run.selected, **run.found["selection"]}


def _digest_of_weights(config: ConfigDict, run: Run | None, variables: Variables) -> str | None:
    """Returns the digest of what the backbone began with, None where it was drawn or is not known."""
    if run:
        return run.found.get("weights_sha256", run.found.get("backbone_sha256"))
    return None if config.model.weights in ("", RANDOM) else frozen.digest(variables["backbone"])


def _seen_in_training(
    config: ConfigDict, sources: Sources, run: Run | None, classes: Collection[str]
) -> int | None:
    """Returns how many test images training saw, None where it is not known what it was trained on."""
    if run is None:
        return 0
    if run.found.get("train_ids_sha256") != digest_of_ids(sources["train"]):
        return None
    dropped = run.found.get("novel_classes", classes) if config.data.drop_novel_images else ()
    if len(shared(classes, dropped)) == len(classes):  # a run that keeps no names is of the same fold
        return 0
    return len(set(sources["test"].ids) & set(sources["train"].ids))


def _description(
    config: ConfigDict,
    sources: Sources,
    header: manifest.Header,
    evaluation: Evaluation,
    run: Run | None,
    trained: tuple[str, ...],
    manifest_sha256: str,
) -> Description:
    source, part, variables = sources["test"], config.eval, evaluation.segmenter.variables
    several = {"scale_average": part.scale_average} if len(part.scales) > 1 else {}
    flags = {name: config.train[name] for name in ("flip", "crop", "rotate")}
    return Description(
        title=source.title, data_set=source.name, version=source.version, split=source.split,
        fold=header.fold, classes={class_id: name for name, class_id in header.classes.items()},
        protocol={
            "ways": header.ways, "shots": header.shots, "queries": header.queries,
            "policy": header.policy, "eligibility": header.eligibility, "folds": folds_in_words(config),
            "input": part.input, "size": part.size, "label": part.label,
            "scales": list(part.scales), **several, "support_void": part.support_void,
        },
        preset=part.protocol, departures=departures(config, header, evaluation.run_length),
        void=part.void, counting=part.counting, settings=asdict(evaluation.segmenter.settings),
        seed=header.seed, step=run.step if run else None,
        augmentation=augmentation(**flags, features_kept=config.train.cached_features) if run else "",
        tested_images_in_training=_seen_in_training(config, sources, run, header.classes),
        trained_classes=trained,
        selection=_selection(run),
        selected_classes=tuple(
            shared(list(header.classes), selected_on(run) if run else backbone_selected_on(config))
        ),
        checkpoint_sha256=frozen.digest(variables) if run else None,
        weights_sha256=_digest_of_weights(config, run, variables),
        manifest_sha256=manifest_sha256, config=config.to_dict(), provenance=provenance(),
    )  # fmt: skip
