"""The picture sheets of an evaluation: its first episodes with everything that the method made of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsjax.episode import IGNORED
from fsjax.evaluation.evaluate import Shown, show
from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.cycles import CyclePicture, cycle_sheet
from fsjax.evaluation.rows import Evaluation


def draw(folder: Path, evaluation: Evaluation, count: int) -> None:
    """Draws the first episodes: episodes.png and, where a method compares cells, cycles.png.

    Args:
      folder: of the PNGs.
      evaluation: whose method, episodes and settings are used.
      count: how many episodes.
    """
    names = evaluation.episodes.source.class_names
    shown = list(
        show(
            evaluation.method,
            evaluation.variables,
            evaluation.episodes,
            evaluation.settings,
            count,
            evaluation.scales,
        )
    )
    figures.episode_sheet(
        folder / "episodes.png", [_picture(one, names, evaluation.method.final) for one in shown]
    )
    cycles = [_cycle_picture(one, names) for one in shown if one.explanation]
    if cycles:
        cycle_sheet(folder / "cycles.png", cycles)


def _picture(shown: Shown, names: Sequence[str], final: str) -> figures.Picture:
    """Takes an episode's arrays, the first support of each way and the first query, out of their padding."""
    episode = shown.episode
    sizes = episode.support_sizes[:, 0]
    supports = zip(episode.support_images[:, 0], episode.support_masks[:, 0], sizes, strict=True)
    truth_size = episode.query_mask_sizes[0]
    logits = {name: _cut(values[0], truth_size) for name, values in shown.logits.items()}
    return figures.Picture(
        title="\n".join(_class_name(names, int(class_id)) for class_id in episode.class_ids),
        supports=[(_cut(image, size), _cut(mask, size)) for image, mask, size in supports],
        query=_cut(episode.query_images[0], episode.query_sizes[0]),
        truth=_cut(episode.query_masks[0], truth_size),
        foreground=_foreground(logits[final]),
        predictions={name: values.argmax(-1) for name, values in logits.items()},
    )


def _cycle_picture(shown: Shown, names: Sequence[str]) -> CyclePicture:
    """Takes the comparison of the first support with the first query out of its padding."""
    episode, found = shown.episode, shown.explanation
    support_size, query_size = episode.support_sizes[0, 0], episode.query_sizes[0]
    support_cells, query_cells = found.support_cells, found.query_cells
    forward = _cut(_renumber(found.forward, found.backward.shape[1], query_cells[1]), support_cells)
    return CyclePicture(
        title=_class_name(names, int(episode.class_ids[0])),
        support=_cut(episode.support_images[0, 0], support_size),
        support_mask=_of_first_way(_cut(episode.support_masks[0, 0], support_size)),
        query=_cut(episode.query_images[0], query_size),
        truth=_of_first_way(_cut(episode.query_masks[0], episode.query_mask_sizes[0])),
        forward=forward.reshape(-1),
        backward=_cut(_renumber(found.backward, found.forward.shape[1], support_cells[1]), query_cells),
        foreground=_cut(found.foreground, support_cells),
        similarity=_cut(found.similarity, query_cells),
        confidence=_cut(found.confidence, query_cells),
        selected=_cut(found.selected, query_cells),
    )


def _class_name(names: Sequence[str], class_id: int) -> str:
    return names[class_id - 1].replace("_", " ")


def _of_first_way(mask: np.ndarray) -> np.ndarray:
    """Returns the mask with other ways as background."""
    return np.where((mask == 1) | (mask == IGNORED), mask, 0)


def _renumber(indices: np.ndarray, width: int, valid_width: int) -> np.ndarray:
    """Counts cells row by row of a grid without its padding."""
    rows, columns = np.divmod(indices, width)
    return rows * valid_width + columns


def _cut(array: np.ndarray, size: np.ndarray) -> np.ndarray:
    return array[: size[0], : size[1]]


def _foreground(logits: np.ndarray) -> np.ndarray:
    """Returns the probability that a pixel is of any way."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return 1 - odds[..., 0] / odds.sum(-1)
