"""How often crops and rotations were drawn anew, because a class would have vanished from the mask."""

from collections.abc import Iterable
from typing import NamedTuple

from fsjax.data.images import ATTEMPTS, InputSettings, kept_warp, picks_of, stored_mask, warp_words
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source


class Redraws(NamedTuple):
    """What was given up in some episodes; nothing where photos are neither cropped nor rotated."""

    photos: int  # that were looked at
    again: int  # of them, those of which the first attempt was given up
    plain: int  # of them, those of which every attempt was, so that they are only resized
    attempts: int  # that were given up


def count_redraws(
    source: Source, specs: Iterable[EpisodeSpec], settings: InputSettings, seed: int
) -> Redraws:
    """Returns what `load_episode` gives up in these episodes, a pure function of its arguments.

    Only masks are read, so that a run's whole sum can be had before it, or after.

    Args:
        source: the labels.
        specs: the episodes.
        settings: as the episodes are loaded with, like the seed.
        seed: of the draws.
    """
    if not settings.warps:
        return Redraws(0, 0, 0, 0)
    given_up = []
    for spec in specs:
        for number, pick in enumerate(picks_of(source, spec, settings)):
            mask = stored_mask(source, pick.position, pick.class_ids, pick.way, settings)
            given_up.append(kept_warp(mask, settings, warp_words(seed, spec, number))[2])
    again = sum(attempts > 0 for attempts in given_up)
    return Redraws(len(given_up), again, given_up.count(ATTEMPTS), sum(given_up))
