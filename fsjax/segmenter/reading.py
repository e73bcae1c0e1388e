"""Photos and masks as people bring them, arrays, Pillow's pictures or files: checked before anything runs.

A photo is upright by its EXIF tag, and put on white where it is transparent. A mask holds 0 (or False) for
background, 1 (or True) to N for the classes and 255 for what is neither; where no mask holds anything but 0
and 255, 255 is the object. One in a single colour, or with transparent parts as cut-outs have, marks the
object as such a file does (`fsjax.data.mask_files`).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from PIL import Image

from fsjax.data import mask_kinds, photo_files
from fsjax.data.mask_colours import HALF, brightest_of, colours_of
from fsjax.episode import IGNORED
from fsjax.errors import InputError

Picture = np.ndarray | Image.Image | str | PathLike[str]
"""A photo or a mask: an array, a picture of Pillow's, or a file."""

Pictures = Picture | Iterable[Picture]
"""One of them, or several; a stack of equal ones is an array with one axis more."""


def is_one(images: Pictures, axes: int = 3) -> bool:
    """Says whether this is one picture and not several.

    Args:
      images: pictures.
      axes: of an array that is one of them: 3 of a photo, which may have 2, too, and 2 of a mask.
    """
    return isinstance(images, str | PathLike | Image.Image) or (
        isinstance(images, np.ndarray) and images.ndim <= axes
    )


def listed(images: Pictures, axes: int = 3) -> list[Picture]:
    """Returns one picture or several as a list.

    Args:
      images: pictures.
      axes: as in `is_one`.

    Raises:
      InputError: it is neither.
    """
    if is_one(images, axes):
        return [images]  # type: ignore[list-item]
    return list(_iterable(images))


def each(images: Pictures) -> Iterable[Picture]:
    """Returns one picture or several as what yields them one after another.

    Raises:
      InputError: it is neither.
    """
    return listed(images) if is_one(images) else _iterable(images)


def photos(images: Iterable[Picture]) -> Iterator[np.ndarray]:
    """Yields photos as uint8 [H, W, 3], one after another.

    Raises:
      InputError: for what is none; its number is named, counted from 1, or its file.
    """
    for number, image in enumerate(images, 1):
        yield photo(number, image)


def photo(number: int, image: Picture) -> np.ndarray:
    """Returns one photo, uint8 RGB [H, W, 3].

    Args:
      number: it is called by, if it is no file.
      image: it.

    Raises:
      InputError: it is none.
    """
    if isinstance(image, str | PathLike):
        return photo_files.read_photo(image)
    name = f"Photo {number}"
    if isinstance(image, Image.Image):
        return np.asarray(photo_files.flattened(_upright(image, name), name))
    image = np.asarray(image)
    shape = image.shape
    fits = image.ndim == 2 or (image.ndim == 3 and shape[-1] in (1, 3, 4))
    if image.dtype != np.uint8 or not fits or not image.size:
        raise InputError(
            f"{name} is {image.dtype} {shape}: give RGB values 0 to 255 as uint8 [H, W, 3]{_why(image)}."
        )
    if image.ndim == 3 and shape[-1] == 3:
        return image
    flat = image[..., 0] if shape[2:] == (1,) else image
    return np.asarray(photo_files.flattened(Image.fromarray(flat), name))


def supports(
    images: Pictures, masks: Pictures, ways: Sequence[int] | np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns photos with their masks, uint8 [H, W, 3] and [H, W]: 0, 1 to N, 255.

    Args:
      images: photos.
      masks: of each photo.
      ways: of each photo the one class that it is a support of, if given.

    Raises:
      InputError: for what does not fit; a photo's number is named, counted from 1, or its file.
    """
    found = list(photos(listed(images)))
    given = listed(masks, axes=3 if len(found) == 1 and _has_channels(masks, found[0]) else 2)
    if not found or len(found) != len(given):
        raise InputError(f"There are {len(found)} photos and {len(given)} masks: give one mask a photo.")
    if ways is not None and len(ways) != len(found):
        raise InputError(f"There are {len(found)} photos and {len(ways)} ways: give one class a photo.")
    names = [str(mask) if _is_file(mask) else f"Mask {k}" for k, mask in enumerate(given, 1)]
    paths = [str(mask) for mask in given if _is_file(mask)]
    files = iter(mask_kinds.read_masks(paths) if paths else [])
    values = [
        next(files) if _is_file(mask) else _mask(mask, name) for mask, name in zip(given, names, strict=True)
    ]
    for name, image, mask in zip(names, found, values, strict=True):
        _check(name, image, mask)
    values = _objects(values)
    for k, (name, mask) in enumerate(zip(names, values, strict=True)):
        if not ((mask > 0) & (mask != IGNORED)).any():
            raise InputError(f"{name} marks no class: 1 to N are the classes, 0 background, 255 is ignored.")
        if ways is not None and (ways[k] in (0, IGNORED) or ways[k] not in mask):
            raise InputError(f"{name} does not show class {ways[k]}: name one of its own in `ways`.")
    return list(zip(found, values, strict=True))


def presence(masks: Sequence[np.ndarray], ways: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Returns which photo is a support of which class, bool [N, K].

    Args:
      masks: of `supports`.
      ways: of each photo the one class that it is a support of; by default of all that it shows.

    Raises:
      InputError: a class below the highest one is shown nowhere.
    """
    N = int(max((mask[mask != IGNORED].max() for mask in masks) if ways is None else ways))
    present = np.empty((N, len(masks)), bool)
    for n in range(1, N + 1):
        present[n - 1] = [n in mask for mask in masks] if ways is None else np.equal(ways, n)
        if not present[n - 1].any():
            raise InputError(
                f"No photo is a support of class {n} of {N}: number the classes from 1 on, or give one "
                "object as True and False."
            )
    return present


def class_names(names: Sequence[str] | None, ways: int) -> tuple[str, ...]:
    """Returns the names of classes 1 to N, made up where none are given.

    Raises:
      InputError: there are more or fewer names than classes.
    """
    if names is None:
        return ("object",) if ways == 1 else tuple(f"class {n}" for n in range(1, ways + 1))
    if len(names) != ways:
        raise InputError(f"There are {len(names)} names and {ways} classes: give one name a class.")
    return tuple(names)


def check_share(name: str, value: float | None) -> None:
    """Makes sure that an argument is a number from 0 to 1, or None.

    Raises:
      InputError: it is not.
    """
    if value is not None and not 0 <= value <= 1:
        raise InputError(f"{name} is {value}: give a number from 0 to 1.")


def check_batch(batch: int) -> None:
    """Makes sure that there can be so many photos at a time.

    Raises:
      InputError: there cannot.
    """
    if batch < 1:
        raise InputError(f"batch is {batch}: give a number of photos from 1 on.")


def _iterable(images: Any) -> Iterable[Picture]:
    if not isinstance(images, Iterable):
        raise InputError(f"{images!r:.60} is no picture: give arrays, Pillow's pictures, or files.")
    return images


def _is_file(image: Picture) -> bool:
    return isinstance(image, str | PathLike)


def _mask(mask: Any, name: str) -> np.ndarray:
    """Returns the values of a mask that is no file, [H, W] of any whole type."""
    if isinstance(mask, Image.Image):
        mask = _upright(mask, name)
        mode = {"LA": "RGBA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}.get(mask.mode, mask.mode)
        mask = np.asarray(mask.convert(mode))
    mask = np.asarray(mask)
    if mask.ndim != 3 or mask.shape[-1] not in (1, 3, 4):
        return mask
    if mask.dtype == np.uint8 and mask.shape[-1] > 1:
        colours = colours_of(Image.fromarray(mask))
        if colours.is_transparent or (colours.is_one and not colours.is_grey):
            return brightest_of(Image.fromarray(mask)) > HALF
    is_grey = (mask[..., :3] == mask[..., :1]).all()  # one number a pixel that was saved as colours
    return mask[..., 0] if is_grey else mask


def _has_channels(masks: Pictures, image: np.ndarray) -> bool:
    """Says whether this is a photo's one mask with an axis of channels, and not a stack of masks."""
    return isinstance(masks, np.ndarray) and masks.ndim == 3 and masks.shape[:2] == image.shape[:2]


def _check(name: str, image: np.ndarray, mask: np.ndarray) -> None:
    if mask.shape in [(*image.shape[:2], channels) for channels in (3, 4)]:
        raise InputError(
            f"{name} holds several colours: give one number a pixel, or mark an object in white."
        )
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"{name} has the shape {mask.shape} and its photo {image.shape[:2]}: make them equal."
        )
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise InputError(f"{name} is of type {mask.dtype}: give whole numbers or booleans{_why(mask)}.")
    if mask.min() < 0 or mask.max() > IGNORED:
        raise InputError(
            f"{name} holds values from {mask.min()} to {mask.max()}: 0 is background, 1 to N are the "
            "classes, 255 is ignored."
        )


def _objects(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns masks as uint8; where none holds a label, and some 255, that is the object."""
    labelled = any(mask.dtype != bool and ((mask > 0) & (mask < IGNORED)).any() for mask in masks)
    return [(mask if labelled else mask > 0).astype(np.uint8) for mask in masks]


def _upright(image: Image.Image, name: str) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a tag that it cannot read
        try:
            image.load()  # one that was opened and not read yet
        except (OSError, SyntaxError, ValueError, TypeError) as error:  # as `pictures` does
            raise InputError(f"{name} is damaged: fetch it again, or leave it out.") from error
        return photo_files.upright(image, photo_files.orientation_of(image))


def _why(values: np.ndarray) -> str:
    """Returns what a sentence adds about values that are no numbers."""
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        return "; it holds NaN or Inf, too"
    return ""
