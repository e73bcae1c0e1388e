"""The sheet of training episodes as the network sees them: resized, flipped, cropped and rotated."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from fsjax.episode import Episode
from fsjax.evaluation.pictures import figures

MOST = 4
"""Supports that are shown of an episode, and queries."""

_SIDE = 1.9  # of a photo's place, inches
_NAMES = 3


def training_sheet(path: Path, episodes: Sequence[Episode], class_names: Sequence[str]) -> None:
    """Writes a PNG with a row for each episode: supports way by way, then queries, with their masks.

    Args:
      path: of the PNG.
      episodes: at least one, all of as many ways, shots and queries; NumPy arrays without batch axes.
      class_names: of the data set, class_names[c - 1] being that of class id c.
    """
    N, K = episodes[0].support_masks.shape[:2]
    supports = ["support" if N == 1 else f"support of way {way}" for way in range(1, N + 1) for _ in range(K)]
    queries = ["query"] * len(episodes[0].query_masks)
    columns = [*supports[:MOST], *queries[:MOST]]
    figure, axes = figures.grid([_title(episode, class_names) for episode in episodes], columns, _SIDE)
    for episode, row in zip(episodes, axes, strict=True):
        for axis, (photo, mask) in zip(row, _photos(episode), strict=True):
            figures.show_masked(axis, photo, mask)
    figures.save(figure, path)


def _title(episode: Episode, class_names: Sequence[str]) -> str:
    names = [class_names[c - 1].replace("_", " ") for c in episode.class_ids[:_NAMES]]
    more = len(episode.class_ids) - len(names)
    return "\n".join([*names, *[f"and {more} more"] * (more > 0)])


def _photos(
    episode: Episode,
) -> list[tuple[UInt8[np.ndarray, "_ _ 3"], Integer[np.ndarray, "_ _"]]]:
    """Returns the photos that are shown with their masks, without padding."""
    support = (episode.support_images, episode.support_masks, episode.support_sizes, episode.support_sizes)
    query = (episode.query_images, episode.query_masks, episode.query_sizes, episode.query_mask_sizes)
    flat = [array.reshape(-1, *array.shape[2:])[:MOST] for array in support]
    pairs = [*zip(*flat, strict=True), *zip(*(array[:MOST] for array in query), strict=True)]
    return [
        (image[: size[0], : size[1]], mask[: mask_size[0], : mask_size[1]])
        for image, mask, size, mask_size in pairs
    ]
