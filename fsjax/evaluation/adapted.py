"""Evaluation one episode at a time: with test-time adaptation every episode has variables of its own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.compiled import kept
from fsjax.data.loader import evaluation_batches, prefetch
from fsjax.data.sampling import EpisodeSpec
from fsjax.devices import replicate
from fsjax.episode import Episode
from fsjax.evaluation.metrics import confusion
from fsjax.evaluation.photos import Photos
from fsjax.models.method import Adaptable, Segmenting
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.prototypes import masks_by_way
from fsjax.models.scales import Scales, mean_prediction, rescale
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.segmenter import Segmenter


def evaluate_adapted(
    photos: Photos, segmenter: Segmenter, specs: Sequence[EpisodeSpec], adapt: AdaptSettings | None
) -> dict[str, list[np.ndarray]]:
    """Tunes the variables to each episode's supports, segments its queries, and counts.

    Episodes run one after another on a device: weights that differ from episode to episode would turn every
    convolution of a batch into a grouped one.

    Args:
      photos: how they are read.
      segmenter: whose method is adaptable.
      specs: the episodes.
      adapt: how the variables are tuned; None leaves them alone.

    Returns:
      For each output the confusion matrices of every episode, int [T, N + 2, N + 1] each.
    """
    count = _counting(segmenter.method, segmenter.settings, segmenter.scales, adapt)
    stacked = replicate(segmenter.variables)
    counted: dict[str, list[np.ndarray]] = {}
    slots = jax.local_device_count(), photos.batch_size
    batches = evaluation_batches(photos.source, specs, photos.settings, *slots, threads=photos.threads)
    with Progress("adapted", len(specs), "episode") as progress:
        for batch in prefetch(batches):
            there = np.asarray(batch.weight).reshape(-1) > 0
            for name, matrices in count(stacked, batch).items():
                flat = np.asarray(matrices).reshape(-1, *matrices.shape[2:])
                counted.setdefault(name, []).extend(flat[there])
            progress.update(int(there.sum()))
    return counted


@kept
def _counting(
    method: Segmenting, settings: Any, scales: Scales, adapt: AdaptSettings | None
) -> Callable[[Variables, Episode], dict[str, jax.Array]]:
    """Returns the pmapped function that adapts to a device's episodes and counts them, one after another."""

    def one(variables: Variables, episode: Episode) -> dict[str, jax.Array]:
        if adapt is not None:
            assert isinstance(method, Adaptable), "rows are checked before they are made"
            shown = episode.support_images, episode.support_masks, episode.support_sizes
            variables, _ = method.adapt(variables, *shown, adapt)
        logits = segment_episode(method, variables, episode, settings, scales)
        of_queries = jax.vmap(partial(_count, ways=len(episode.class_ids)))
        return {
            name: of_queries(values, episode.query_masks, episode.query_mask_sizes)
            for name, values in logits.items()
        }

    return jax.pmap(lambda variables, batch: jax.lax.map(partial(one, variables), batch))


def segment_episode(
    method: Segmenting, variables: Variables, episode: Episode, settings: Any, scales: Scales
) -> dict[str, jax.Array]:
    """Returns the logits of one episode's queries on their labels' pixels, [T, H, W, N + 1], in one program.

    Args:
      method: what segments.
      variables: of the method.
      episode: whose photos are embedded.
      settings: of the method's segmentation.
      scales: at which queries are segmented.
    """
    N, K = episode.support_masks.shape[:2]
    features = method.embed(
        variables, episode.support_images.reshape(N * K, *episode.support_images.shape[2:]),
        episode.support_sizes.reshape(N * K, 2),
    )  # fmt: skip
    features = jax.tree.map(lambda x: x.reshape(N, K, *x.shape[1:]), features)
    masks = episode.support_masks
    by_way = masks_by_way(masks)
    describe = jax.vmap(jax.vmap(method.describe, (None, 0, 0, 0)), (None, 0, 0, 0))
    descriptions = describe(variables, features, by_way, episode.support_sizes)
    fitted = method.fit(variables, descriptions, jnp.ones((N, K), bool))
    shape = episode.query_masks.shape[1:]

    def at_scale(factor: float):
        queries = method.embed(
            variables, *rescale(episode.query_images, episode.query_sizes, factor, method.side)
        )
        return method.segment(variables, fitted, queries, shape, episode.query_mask_sizes, settings)

    return mean_prediction([at_scale(factor) for factor in scales.factors], scales.average)


def _count(logits: Any, truth: Any, size: Any, ways: int) -> Any:
    return confusion(jnp.argmax(logits, -1), truth, size, ways=ways)
