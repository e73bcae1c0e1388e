"""Photos and masks as people bring them: checked, before anything is computed."""

from collections.abc import Sequence

import numpy as np

from fsjax.episode import IGNORED
from fsjax.errors import InputError

Images = Sequence[np.ndarray] | np.ndarray
"""Photos or masks: a list, or a stack of equal ones."""


def checked_supports(
    images: Images, masks: Images, ways: Sequence[int] | np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the photos with their masks, uint8 [H, W, 3] and [H, W].

    Args:
      images: photos.
      masks: of each photo: 0 (or False) background, 1 (or True) to N the classes, 255 ignored.
      ways: of each photo the one class that it is a support of, if given.

    Raises:
      InputError: for what does not fit; the photo's number is named, counted from 1.
    """
    photos = checked_photos(images)
    if not photos or len(photos) != len(masks):
        raise InputError(f"There are {len(photos)} photos and {len(masks)} masks: give one mask a photo.")
    if ways is not None and len(ways) != len(photos):
        raise InputError(f"There are {len(photos)} photos and {len(ways)} ways: give one class a photo.")
    shown = []
    for k, (image, mask) in enumerate(zip(photos, masks, strict=True), 1):
        shown.append((image, _checked_mask(k, image, np.asarray(mask))))
        if ways is not None and (ways[k - 1] in (0, IGNORED) or ways[k - 1] not in shown[-1][1]):
            raise InputError(f"Mask {k} does not show class {ways[k - 1]}: name one of its own in `ways`.")
    return shown


def presence(masks: Sequence[np.ndarray], ways: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Returns which photo is a support of which class, bool [N, K].

    Args:
      masks: of `checked_supports`.
      ways: of each photo the one class that it is a support of; by default of all that it shows.

    Raises:
      InputError: a class below the highest one is shown nowhere.
    """
    N = int(max((mask[mask != IGNORED].max() for mask in masks) if ways is None else ways))
    present = np.empty((N, len(masks)), bool)
    for n in range(1, N + 1):
        present[n - 1] = [n in mask for mask in masks] if ways is None else np.equal(ways, n)
        if not present[n - 1].any():
            raise InputError(f"No photo is a support of class {n} of {N}: number the classes from 1 on.")
    return present


def _checked_mask(number: int, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"Mask {number} has the shape {mask.shape} and its photo {image.shape[:2]}: make them equal."
        )
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise InputError(f"Mask {number} is of type {mask.dtype}: give whole numbers or booleans.")
    if mask.min() < 0 or mask.max() > IGNORED:
        raise InputError(
            f"Mask {number} holds values from {mask.min()} to {mask.max()}: 0 is background, 1 to N are the "
            "classes, 255 is ignored."
        )
    if not ((mask > 0) & (mask != IGNORED)).any():
        raise InputError(
            f"Mask {number} marks no class: 1 to N are the classes, and 255 is ignored; give `mask > 0` if "
            "255 marks yours."
        )
    return mask.astype(np.uint8)


def checked_photos(images: Images) -> list[np.ndarray]:
    """Returns photos as a list of uint8 [H, W, 3].

    Raises:
      InputError: for what is none.
    """
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise InputError("One array is no list of photos: put it in brackets, [photo].")
    return [checked_photo(number, image) for number, image in enumerate(images, 1)]


def checked_photo(number: int, image: np.ndarray) -> np.ndarray:
    """Returns one photo, uint8 [H, W, 3], whose number is named where it is none.

    Raises:
      InputError: it is not uint8 RGB.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise InputError(
            f"Photo {number} is {image.dtype} {image.shape}: give RGB values 0 to 255 as uint8 [H, W, 3]."
        )
    return image
