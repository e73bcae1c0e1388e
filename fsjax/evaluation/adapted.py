"""Evaluation one episode at a time: with test-time adaptation every episode has variables of its own."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from fsjax.compiled import kept
from fsjax.data.images import label_shape
from fsjax.data.loader import evaluation_batches, prefetch
from fsjax.data.sampling import EpisodeSpec
from fsjax.devices import local_pmap, replicate
from fsjax.episode import Episode
from fsjax.evaluation.metrics import confusion
from fsjax.evaluation.parts import Finished, Unit
from fsjax.evaluation.photos import Photos, in_batches
from fsjax.evaluation.team import Team
from fsjax.models.method import Adaptable, Segmenting, suited
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prototypes import masks_by_way
from fsjax.models.scales import Scales, mean_prediction, rescale
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter
from fsjax.tracing import EVALUATION, steps

LOG = logging.getLogger(__name__)


def evaluate_adapted(
    photos: Photos,
    segmenter: Segmenter,
    specs: Sequence[EpisodeSpec],
    adapt: AdaptSettings | None,
    *,
    variants: Mapping[str, Any] | None = None,
    curve: bool = False,
    finished: Finished | None = None,
    team: Team | None = None,
) -> list[dict[str, list[np.ndarray]]]:
    """Tunes the variables to each episode's supports, segments its queries, and counts.

    Episodes run one after another on a device: weights that differ from episode to episode would turn every
    convolution of a batch into a grouped one.

    Args:
      photos: how they are read.
      segmenter: whose method is adaptable.
      specs: the episodes.
      adapt: how the variables are tuned; None leaves them alone.
      variants: other settings of segmentation that the same variables are counted with, by name.
      curve: counts before the first step and after each one (PRNet Figure 2), in one pass.
      finished: episodes that an earlier run has counted, and where those of this one are kept.
      team: the processes that evaluate together, each some of the episodes.

    Returns:
      After the last step, or after 0, 1, ... steps, of each output the confusion matrices of every episode,
      int [T, N + 2, N + 1] each; a variant's outputs are named as `named` says.
    """
    finished, team = finished or Finished(), team or Team.here()
    settings = {"": segmenter.settings, **(variants or {})}
    method = reduce(suited, settings.values(), segmenter.method)
    count = counting(method, tuple(settings.items()), segmenter.scales, adapt, curve)
    done = finished.agree(team)
    if done:
        LOG.info("An earlier run has finished %d of %d episodes.", len(done), len(specs))
    left = [number for number in range(len(specs)) if (number,) not in done]
    share = _share(photos, specs, left, team)
    if share:
        stacked = replicate(segmenter.variables)
        with Progress("adapted", sum(map(len, share)), "episode") as progress:
            for batch, episodes in steps(EVALUATION, _batches(photos, specs, share)):
                counted = {name: np.asarray(found) for name, found in count(stacked, batch).items()}
                finished.add(_apart(counted, episodes))
                progress.update(len(episodes))
    results = finished.all(team)
    found = [{name: np.array(m) for name, m in results[number,].items()} for number in range(len(specs))]
    moments = range(len(next(iter(found[0].values()))))
    return [{name: [one[name][moment] for one in found] for name in found[0]} for moment in moments]


def _share(
    photos: Photos, specs: Sequence[EpisodeSpec], numbers: Sequence[int], team: Team
) -> list[Sequence[int]]:
    """Returns this process's share of some episodes, in lists whose labels have one shape."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for number in numbers:
        shape = label_shape(photos.source, specs[number].query, photos.settings)
        by_shape.setdefault(shape, []).append(number)
    return [share for _, alike in sorted(by_shape.items()) if (share := team.share(alike))]


def _batches(
    photos: Photos, specs: Sequence[EpisodeSpec], share: Sequence[Sequence[int]]
) -> Iterator[tuple[Episode, list[int]]]:
    """Yields batches of episodes whose labels have one shape, and which of the specs they are."""
    slots = jax.local_device_count(), photos.batch_size
    for numbers in share:
        alike = [specs[number] for number in numbers]
        loaded = evaluation_batches(photos.source, alike, photos.settings, *slots, threads=photos.threads)
        yield from zip(prefetch(loaded), in_batches(numbers, math.prod(slots)), strict=True)


def _apart(
    counted: Mapping[str, np.ndarray], episodes: Sequence[int]
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Yields what was counted of each episode, [moments, T, N + 2, N + 1] a name; the rest are fillings."""
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in counted.items()}
    for place, episode in enumerate(episodes):
        yield (episode,), {name: of_all[place].tolist() for name, of_all in flat.items()}


def named(output: str, variant: str) -> str:
    """Returns what an output is called under a variant of the settings; "" are the segmenter's own."""
    return f"{output} {variant}" if variant else output


@kept
def counting(
    method: Segmenting,
    settings: tuple[tuple[str, Any], ...],
    scales: Scales,
    adapt: AdaptSettings | None,
    curve: bool,
) -> Callable[[Variables, Episode], dict[str, jax.Array]]:
    """Returns the mapped function that adapts to a device's episodes and counts them, one after another.

    What it returns has an axis of moments behind that of the episodes.

    Args:
      method: what segments.
      settings: of its segmentation, with the variants' names; "" for the segmenter's own.
      scales: at which queries are segmented.
      adapt: how the variables are tuned; None leaves them alone.
      curve: counts before the first step and after each one.
    """

    def one(variables: Variables, episode: Episode) -> dict[str, jax.Array]:
        photos = photos_of(method, episode, scales)
        if adapt is None:
            features = [method.embed(variables, *each) for each in photos]
            counts = _count_episode(method, variables, episode, features, settings, scales)
            return jax.tree.map(lambda x: x[None], counts)
        assert isinstance(method, Adaptable), "rows are checked before they are made"
        below = [method.below(variables, *each, adapt) for each in photos]

        def counted(variables: Variables) -> dict[str, jax.Array]:
            features = [method.above(variables, each, adapt) for each in below]
            return _count_episode(method, variables, episode, features, settings, scales)

        shown = below[0], episode.support_masks, episode.support_sizes
        with jax.named_scope("adaptation"):
            tuned, after = method.adapt(variables, *shown, adapt, counted if curve else None)
        if not curve:
            return jax.tree.map(lambda x: x[None], counted(tuned))
        return jax.tree.map(lambda x, later: jnp.concatenate([x[None], later]), counted(variables), after)

    return local_pmap(lambda variables, batch: jax.lax.map(partial(one, variables), batch))


def _count_episode(
    method: Segmenting,
    variables: Variables,
    episode: Episode,
    features: Sequence[Any],
    settings: tuple[tuple[str, Any], ...],
    scales: Scales,
) -> dict[str, jax.Array]:
    """Returns the confusion matrices of an episode's queries by every output under all settings."""
    segment = segment_episode(method, variables, episode, features, scales)
    of_queries = jax.vmap(partial(_count, ways=len(episode.class_ids)))
    return {
        named(output, variant): of_queries(logits, episode.query_masks, episode.query_mask_sizes)
        for variant, chosen in settings
        for output, logits in segment(chosen).items()
    }


def photos_of(
    method: Segmenting, episode: Episode, scales: Scales
) -> list[tuple[UInt8[Array, "B H W 3"], Int[Array, "B 2"]]]:
    """Returns the photos that one episode's segmentation takes the features of, and their sizes, in batches.

    Args:
      method: what segments.
      episode: of N ways and K shots.
      scales: at which queries are segmented.

    Returns:
      The N K supports; then the queries at each scale.
    """
    supports = episode.support_images.reshape(-1, *episode.support_images.shape[2:])
    queries = [
        rescale(episode.query_images, episode.query_sizes, factor, method.side) for factor in scales.factors
    ]
    return [(supports, episode.support_sizes.reshape(-1, 2)), *queries]


def segment_episode(
    method: Segmenting, variables: Variables, episode: Episode, features: Sequence[Any], scales: Scales
) -> Callable[[Any], dict[str, jax.Array]]:
    """Returns what segments one episode's queries, by settings of the method, from features made once.

    Args:
      method: what segments.
      variables: of the method.
      episode: what is segmented.
      features: of each of its `photos_of`.
      scales: at which queries are segmented.

    Returns:
      A function of settings that returns the logits on the labels' pixels, [T, H, W, N + 1].
    """
    N, K = episode.support_masks.shape[:2]
    supports, *queries = features
    supports = jax.tree.map(lambda x: x.reshape(N, K, *x.shape[1:]), supports)
    masks = episode.support_masks
    by_way = masks_by_way(masks)
    describe = jax.vmap(jax.vmap(method.describe, (None, 0, 0, 0)), (None, 0, 0, 0))
    descriptions = describe(variables, supports, by_way, episode.support_sizes)
    fitted = method.fit(variables, descriptions, jnp.ones((N, K), bool))
    shape = episode.query_masks.shape[1:]

    def segment(settings: Any) -> dict[str, jax.Array]:
        logits = [
            method.segment(variables, fitted, at_scale, shape, episode.query_mask_sizes, settings)
            for at_scale in queries
        ]
        return mean_prediction(logits, scales.average)

    return segment


def _count(logits: Any, truth: Any, size: Any, ways: int) -> Any:
    return confusion(jnp.argmax(logits, -1), truth, size, ways=ways)
