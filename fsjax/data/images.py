"""From an episode's spec to its arrays: relabel, resize, augment (host side, NumPy and Pillow)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.data.augment import draw_warp, warp_image, warp_mask
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.episode import IGNORED, Episode
from fsjax.errors import InputError

_FLIPS, _WARPS = 1, 4  # the third words of their seed sequences; see sampling.py
ATTEMPTS = 10
"""Crops and rotations that are tried before a photo is only resized."""


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
    crop: float = 1.0  # resize each photo to U(1, crop) times `size` and cut it back anywhere; 1: off
    rotate: float = 0.0  # rotate each photo by U(-rotate, rotate) degrees in half of the cases; 0: off

    def __post_init__(self):
        choices = {"input": ("square", "longside"), "label": ("input", "original")}
        for field, allowed in (choices | {"void": ("ignore", "background")}).items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"{field}='{getattr(self, field)}' is unknown; choose {' or '.join(allowed)}."
                )
        if self.size < 1:
            raise InputError(f"size={self.size} is too small; give the side in pixels.")
        if not 1 <= self.crop <= 4:
            raise InputError(f"crop={self.crop} is out of range; give 1 (off) to 4 times the size.")
        if not 0 <= self.rotate <= 45:
            raise InputError(f"rotate={self.rotate} is out of range; give 0 (off) to 45 degrees.")
        if self.warps and (self.input, self.label) != ("square", "input"):
            raise InputError(
                "crop and rotate augment training photos on squares; "
                "set input='square' and label='input', or crop=1 and rotate=0."
            )

    @property
    def warps(self) -> bool:
        """Whether photos are cropped or rotated at random."""
        return self.crop > 1 or self.rotate > 0

    @property
    def query_mask_side(self) -> int:
        """The side of the array that holds a query mask, in pixels."""
        return self.label_side if self.label == "original" else self.size


@runtime_checkable
class FeatureReader(Protocol):
    """Random access to features that were computed from a source's photos, in place of the photos."""

    shape: tuple[int, int, int]  # h, w and C of one record

    def read(self, position: int, flipped: bool) -> np.ndarray:
        """Returns the features float16 [h, w, C] of the photo at a position, or of its mirror image."""


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
    for label in _lost(mask, resized):
        row, column = _centre_pixel(mask == label)
        at = int((row + 0.5) * height / mask.shape[0]), int((column + 0.5) * width / mask.shape[1])
        resized.flat[_nearest_free(resized, *at)] = label
    return resized


def _lost(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Returns the labels of 1..254 that the first mask shows and the second does not."""
    labels = np.flatnonzero((_counts(before) > 0) & (_counts(after) == 0))
    return labels[(labels > 0) & (labels < IGNORED)]


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


def augment(
    image: UInt8[np.ndarray, "h w 3"],
    mask: UInt8[np.ndarray, "h w"],
    settings: InputSettings,
    words: Sequence[int],
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"], int]:
    """Returns a photo and its mask cropped and rotated at random (DPNet 5.1), and the attempts it took.

    An attempt after which a class has no pixel left is made anew; after `ATTEMPTS` of them photo and mask
    are only resized.

    Args:
        image: the photo as stored.
        mask: its mask, 0, 1..N or 255.
        settings: the size and what is drawn.
        words: the seed sequence, to which the number of the attempt is added.

    Returns:
        The photo and the mask at S = `settings.size`, and how many attempts were given up, 0 to `ATTEMPTS`.
    """
    S = settings.size
    plain = resize_mask(mask, S, S)
    for attempt in range(ATTEMPTS):
        warp = draw_warp(np.random.default_rng([*words, attempt]), S, settings.crop, settings.rotate)
        warped = warp_mask(resize_mask(mask, warp.side, warp.side), warp)
        if not len(_lost(plain, warped)):
            return warp_image(resize_image(image, warp.side, warp.side), warp), warped, attempt
    return resize_image(image, S, S), plain, ATTEMPTS


def load_episode(
    source: Source,
    spec: EpisodeSpec,
    settings: InputSettings,
    seed: int = 0,
    features: FeatureReader | None = None,
) -> Episode:
    """Returns the arrays of an episode, a pure function of its arguments.

    Args:
        source: the photos and labels.
        spec: which of them.
        settings: how they become arrays.
        seed: with the episode's index it decides how each photo is flipped, cropped and rotated,
            independently of the others.
        features: what takes the place of the photos, which are then not decoded.

    Returns:
        The episode, NumPy arrays with the shapes that `Episode` gives, weight 1. With `features` its
        images are float16 [N, K, h, w, C] and [T, h, w, C]; their sizes are still the photos' in pixels.

    Raises:
        InputError: a mask differs from its photo in size, or is larger than `label_side`, or features are
            to be cropped or rotated.
    """
    if features is not None and settings.warps:
        raise InputError(
            "cached features know only the photo and its mirror image: "
            "set train.crop=1 and train.rotate=0, or train without the cache."
        )
    ways, shots, queries = len(spec.support), len(spec.support[0]), len(spec.query)
    original = settings.label == "original"
    picks = [_Pick(position, spec.shown, False) for way in spec.support for position in way]
    picks += [_Pick(position, spec.class_ids, original) for position in spec.query]
    draws = np.random.default_rng([seed, spec.index, _FLIPS]).random(ways * shots + queries)
    flips = [settings.flip and draw < 0.5 for draw in draws.tolist()]
    photos = [
        _photo(source, pick, settings, flip, (seed, spec.index, _WARPS, number))
        if features is None
        else _record(source, features, pick, settings, flip)
        for number, (pick, flip) in enumerate(zip(picks, flips, strict=True))
    ]
    support, query = _stack(photos[: ways * shots]), _stack(photos[ways * shots :])
    by_way = _Photo(*(field.reshape(ways, shots, *field.shape[1:]) for field in support))
    return _episode(spec, by_way, query, weight=1)


def empty_episode(
    spec: EpisodeSpec, settings: InputSettings, features: FeatureReader | None = None
) -> Episode:
    """Returns the filling of a spare slot: shaped as the spec's episode, weight 0, everything else 0.

    Its sizes are full, so that nothing divides by an area of zero.
    """
    S, M = settings.size, settings.query_mask_side
    image, dtype = ((S, S, 3), np.uint8) if features is None else (features.shape, np.float16)

    def blank(*lead: int, side: int) -> "_Photo":
        full = np.broadcast_to(np.int32([S, S]), (*lead, 2))
        masks = np.zeros((*lead, side, side), np.uint8), np.broadcast_to(np.int32([side, side]), (*lead, 2))
        return _Photo(np.zeros((*lead, *image), dtype), full, *masks)

    support = blank(len(spec.support), len(spec.support[0]), side=S)
    nothing = replace(spec, index=0, class_ids=(0,) * len(spec.class_ids))
    return _episode(nothing, support, blank(len(spec.query), side=M), weight=0)


class _Pick(NamedTuple):
    """One of an episode's photos, and which mask it gets."""

    position: int
    class_ids: Sequence[int]
    original: bool  # the mask stays as large as it is stored


class _Photo(NamedTuple):
    """A photo and its mask at the top left of their arrays, and how much of these they fill."""

    image: np.ndarray  # uint8 [..., S, S, 3], or features float16 [..., h, w, C]
    size: np.ndarray  # int32 [..., 2]
    mask: np.ndarray  # uint8 [..., M, M]
    mask_size: np.ndarray  # int32 [..., 2]


def _photo(source: Source, pick: _Pick, settings: InputSettings, flip: bool, words: Sequence[int]) -> _Photo:
    image, mask = source.image(pick.position), _stored_mask(source, pick, settings)
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"image '{source.ids[pick.position]}' is {_by(image)} and its mask {_by(mask)}; "
            "make them the same size."
        )
    size = input_size(*mask.shape, settings)
    if settings.warps:
        image, mask, _ = augment(image, mask, settings, words)
    else:
        image, mask = resize_image(image, *size), mask if pick.original else resize_mask(mask, *size)
    if flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return _Photo(padded(image, settings.size), np.int32(size), *_placed(mask, pick, settings))


def _record(
    source: Source, features: FeatureReader, pick: _Pick, settings: InputSettings, flip: bool
) -> _Photo:
    mask = _stored_mask(source, pick, settings)
    size = input_size(*mask.shape, settings)
    if not pick.original:
        mask = resize_mask(mask, *size)
    if flip:
        mask = mask[:, ::-1]
    record = features.read(pick.position, flip)
    return _Photo(record, np.int32(size), *_placed(mask, pick, settings))


def _stored_mask(source: Source, pick: _Pick, settings: InputSettings) -> np.ndarray:
    mask = episode_mask(source.labels(pick.position), pick.class_ids, settings.void)
    if pick.original and max(mask.shape) > settings.label_side:
        raise InputError(
            f"the mask of image '{source.ids[pick.position]}' is {_by(mask)}; "
            f"give label_side={max(mask.shape)} or more."
        )
    return mask


def _placed(mask: np.ndarray, pick: _Pick, settings: InputSettings) -> tuple[np.ndarray, np.ndarray]:
    """Returns a mask in its array, and its size."""
    side = settings.label_side if pick.original else settings.size
    return padded(mask, side), np.int32(mask.shape)


def padded(array: np.ndarray, side: int) -> np.ndarray:
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
