"""From an episode's spec to its arrays: relabel, resize, flip (host side, NumPy and Pillow)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.episode import IGNORED, Episode
from fsjax.errors import InputError

_FLIPS = 1  # the third word of the flips' seed sequence; see sampling.py


@dataclass(frozen=True)
class InputSettings:
    """How photos and masks become arrays. Supports' masks always have their photos' size.

    Raises:
        InputError: a field has none of the values given here.
    """

    size: int  # S: photos become arrays of S x S pixels
    input: str = "square"  # "square": plain resize to S x S; "longside": the long side to S, top left
    label: str = "input"  # size of the query masks: "input" as their photos', "original" as stored
    void: str = "ignore"  # void pixels of every mask: "ignore" keeps 255, "background" makes them 0
    flip: bool = False  # flip each photo with its mask, left to right, in half of the cases
    label_side: int = 0  # with label="original": the side of the array that holds a query mask

    def __post_init__(self):
        choices = {"input": ("square", "longside"), "label": ("input", "original")}
        for field, allowed in (choices | {"void": ("ignore", "background")}).items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"{field}='{getattr(self, field)}' is unknown; choose {' or '.join(allowed)}."
                )
        if self.size < 1:
            raise InputError(f"size={self.size} is too small; give the side in pixels.")

    @property
    def query_mask_side(self) -> int:
        """The side of the array that holds a query mask, in pixels."""
        return self.label_side if self.label == "original" else self.size


def episode_mask(
    labels: UInt8[np.ndarray, "h w"], class_ids: Sequence[int], void: str
) -> UInt8[np.ndarray, "h w"]:
    """Returns the mask of an episode: class_ids[n] becomes n + 1, other classes 0, void 255 or 0."""
    table = np.zeros(256, np.uint8)
    table[list(class_ids)] = np.arange(1, len(class_ids) + 1)
    table[IGNORED] = IGNORED if void == "ignore" else 0
    return table[labels]


def resize_image(
    image: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Returns a photo resized bilinearly, with smoothing where it shrinks (Pillow)."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(
    mask: UInt8[np.ndarray, "h w"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Returns a mask resized to the nearest pixel, in which no object vanishes.

    A label of 1..254 that the resize would erase keeps one pixel: where the pixel nearest to its
    centroid falls, or beside it if that is the only pixel of another label.
    """
    resized = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    for label in np.flatnonzero((_counts(mask) > 0) & (_counts(resized) == 0)):
        if 0 < label < IGNORED:
            row, column = _centre_pixel(mask == label)
            at = int((row + 0.5) * height / mask.shape[0]), int((column + 0.5) * width / mask.shape[1])
            resized.flat[_nearest_free(resized, *at)] = label
    return resized


def _counts(mask: np.ndarray) -> np.ndarray:
    return np.bincount(mask.ravel(), minlength=256)


def _centre_pixel(found: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(found)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(rows[nearest]), int(columns[nearest])


def _nearest_free(mask: np.ndarray, row: int, column: int) -> int:
    """Returns the flat index nearest to a pixel that is not the last pixel of a label."""
    alone = _counts(mask) == 1
    alone[[0, IGNORED]] = False
    rows, columns = np.indices(mask.shape)
    distance = (rows - row) ** 2.0 + (columns - column) ** 2.0
    return int(np.argmin(np.where(alone[mask], np.inf, distance)))


def input_size(height: int, width: int, settings: InputSettings) -> tuple[int, int]:
    """Returns the height and width in pixels at which a photo enters the network."""
    if settings.input == "square":
        return settings.size, settings.size
    scale = settings.size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def load_episode(source: Source, spec: EpisodeSpec, settings: InputSettings, seed: int = 0) -> Episode:
    """Returns the arrays of an episode, a pure function of its arguments.

    Args:
        source: the photos and labels.
        spec: which of them.
        settings: how they become arrays.
        seed: with the episode's index it decides which photos are flipped, each independently.

    Returns:
        The episode, NumPy arrays with the shapes that `Episode` gives, weight 1.

    Raises:
        InputError: a mask differs from its photo in size, or is larger than `label_side`.
    """
    ways, shots, queries = len(spec.support), len(spec.support[0]), len(spec.query)
    draws = np.random.default_rng([seed, spec.index, _FLIPS]).random(ways * shots + queries)
    flips = [settings.flip and draw < 0.5 for draw in draws.tolist()]
    positions = [position for way in spec.support for position in way]
    support = [
        _photo(source, position, spec.shown, settings, flip)
        for position, flip in zip(positions, flips[: len(positions)], strict=True)
    ]
    query = [
        _photo(source, position, spec.class_ids, settings, flip, original=settings.label == "original")
        for position, flip in zip(spec.query, flips[len(positions) :], strict=True)
    ]
    by_way = _Photo(*(field.reshape(ways, shots, *field.shape[1:]) for field in _stack(support)))
    return _episode(spec, by_way, _stack(query), weight=1)


def empty_episode(spec: EpisodeSpec, settings: InputSettings) -> Episode:
    """Returns the filling of a spare slot: shaped as the spec's episode, weight 0, everything else 0.

    Its sizes are full, so that nothing divides by an area of zero.
    """
    S, M = settings.size, settings.query_mask_side

    def blank(*lead: int, side: int) -> "_Photo":
        full = np.broadcast_to(np.int32([S, S]), (*lead, 2))
        masks = np.zeros((*lead, side, side), np.uint8), np.broadcast_to(np.int32([side, side]), (*lead, 2))
        return _Photo(np.zeros((*lead, S, S, 3), np.uint8), full, *masks)

    support = blank(len(spec.support), len(spec.support[0]), side=S)
    nothing = replace(spec, index=0, class_ids=(0,) * len(spec.class_ids))
    return _episode(nothing, support, blank(len(spec.query), side=M), weight=0)


class _Photo(NamedTuple):
    """A photo and its mask at the top left of their arrays, and how much of these they fill."""

    image: np.ndarray  # uint8 [..., S, S, 3]
    size: np.ndarray  # int32 [..., 2]
    mask: np.ndarray  # uint8 [..., M, M]
    mask_size: np.ndarray  # int32 [..., 2]


def _photo(
    source: Source,
    position: int,
    class_ids: Sequence[int],
    settings: InputSettings,
    flip: bool,
    original: bool = False,
) -> _Photo:
    image = source.image(position)
    mask = episode_mask(source.labels(position), class_ids, settings.void)
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"image '{source.ids[position]}' is {_by(image)} and its mask {_by(mask)}; "
            "make them the same size."
        )
    size = input_size(*mask.shape, settings)
    image = resize_image(image, *size)
    if not original:
        mask = resize_mask(mask, *size)
    elif max(mask.shape) > settings.label_side:
        raise InputError(
            f"the mask of image '{source.ids[position]}' is {_by(mask)}; "
            f"give label_side={max(mask.shape)} or more."
        )
    if flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    side = settings.label_side if original else settings.size
    return _Photo(_padded(image, settings.size), np.int32(size), _padded(mask, side), np.int32(mask.shape))


def _padded(array: np.ndarray, side: int) -> np.ndarray:
    """Returns the array at the top left of zeros [side, side, ...]."""
    result = np.zeros((side, side, *array.shape[2:]), array.dtype)
    result[: array.shape[0], : array.shape[1]] = array
    return result


def _by(array: np.ndarray) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"


def _stack(photos: Sequence[_Photo]) -> _Photo:
    return _Photo(*(np.stack(field) for field in zip(*photos, strict=True)))


def _episode(spec: EpisodeSpec, support: _Photo, query: _Photo, weight: int) -> Episode:
    return Episode(
        support_images=support.image,
        support_masks=support.mask,
        support_sizes=support.size,
        query_images=query.image,
        query_sizes=query.size,
        query_masks=query.mask,
        query_mask_sizes=query.mask_size,
        class_ids=np.array(spec.class_ids, np.int32),
        weight=np.float32(weight),
        index=np.int32(spec.index),
    )
