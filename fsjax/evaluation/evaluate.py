"""Runs a method over episodes, on all devices of one host, and counts its predictions against the truth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fsjax.data.images import InputSettings, load_episode
from fsjax.data.loader import evaluation_batches, prefetch
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.devices import replicate
from fsjax.episode import Episode
from fsjax.evaluation.metrics import confusion
from fsjax.evaluation.scales import ONE_SCALE, Scales, mean_prediction, rescale
from fsjax.models.dpnet.dpnet import Explanation
from fsjax.models.method import Explainable, Method
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training.frozen_features import FrozenFeatures

Predictor = Callable[[Variables, Episode], dict[str, jax.Array]]

ORACLE = "oracle"


@dataclass(frozen=True)
class Episodes:
    """The episodes that a row is scored on, and how they are read.

    Attributes:
      source: the data set.
      specs: which images, an entry an episode.
      settings: their sizes and labels.
      batch_size: episodes at a time on each device.
      threads: that load them.
      workers: processes that load them, instead of threads.
      features: cached ones that are read instead of photos; None reads photos.
    """

    source: Source
    specs: Sequence[EpisodeSpec]
    settings: InputSettings
    batch_size: int
    threads: int = 2
    workers: int = 0
    features: FrozenFeatures | None = None


def make_predictor(
    method: Method,
    settings: Any,
    adapt: AdaptSettings | None = None,
    *,
    scales: Scales = ONE_SCALE,
    oracle: bool = False,
) -> Predictor:
    """Returns the pmapped `predictor`: variables are stacked over devices, episodes are [devices, B]."""
    return jax.pmap(predictor(method, settings, adapt, scales=scales, oracle=oracle))


def predictor(
    method: Method,
    settings: Any,
    adapt: AdaptSettings | None = None,
    *,
    scales: Scales = ONE_SCALE,
    oracle: bool = False,
) -> Predictor:
    """Returns a function that segments a batch of episodes on one device and counts its predictions.

    Without adaptation the episodes of a device run together; with it they run one after another, because
    weights that differ from episode to episode would turn every convolution into a grouped one.

    Args:
      method: whose variables the predictor is called with.
      settings: of the method's segmentation.
      adapt: how to tune the variables to each episode's supports first; None leaves them alone.
      scales: at which the queries are segmented.
      oracle: whether to segment also by what the queries' own truth would have taught.

    Returns:
      `predict(variables, batch)` -> for each output of the method (and the oracle) its confusion matrices,
      int32 [B, T, N + 2, N + 1].
    """

    def together(variables: Variables, batch: Episode):
        supports, queries = embed_images(method, variables, batch, scales)
        return jax.vmap(segment, (None, 0, 0, 0))(variables, supports, queries, batch)

    def alone(variables: Variables, episode: Episode):
        tuned, _ = method.adapt(variables, episode, adapt)
        supports, queries = embed_images(method, tuned, jax.tree.map(lambda x: x[None], episode), scales)
        return segment(tuned, *jax.tree.map(lambda x: x[0], (supports, queries)), episode)

    def segment(variables: Variables, supports, queries, episode: Episode):
        outputs = predict_logits(method, variables, supports, queries, episode, settings, scales)
        if oracle:
            whole = queries[scales.whole]
            outputs[ORACLE] = oracle_logits(method, variables, whole, episode, settings)
        count = jax.vmap(lambda logits, truth, size: _count(logits, truth, size, len(episode.class_ids)))
        return {
            name: count(logits, episode.query_masks, episode.query_mask_sizes)
            for name, logits in outputs.items()
        }

    def predict(variables: Variables, batch: Episode):
        if adapt is None:
            return together(variables, batch)
        return jax.lax.map(lambda episode: alone(variables, episode), batch)

    return predict


def embed_images(
    method: Method, variables: Variables, batch: Episode, scales: Scales = ONE_SCALE
) -> tuple[Any, list[Any]]:
    """Returns the features of the supports [B, N, K, ...] and, at each scale, of the queries [B, T, ...]."""

    def embed(images: Array, sizes: Int[Array, "*images 2"]):
        lead = sizes.shape[:-1]
        features, _ = method.embed(variables, images.reshape(-1, *images.shape[-3:]), sizes.reshape(-1, 2))
        return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), features)

    supports = embed(batch.support_images, batch.support_sizes)
    return supports, [
        embed(*rescale(batch.query_images, batch.query_sizes, scale)) for scale in scales.factors
    ]


def predict_logits(
    method: Method,
    variables: Variables,
    supports,
    queries: Sequence[Any],
    episode: Episode,
    settings: Any,
    scales: Scales = ONE_SCALE,
) -> dict[str, Float[Array, "T H W classes"]]:
    """Returns a method's named logits for one episode's queries, on their labels' pixels.

    Args:
      method: of the variables.
      variables: of the method.
      supports: their features.
      queries: their features at each scale.
      episode: for its masks and sizes.
      settings: of the method's segmentation.
      scales: how the predictions at several scales are averaged.
    """
    fitted = method.fit(variables, supports, episode.support_masks, episode.support_sizes)
    shape = episode.query_masks.shape[1:]
    return mean_prediction(
        [
            method.segment(variables, fitted, at_scale, shape, episode.query_mask_sizes, settings)
            for at_scale in queries
        ],
        scales.average,
    )


def oracle_logits(
    method: Method, variables: Variables, queries, episode: Episode, settings: Any
) -> Float[Array, "T H W classes"]:
    """Returns the method's plain logits when each query is shown with its own truth as the support.

    What the features could do at best with one prototype a class. Every way is shown all T queries.
    """
    ways = len(episode.class_ids)
    shown = jax.tree.map(
        lambda x: jnp.broadcast_to(x[None], (ways, *x.shape)),
        (queries, episode.query_masks, episode.query_mask_sizes),
    )
    fitted = method.fit(variables, *shown)
    shape = episode.query_masks.shape[1:]
    return method.segment(variables, fitted, queries, shape, episode.query_mask_sizes, settings)[method.plain]


def _count(logits, truth, size, ways: int):
    return confusion(jnp.argmax(logits, -1), truth, size, ways=ways)


def run_predictor(
    predict: Predictor, variables: Variables, episodes: Episodes, label: str
) -> dict[str, list[np.ndarray]]:
    """Runs a predictor over episodes.

    Args:
      predict: of `make_predictor`.
      variables: of its method, not replicated.
      episodes: what to segment.
      label: of the progress bar.

    Returns:
      For each output the confusion matrices of every episode, int [T, N + 2, N + 1] each, in order.
    """
    stacked = replicate(variables)
    counted: dict[str, list[np.ndarray]] = {}
    with Progress(label, len(episodes.specs), "episode") as progress:
        for batch in prefetch(_batches(episodes)):
            weights = np.asarray(batch.weight).reshape(-1)
            for name, matrices in predict(stacked, batch).items():
                flat = np.asarray(matrices).reshape(-1, *matrices.shape[2:])
                counted.setdefault(name, []).extend(flat[weights > 0])
            progress.update(int(np.sum(weights > 0)))
    return counted


def _batches(episodes: Episodes) -> Iterator[Episode]:
    if episodes.features:
        images = {image for spec in episodes.specs for image in (*spec.query, *sum(spec.support, ()))}
        episodes.features.fill(sorted(images), mirrored=False)
    return evaluation_batches(
        episodes.source,
        episodes.specs,
        episodes.settings,
        jax.local_device_count(),
        episodes.batch_size,
        threads=episodes.threads,
        workers=episodes.workers,
        features=episodes.features and episodes.features.cache,
    )


@dataclass(frozen=True)
class Shown:
    """One episode with what a method made of it, in NumPy."""

    episode: Episode
    logits: dict[str, np.ndarray]  # [T, H, W, N + 1]
    explanation: Explanation | None  # of a method that compares cells


def show(
    method: Method,
    variables: Variables,
    episodes: Episodes,
    settings: Any,
    count: int,
    scales: Scales = ONE_SCALE,
) -> Iterator[Shown]:
    """Yields the first few episodes with the method's logits, for pictures; photos are always read."""

    @jax.jit
    def predict(variables: Variables, batch: Episode):
        supports, queries = jax.tree.map(lambda x: x[0], embed_images(method, variables, batch, scales))
        episode = jax.tree.map(lambda x: x[0], batch)
        logits = predict_logits(method, variables, supports, queries, episode, settings, scales)
        if not isinstance(method, Explainable):
            return logits, None
        shown = episode.support_masks, episode.support_sizes, queries[scales.whole]
        return logits, method.explain(variables, supports, *shown, settings)

    for spec in episodes.specs[:count]:
        episode = load_episode(episodes.source, spec, episodes.settings, seed=0)
        found = predict(variables, jax.tree.map(lambda x: np.asarray(x)[None], episode))
        yield Shown(episode, *jax.tree.map(np.asarray, found))
