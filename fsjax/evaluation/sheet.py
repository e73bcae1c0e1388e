"""The picture sheet of an evaluation: its first episodes with everything that the method made of them."""

from pathlib import Path

import numpy as np

from fsjax.evaluation import figures
from fsjax.evaluation.evaluate import Shown, show
from fsjax.evaluation.rows import Evaluation


def draw(path: Path, evaluation: Evaluation, count: int) -> None:
    """Draws the first episodes of an evaluation.

    Args:
      path: of the PNG.
      evaluation: whose method, episodes and settings are used.
      count: how many episodes.
    """
    names = evaluation.episodes.source.class_names
    shown = show(
        evaluation.method,
        evaluation.variables,
        evaluation.episodes,
        evaluation.settings,
        count,
        evaluation.scales,
    )
    pictures = [_picture(one, names, evaluation.method.final) for one in shown]
    figures.episode_sheet(path, pictures)


def _picture(shown: Shown, names, final: str) -> figures.Picture:
    """Takes an episode's arrays, the first support of each way and the first query, out of their padding."""
    episode = shown.episode
    sizes = episode.support_sizes[:, 0]
    supports = zip(episode.support_images[:, 0], episode.support_masks[:, 0], sizes, strict=True)
    truth_size = episode.query_mask_sizes[0]
    logits = {name: _cut(values[0], truth_size) for name, values in shown.logits.items()}
    return figures.Picture(
        title="\n".join(names[class_id - 1].replace("_", " ") for class_id in episode.class_ids),
        supports=[(_cut(image, size), _cut(mask, size)) for image, mask, size in supports],
        query=_cut(episode.query_images[0], episode.query_sizes[0]),
        truth=_cut(episode.query_masks[0], truth_size),
        similarity=_foreground(logits[final]),
        predictions={name: values.argmax(-1) for name, values in logits.items()},
    )


def _cut(array: np.ndarray, size: np.ndarray) -> np.ndarray:
    return array[: size[0], : size[1]]


def _foreground(logits: np.ndarray) -> np.ndarray:
    """Returns the probability that a pixel is of any way."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return 1 - odds[..., 0] / odds.sum(-1)
