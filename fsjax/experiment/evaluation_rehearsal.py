"""What an evaluation would do, said before it begins; nothing is segmented."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import compiled
from fsjax import config as configuration
from fsjax.data import manifest
from fsjax.data.images import LABEL_STEP, label_shape
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec
from fsjax.data.source import Source
from fsjax.evaluation.rows import ADAPTED
from fsjax.experiment.costs import Costs, costs
from fsjax.experiment.evaluation import trained_classes
from fsjax.experiment.sentences import ELSEWHERE, classes, cost_of, devices, in_lines, number_of
from fsjax.experiment.settings import Sources, check, check_settings, novel_episodes, photos_of
from fsjax.experiment.shapes import of, stacked, variables_of
from fsjax.models import build
from fsjax.models.method import Networked
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.scales import rescale
from fsjax.training import weights
from fsjax.training.runs import Run

USUAL = 4 * LABEL_STEP
"""Pixels: the side of original labels where no photo is at hand."""


class _Task(NamedTuple):
    """What an episode is."""

    ways: int
    shots: int
    queries: int
    policy: str
    seed: int


def rehearse_evaluation(
    config: ConfigDict,
    sources: Sources,
    *,
    run: Run | None = None,
    episodes: str | Path = "",
    why: str = "",
) -> list[str]:
    """Says what `evaluate` would do and cost. Nothing is fetched, and nothing is written but a class index.

    Args:
      config: see `fsjax.config.TABLE`.
      sources: whose "test" is evaluated on; without them all is said that needs no data.
      run: as in `evaluate`; its checkpoint is read, so that what would be refused is refused here.
      episodes: as in `evaluate`.
      why: the sentence that says why there are no sources.

    Returns:
      Lines of at most 100 characters.

    Raises:
      InputError: as `evaluate`.
    """
    check_settings(config)
    method = build.method(config.model)
    if run:
        configuration.check_evaluation_owns(run.config, config, run.folder)
        run.variables(method)
    header = manifest.read_header(episodes) if episodes else None
    task = _task(config, header)
    about, shape = [f"{why} Without it nothing can be said of classes and photos."], (USUAL, USUAL)
    if sources:
        about, shape = _of_data(config, sources, run, episodes)
    if config.eval.label == "input":
        shape = (config.eval.size, config.eval.size)
    return in_lines(
        [
            *_what(config, method, run),
            *about,
            *_protocol(config, task, episodes, header),
            f"{devices()}, each with {number_of(config.eval.batch_size, 'photo')} at a time.",
            *_costs(config, method, task, shape),
            "Nothing was evaluated, and nothing is written.",
        ]
    )


def _task(config: ConfigDict, header: manifest.Header | None) -> _Task:
    part = header or config.eval
    return _Task(part.ways, part.shots, part.queries, part.policy, part.seed)


def _what(config: ConfigDict, method: Networked, run: Run | None) -> list[str]:
    count = sum(leaf.size for leaf in jax.tree.leaves(variables_of(method)))
    said = f"{config.model.name} over {config.model.backbone}, {count:,} values."
    if run:
        how = f", selected by {run.config.train.select}" if run.selected else ""
        return [f"{said} The checkpoint of step {run.step:,}{how}, of the run in {run.folder}."]
    lacking = weights.missing(config.model.weights, method.backbone)
    begun = f"weights {config.model.weights}" if config.model.weights else "what is drawn at random"
    return [f"{said} No run: {begun}, before any training.", *([lacking] if lacking else [])]


def _of_data(
    config: ConfigDict, sources: Sources, run: Run | None, episodes: str | Path
) -> tuple[list[str], tuple[int, int]]:
    """Says which classes and photos are evaluated; and returns the height and width of most labels."""
    check(config, sources)
    source = sources["test"]
    header, specs, sampler = novel_episodes(config, source, episodes)
    trained = trained_classes(config, run, sources, list(header.classes))
    shown = {position for spec in specs for way in spec.support for position in way}
    queried = {position for spec in specs for position in spec.query}
    seen = f" Trained on, too: {', '.join(trained)}." if trained else ""
    return [
        f"Data: {source.name} ({source.title}), version {source.version}, fold {header.fold}.{seen}",
        classes(f"Evaluated, with the photos of {source.split} that count", sampler),
        f"{number_of(len(specs), 'episode')} show {number_of(len(shown | queried), 'different photo')}, "
        f"{len(shown):,} of them as supports and {len(queried):,} as queries; each goes through the backbone "
        "once, or once a role.",
    ], _shape(config, source, sampler, specs)


def _shape(
    config: ConfigDict, source: Source, sampler: EpisodeSampler, specs: list[EpisodeSpec]
) -> tuple[int, int]:
    """Returns the height and width of the arrays that most labels lie in."""
    settings = photos_of(config, source, sampler).settings
    shapes = Counter(label_shape(source, spec.query, settings) for spec in specs)
    return shapes.most_common(1)[0][0]


def _protocol(
    config: ConfigDict, task: _Task, episodes: str | Path, header: manifest.Header | None
) -> list[str]:
    part = config.eval
    runs, count = number_of(part.runs, "run"), number_of(part.episodes, "episode")
    many = (
        f"The episodes of {episodes} in {number_of(header.runs, 'run')}" if header else f"{runs} of {count}"
    )
    at = f"{part.size}x{part.size} px" if part.input == "square" else f"{part.size} px along the longer side"
    scales = f", segmented at scales {', '.join(map(str, part.scales))}" if len(part.scales) > 1 else ""
    other = ", with other fields" if configuration.departures(config) else ""
    preset = f" Protocol: {part.protocol}{other}." if part.protocol else ""
    queries = number_of(task.queries, "query", "queries")
    void = "ignored" if part.void == "ignore" else "as background"
    return [
        f"{many}, {task.ways}-way {task.shots}-shot with {queries}, drawn by {task.policy} from seed "
        f"{task.seed}, at {at}{scales}; scored at the size of the "
        f"{'photo' if part.label == 'original' else 'input'}, void {void}.{preset}",
        f"Rows: {', '.join(part.rows)}.",
    ]


def _costs(config: ConfigDict, method: Networked, task: _Task, shape: tuple[int, int]) -> list[str]:
    """Says what the calls of an evaluation cost a device; each device works for itself."""
    part, S = config.eval, config.eval.size
    variables, photo = variables_of(method), (of(np.uint8, S, S, 3), of(np.int32, 2))
    embed = jax.jit(compiled.embed(method), static_argnums=3)
    found = costs(embed, stacked(variables, 1), *stacked(photo, 1, part.batch_size), 1.0, static=(3,))
    what = f"a call for the features of {number_of(part.batch_size, 'photo')} at {S}x{S}"
    said = [cost_of(what, found, "weights and photos", "features on the way")]
    found = _segmenting(config, method, task, shape)
    what = f"segmenting {number_of(task.queries, 'query', 'queries')} of an episode at {shape[0]}x{shape[1]}"
    said.append(cost_of(what, found, "weights, features and supports", "all between"))
    if ADAPTED in part.rows:
        images, masks, sizes = stacked((photo[0], of(np.uint8, S, S), photo[1]), task.ways, task.shots)
        adapt = compiled.adapt(method, AdaptSettings(**part.adapt))  # type: ignore[arg-type]
        what = (
            f"adapting to an episode in {number_of(part.adapt.steps, 'step')}, as to the first "
            f"{number_of(part.adapt_episodes, 'episode')} of each run,"
        )
        found = costs(adapt, variables, images, masks, sizes)
        said.append(cost_of(what, found, "weights and supports", "features and gradients"))
    return [*said, ELSEWHERE]


def _segmenting(config: ConfigDict, method: Networked, task: _Task, shape: tuple[int, int]) -> Costs:
    """Returns what it costs to segment one episode's queries, whose features are there, at all scales."""
    N, K, T, S = task.ways, task.shots, task.queries, config.eval.size
    variables, one = variables_of(method), stacked((of(np.uint8, S, S, 3), of(np.int32, 2)), 1)

    def features(factor: float) -> Any:
        def embed(variables, images, sizes):
            return method.embed(variables, *rescale(images, sizes, factor, method.side))

        found = jax.eval_shape(embed, variables, *one)
        return jax.tree.map(lambda leaf: of(leaf.dtype, *leaf.shape[1:]), found)

    described = jax.eval_shape(method.describe, variables, features(1.0), of(np.uint8, S, S), of(np.int32, 2))
    fitted = jax.eval_shape(method.fit, variables, stacked(described, N, K), of(np.bool_, N, K))
    queries = tuple(stacked(features(factor), 1, 1, T) for factor in config.eval.scales)
    segment = compiled.segment(method, build.segment_settings(config), config.eval.scale_average)
    return costs(
        jax.jit(segment, static_argnums=3),
        stacked(variables, 1), stacked(fitted, 1, 1, 1), queries, shape, of(np.int32, 1, 1, T, 2),
        static=(3,),
    )  # fmt: skip
