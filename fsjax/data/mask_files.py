"""People's own masks: of one object in white, or of labels by value.

Of an object's mask the brightest channel counts, on black where it is transparent, and of a palette that is
not grey the index; of a cut-out, which is opaque where the object is and shows it there in its colours, the
opacity counts. Above half of the range (127 of 255) is the object, so that an edge blurred by smoothing
or by JPEG is cut in its middle; a mask that is stored without loss and never gets so high, as of zeros and
ones, marks the object by all that is not 0. One with low values and 255 alone is refused: 255 may be void.

Labels are a palette's indices, or grey values of 1 to 16 bits; 255 is void, of 16 bits 65535, too.
"""

import warnings

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

from fsjax.data import pictures
from fsjax.data.mask_colours import HALF, brightest_of, values_in
from fsjax.data.photo_files import Photo, Pixels, is_lossy, orientation_of, upright
from fsjax.episode import IGNORED
from fsjax.errors import InputError

IGNORED_16 = 65535

MOST_LABELS = 20
"""Up to which low values beside 255 are taken for labels, and 255 for void."""


def object_of(encoded: bytes, where: str) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of the object that a mask marks.

    Raises:
        InputError: it is no picture, damaged, or marks nothing, or its 255 may be void.
    """
    marked, with_void = object_or_nothing(encoded, where)
    if with_void:
        raise InputError(
            f"{where} holds low values and 255, so that it is not clear which is the object: make the object "
            "white and all else black."
        )
    if not marked.any():
        raise InputError(f"{where} marks no object: make the object white and all else black.")
    return marked


def object_or_nothing(encoded: bytes, where: str) -> tuple[Bool[np.ndarray, "h w"], bool]:
    """Returns the pixels of the object that a mask marks, if it marks one, and whether 255 may be void.

    Raises:
        InputError: it is no picture, or damaged.
    """
    image, _, lossy = opened(encoded, where)
    if image.mode.startswith("I"):
        grey, half = np.asarray(image), 32767
        _check_range(grey, where)
    else:
        grey, half = brightest_of(image), HALF
    marked = grey > half
    if not marked.any() and not lossy:
        marked = grey > 0
    return marked, not lossy and _is_labels_with_void(grey)


def _is_labels_with_void(grey: Integer[np.ndarray, "h w"]) -> bool:
    """Says whether values look like a few labels and void; what is smoothed has others in between."""
    values = [value for value in values_in(grey) if value > 0]
    return bool(len(values) > 1 and values[-1] == IGNORED and values[-2] <= MOST_LABELS)


def labels_of(encoded: bytes, where: str) -> Integer[np.ndarray, "h w"]:
    """Returns the labels of a mask, uint8 or uint16.

    Raises:
        InputError: it is no picture, damaged, compressed with loss, coloured or partly transparent.
    """
    return labels_in(*opened(encoded, where), where)


def labels_in(image: Image.Image, raw: str, lossy: bool, where: str) -> Integer[np.ndarray, "h w"]:
    """Returns the labels of a decoded mask, see `opened` and `labels_of`.

    Raises:
        InputError: as `labels_of`.
    """
    if lossy:
        raise InputError(
            f"{where} is compressed with loss, as JPEGs are, which changes labels: make the masks anew as "
            "PNGs."
        )
    if raw.endswith(pictures.STRETCHED):
        raise InputError(f"{where} has another highest value than 255 or 65535: save labels as a grey PNG.")
    values = np.asarray(image)
    if image.mode in ("LA", "RGB", "RGBA"):
        values = _grey(image, values, where)
    if ";16" in raw and not image.mode.startswith("I"):
        raise InputError(f"{where} holds colours of 16 bits: save it as labels, one number a pixel.")
    if image.mode not in ("1", "L", "P", "LA", "RGB", "RGBA") and not image.mode.startswith("I"):
        raise InputError(f"{where} has pixels of a rare kind ({image.mode}): save labels as a grey PNG.")
    _check_range(values, where)
    if image.mode.startswith("I"):
        return values.astype(np.uint16)
    return values.astype(np.uint8) // np.uint8(pictures.SCALED.get(raw[:3], 1))


def void_of(labels: Integer[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels that belong to no class and not to the background either."""
    return (labels == IGNORED) | (labels == IGNORED_16)


def shown_in(labels: Integer[np.ndarray, "h w"]) -> list[int]:
    """Returns the labels that a mask holds, in ascending order, without 0 and void."""
    return [value for value in values_in(labels) if value not in (0, IGNORED, IGNORED_16)]


def check_fits(shape: tuple[int, ...], mask: str, photo: Photo | Pixels, where: str) -> None:
    """Makes sure that a mask is as large as its photo.

    Args:
        shape: the mask's height and width.
        mask: where it lies.
        photo: that it is of.
        where: the photo lies.

    Raises:
        InputError: it is not.
    """
    if shape == photo.size:
        return
    sizes = [f"{height}x{width}" for height, width in (shape, photo.size)]
    if photo.turned and shape == photo.size[::-1]:
        raise InputError(
            f"{mask} lies on its side: {where}, turned upright as its EXIF tag says, is {sizes[1]} and the "
            f"mask {sizes[0]} pixels (height x width): turn the mask, or take the tag off the photo."
        )
    raise InputError(
        f"{mask} is {sizes[0]} and its photo {where} {sizes[1]} pixels (height x width): make them equal."
    )


def opened(encoded: bytes, where: str) -> tuple[Image.Image, str, bool]:
    """Returns a mask, decoded and upright, with how it was encoded and whether that has changed it.

    Raises:
        InputError: it is no picture, damaged, or far too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a tag that it cannot read
        image = pictures.opened(encoded, where)
        raw, lossy, orientation = pictures.raw_mode(image), is_lossy(image, encoded), orientation_of(image)
        return upright(pictures.decoded(encoded, where), orientation), raw, lossy


def _check_range(values: np.ndarray, where: str) -> None:
    if values.min() < 0 or values.max() > IGNORED_16:
        raise InputError(f"{where} holds values from {values.min()} to {values.max()}: give 0 to 65535.")


def _grey(image: Image.Image, values: np.ndarray, where: str) -> np.ndarray:
    """Returns the one number a pixel of a mask that was saved in colours without having any."""
    if image.mode in ("LA", "RGBA") and values[..., -1].min() < IGNORED:
        raise InputError(f"{where} is transparent in parts: save it as labels, one number a pixel.")
    colours = values[..., :3] if image.mode != "LA" else values[..., :1]
    if not all(np.array_equal(colours[..., 0], colours[..., k]) for k in range(1, colours.shape[-1])):
        raise InputError(
            f"{where} holds colours: save it as labels, the indices of a palette or grey values, of which "
            "0 is background."
        )
    return colours[..., 0]
