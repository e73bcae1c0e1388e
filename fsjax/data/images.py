"""From an episode's spec to its arrays: load, resize, augment (host side, NumPy and Pillow)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, Int32, UInt8
from PIL import Image

from fsjax.data.augment import Warp, draw_warp, warp_mask, warp_picture
from fsjax.data.opening import open_mask, open_photo
from fsjax.data.resizing import lost_labels, mirror, padded, resize_mask
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.episode import IGNORED, Episode

_FLIPS, _WARPS = 1, 4  # the third words of their seed sequences; see sampling.py
ATTEMPTS = 10
"""Crops and rotations that are tried before a photo is only resized."""

LABEL_STEP = 128
"""Pixels: arrays of original labels have sides that are multiples of it."""

Photo = tuple[UInt8[np.ndarray, "S S 3"], Int32[np.ndarray, "2"]]
Mask = tuple[UInt8[np.ndarray, "H W"], Int32[np.ndarray, "2"]]
"""At the top left of zeros, and the height and width in pixels of what is there."""


@dataclass(frozen=True)
class InputSettings:
    """How photos and masks become arrays. Supports' masks always have their photos' size.

    Only squares whose masks have their photos' size are cropped and rotated.
    """

    size: int  # S: photos become arrays of S x S pixels
    input: str = "square"  # "square": plain resize to S x S; "longside": the long side to S, top left
    label: str = "input"  # size of the query masks: "input" as their photos', "original" as stored
    void: str = "ignore"  # void pixels of masks: "ignore" keeps 255, "background" makes them 0
    support_void: str = ""  # of supports' masks; as `void` where it is empty
    ignored: tuple[int, ...] = ()  # class ids whose pixels become 255 where they would be background
    flip: bool = False  # flip each photo with its mask, left to right, in half of the cases
    crop: float = 1.0  # resize each photo to U(1, crop) times `size` and cut it back anywhere; 1: off
    rotate: float = 0.0  # rotate each photo by U(-rotate, rotate) degrees in half of the cases; 0: off

    @property
    def warps(self) -> bool:
        """Whether photos are cropped or rotated at random."""
        return self.crop > 1 or self.rotate > 0


@runtime_checkable
class FeatureReader(Protocol):
    """Random access to features that were computed from a source's photos, in place of the photos."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The h, w and C of one photo's features."""

    def read(self, position: int, flipped: bool) -> Float16[np.ndarray, "h w C"]:
        """Returns the features of the photo at a position, or of its mirror image."""


def input_size(height: int, width: int, settings: InputSettings) -> tuple[int, int]:
    """Returns the height and width in pixels at which a photo enters the network."""
    if settings.input == "square":
        return settings.size, settings.size
    scale = settings.size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def label_shape(source: Source, positions: Sequence[int], settings: InputSettings) -> tuple[int, int]:
    """Returns the height and width of the array that holds the query masks of some photos.

    Original sizes are rounded up, so that photos of many sizes make few shapes, for each of which a program
    is compiled.

    Args:
        source: the photos.
        positions: of them.
        settings: the labels' size.
    """
    if settings.label != "original":
        return settings.size, settings.size
    height, width = np.max([source.size(position) for position in positions], axis=0).tolist()
    return _rounded(height), _rounded(width)


def _rounded(side: int) -> int:
    """Returns a side rounded up to a multiple of 128, or of an eighth of the power of two above it."""
    step = max(LABEL_STEP, 2 ** (side - 1).bit_length() // 8)
    return -(-side // step) * step


def mask_of_way(mask: np.ndarray, way: int) -> np.ndarray:
    """Returns an episode's mask for one way, uint8: 1 the way, 0 background, 255 other ways and void."""
    return np.where(mask == way, 1, np.where(mask == 0, 0, IGNORED)).astype(np.uint8)


def load_photo(source: Source, position: int, settings: InputSettings) -> Photo:
    """Returns a photo resized as `settings.input` says, in an array of S x S; nothing is drawn at random.

    Raises:
        InputError: the photo is not of the size that its source gives.
    """
    return _photo(source, position, settings, flip=False)


def load_mask(
    source: Source,
    position: int,
    class_ids: Sequence[int],
    way: int | None,
    settings: InputSettings,
    *,
    original: tuple[int, int] | None = None,
) -> Mask:
    """Returns the mask of a photo; nothing is drawn at random.

    Args:
        source: the labels.
        position: of the photo.
        class_ids: the classes that are asked for; class_ids[n - 1] is n in the mask.
        way: what the photo is a support of, 1 to N; None for a query.
        settings: the policies for void pixels and other classes, and the sizes.
        original: height and width of the array for a mask that stays as large as it is stored, of
            `label_shape`; None resizes it with its photo into S x S, and no class vanishes.

    Raises:
        InputError: the mask is not of its photo's size.
    """
    mask = stored_mask(source, position, class_ids, way, settings)
    if original is None:
        mask = resize_mask(mask, *input_size(mask.shape[0], mask.shape[1], settings))
    return padded(mask, *(original or (settings.size,) * 2)), np.array(mask.shape, np.int32)


def kept_warp(
    mask: UInt8[np.ndarray, "h w"], settings: InputSettings, words: Sequence[int]
) -> tuple[Warp, UInt8[np.ndarray, "S S"], int]:
    """Returns a random crop and rotation (DPNet 5.1) under which no class of a mask vanishes.

    An attempt after which a class has no pixel left is made anew; after `ATTEMPTS` of them the mask is only
    resized.

    Args:
        mask: as stored, 0, 1..N or 255.
        settings: the size and what is drawn.
        words: the seed sequence, to which the number of the attempt is added.

    Returns:
        The warp, the warped mask at S = `settings.size`, and how many attempts were given up, 0 to
        `ATTEMPTS`.
    """
    S = settings.size
    plain = resize_mask(mask, S, S)
    for attempt in range(ATTEMPTS):
        warp = draw_warp(np.random.default_rng([*words, attempt]), S, settings.crop, settings.rotate)
        warped = warp_mask(resize_mask(mask, warp.side, warp.side), warp)
        if not len(lost_labels(plain, warped)):
            return warp, warped, attempt
    return Warp(side=S, angle=0.0, top=0, left=0, size=S), plain, ATTEMPTS


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
        features: what takes the place of the photos, which are then not decoded, cropped or rotated.

    Returns:
        The episode, NumPy arrays with the shapes that `Episode` gives, weight 1. With `features` its
        images are float16 [N, K, h, w, C] and [T, h, w, C]; their sizes are still the photos' in pixels.

    Raises:
        InputError: a mask differs from its photo in size.
    """
    ways, shots, queries = len(spec.support), len(spec.support[0]), len(spec.query)
    picks = picks_of(source, spec, settings)
    draws = np.random.default_rng([seed, spec.index, _FLIPS]).random(ways * shots + queries)
    flips = [settings.flip and draw < 0.5 for draw in draws.tolist()]
    photos = []
    for number, (pick, flip) in enumerate(zip(picks, flips, strict=True)):
        if features is not None:
            photos.append(_with_features(source, features, pick, settings, flip))
        elif settings.warps:
            photos.append(_warped(source, pick, settings, flip, warp_words(seed, spec, number)))
        else:
            photos.append(_resized(source, pick, settings, flip))
    support, query = _stack(photos[: ways * shots]), _stack(photos[ways * shots :])
    by_way = _Labelled(*(field.reshape(ways, shots, *field.shape[1:]) for field in support))
    return _episode(spec, by_way, query, weight=1)


def empty_episode(
    source: Source, spec: EpisodeSpec, settings: InputSettings, features: FeatureReader | None = None
) -> Episode:
    """Returns the filling of a spare slot: shaped as the spec's episode, weight 0, everything else 0.

    Its sizes are full, so that nothing divides by an area of zero.
    """
    S = settings.size
    of_photo, dtype = ((S, S, 3), np.uint8) if features is None else (features.shape, np.float16)

    def blank(*lead: int, shape: tuple[int, int]) -> "_Labelled":
        image, mask = np.zeros((*lead, *of_photo), dtype), np.zeros((*lead, *shape), np.uint8)
        full = np.broadcast_to(np.array(shape, np.int32), (*lead, 2))
        return _Labelled(image, np.full((*lead, 2), S, np.int32), mask, full)

    support = blank(len(spec.support), len(spec.support[0]), shape=(S, S))
    nothing = replace(spec, index=0, class_ids=(0,) * len(spec.class_ids))
    query = blank(len(spec.query), shape=label_shape(source, spec.query, settings))
    return _episode(nothing, support, query, weight=0)


class Pick(NamedTuple):
    """One of an episode's photos, and which mask it gets."""

    position: int
    class_ids: Sequence[int]
    way: int | None  # what it is a support of; None for a query
    original: tuple[int, int] | None  # as in `load_mask`


def picks_of(source: Source, spec: EpisodeSpec, settings: InputSettings) -> list[Pick]:
    """Returns the photos of an episode, way by way and then the queries."""
    supports = [
        Pick(position, spec.shown, way, None)
        for way, positions in enumerate(spec.support, 1)
        for position in positions
    ]
    original = label_shape(source, spec.query, settings) if settings.label == "original" else None
    return supports + [Pick(position, spec.class_ids, None, original) for position in spec.query]


def warp_words(seed: int, spec: EpisodeSpec, number: int) -> tuple[int, ...]:
    """Returns the seed sequence for the warps of an episode's photo of that number."""
    return seed, spec.index, _WARPS, number


class _Labelled(NamedTuple):
    """A photo and its mask at the top left of their arrays, and how much of these they fill."""

    image: np.ndarray  # uint8 [..., S, S, 3], or features float16 [..., h, w, C]
    size: np.ndarray  # int32 [..., 2]
    mask: np.ndarray  # uint8 [..., H, W]
    mask_size: np.ndarray  # int32 [..., 2]


def _resized(source: Source, pick: Pick, settings: InputSettings, flip: bool) -> _Labelled:
    photo = _photo(source, pick.position, settings, flip)
    return _Labelled(*photo, *_mask(source, pick, settings, flip))


def _photo(source: Source, position: int, settings: InputSettings, flip: bool) -> Photo:
    height, width = input_size(*source.size(position), settings)
    picture = _flipped(open_photo(source, position, height, width), flip)
    return padded(np.asarray(picture), settings.size, settings.size), np.array([height, width], np.int32)


def _flipped(picture: Image.Image, flip: bool) -> Image.Image:
    # Pillow mirrors its pixels of four bytes in a tenth of the time that NumPy takes for three.
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else picture


def _with_features(
    source: Source, features: FeatureReader, pick: Pick, settings: InputSettings, flip: bool
) -> _Labelled:
    size = np.array(input_size(*source.size(pick.position), settings), np.int32)
    return _Labelled(features.read(pick.position, flip), size, *_mask(source, pick, settings, flip))


def _mask(source: Source, pick: Pick, settings: InputSettings, flip: bool) -> tuple[np.ndarray, np.ndarray]:
    position, class_ids, way, original = pick
    mask, size = load_mask(source, position, class_ids, way, settings, original=original)
    return mirror(mask, size) if flip else mask, size


def _warped(
    source: Source, pick: Pick, settings: InputSettings, flip: bool, words: Sequence[int]
) -> _Labelled:
    stored = stored_mask(source, pick.position, pick.class_ids, pick.way, settings)
    warp, mask, _ = kept_warp(stored, settings, words)
    photo = warp_picture(open_photo(source, pick.position, warp.side, warp.side), warp)
    image = np.asarray(_flipped(photo, flip))
    size = np.array([settings.size, settings.size], np.int32)
    return _Labelled(image, size, mask[:, ::-1] if flip else mask, size)


def stored_mask(
    source: Source, position: int, class_ids: Sequence[int], way: int | None, settings: InputSettings
) -> UInt8[np.ndarray, "h w"]:
    """Returns a mask as large as it is stored, after the policies for void pixels and other classes."""
    mask = open_mask(source, position, class_ids, way)
    void = settings.void if way is None else settings.support_void or settings.void
    if void == "background":
        mask = mask * (mask != IGNORED)
    areas = source.areas(position) if settings.ignored else ()
    shown = [c for c in settings.ignored if areas[c - 1]]
    if shown:
        other = source.mask(position, shown, None)
        mask = np.where((mask == 0) & (other > 0) & (other < IGNORED), np.uint8(IGNORED), mask)
    return mask


def stacked(arrays: Sequence[np.ndarray | np.generic]) -> np.ndarray:
    """Returns arrays of one shape stacked in row-major order; a single one is not copied if it has that."""
    return np.stack(arrays) if len(arrays) > 1 else np.asarray(arrays[0], order="C")[None]


def _stack(photos: Sequence[_Labelled]) -> _Labelled:
    return _Labelled(*map(stacked, zip(*photos, strict=True)))


def _episode(spec: EpisodeSpec, support: _Labelled, query: _Labelled, weight: int) -> Episode:
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
