"""What several masks say together: an object in white, or labels by value. One alone often cannot tell.

Of all masks of a folder it is decided once, by the values beside 0 that they hold together:

- Masks that are compressed with loss, cut-outs (transparent around the object) and masks in one colour mark
  an object; those in several colours are refused.
- One value, and that 1 or above half of the range (127 of 255), is an object; one other value is a label.
- Several values without 255 are labels: not more than 20 where nobody has named them, as so many are rather
  the blurred edge of an object.
- Several values with 255 are labels and void where the others are names' numbers, or not above 20. Else more
  than three values between 0 and 255 are the blurred edge of an object, and fewer are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from fsjax.data import mask_files, pictures
from fsjax.data.mask_colours import HALF, colours_of, palette_of, values_in
from fsjax.data.mask_files import MOST_LABELS
from fsjax.episode import IGNORED
from fsjax.errors import InputError

BLURRED = 3
"""More values than these between black and white are a blurred edge."""

Labels = tuple[int, ...] | None
"""The labels that masks hold together, in ascending order; None where they mark one object instead."""


@dataclass(frozen=True)
class Look:
    """What one mask may be.

    Attributes:
        where: it lies.
        why: it marks an object whatever its values are, "" if it does not.
        values: beside 0, in ascending order; empty where `why` is said. Of 16 bits the highest is 255.
    """

    where: str
    why: str
    values: tuple[int, ...]


def look_at(encoded: bytes, where: str) -> Look:
    """Returns what a mask may be.

    Args:
        encoded: its bytes.
        where: it lies, for sentences.

    Raises:
        InputError: it is no picture, damaged, or in several colours.
    """
    image, raw, lossy = mask_files.opened(encoded, where)
    if lossy:
        return Look(where, "is compressed with loss", ())
    if image.mode in ("LA", "PA", "RGB", "RGBA", "CMYK"):
        colours = colours_of(image)
        if colours.is_transparent:
            return Look(where, "is transparent in parts", ())
        if not colours.is_grey:
            if not colours.is_one:
                raise InputError(
                    f"{where} holds several colours: save it as labels, the indices of a palette or grey "
                    "values from 1, or mark one object in white."
                )
            return Look(where, "is in one colour", ())
    if image.mode == "P" and _is_white_first(image):
        return Look(where, "", (IGNORED,))
    values = set(values_in(mask_files.labels_in(image, raw, lossy, where))) - {0}
    if mask_files.IGNORED_16 in values:
        values = values - {mask_files.IGNORED_16} | {IGNORED}
    return Look(where, "", tuple(sorted(values)))


def labels_together(looks: Sequence[Look], named: int = 0) -> Labels:
    """Returns the labels that masks hold together, None where they mark one object.

    Args:
        looks: of all masks.
        named: how many labels have names.

    Raises:
        InputError: it is not clear which.
    """
    values = {value: look.where for look in looks for value in look.values}
    low = sorted(values.keys() - {IGNORED})
    if any(look.why for look in looks):
        _check_no_labels(looks, low)
        return None
    if len(values) < 2:
        return _one_value(min(values, default=0), named)
    if IGNORED not in values:
        if len(low) > max(MOST_LABELS, named):
            raise _unclear(values[low[-1]], f"{len(low)} values from {low[0]} to {low[-1]}")
        return tuple(low)
    if low[-1] <= max(MOST_LABELS, named):
        return tuple(low)
    if len(low) <= BLURRED:
        raise _unclear(values[low[-1]], f"the value {low[-1]}, and masks beside it (or itself) 255")
    return None


def marked(encoded: bytes, where: str, labels: Labels) -> Integer[np.ndarray, "h w"]:
    """Returns a mask's labels: 0 background, 255 void; of an object 1.

    Args:
        encoded: the mask's bytes.
        where: it lies, for sentences.
        labels: of all masks, see `labels_together`.

    Returns:
        uint8 [H, W], or uint16 where a label is above 255.

    Raises:
        InputError: as `fsjax.data.mask_files` says.
    """
    if labels is None:
        return mask_files.object_or_nothing(encoded, where)[0].astype(np.uint8)
    values = mask_files.labels_of(encoded, where)
    values[mask_files.void_of(values)] = IGNORED
    return values if values.max() > IGNORED else values.astype(np.uint8)


def read_masks(paths: Sequence[str | Path]) -> list[UInt8[np.ndarray, "h w"]]:
    """Returns the masks in some files, which are looked at together: 0 background, 1 to 254, 255 ignored.

    Raises:
        InputError: a file is missing, no ordinary file, no picture or damaged, or marks nothing; or it is not
            clear what they mark.
    """
    encoded = [pictures.encoded_of(path) for path in paths]
    wheres = [str(path) for path in paths]
    labels = labels_together([look_at(mask, where) for mask, where in zip(encoded, wheres, strict=True)])
    masks = []
    for mask, where in zip(encoded, wheres, strict=True):
        values = marked(mask, where, labels)
        if not mask_files.shown_in(values):
            raise InputError(f"{where} marks nothing: mark the object in white, or classes by values from 1.")
        if values.max() > IGNORED:
            raise InputError(f"{where} holds the value {values.max()}: number the classes from 1 to 254.")
        masks.append(values.astype(np.uint8))
    return masks


def read_mask(path: str | Path) -> UInt8[np.ndarray, "h w"]:
    """Returns the mask in a file, see `read_masks`.

    Raises:
        InputError: as there.
    """
    (mask,) = read_masks([path])
    return mask


def _one_value(value: int, named: int) -> Labels:
    """Returns what masks of one value beside 0 hold; 0 where they hold none."""
    if value == 0:
        return ()
    if value == 1:
        return (1,) if named else None
    return None if value > max(HALF, named) or value == IGNORED else (value,)


def _is_white_first(image: Image.Image) -> bool:
    """Says whether a palette is black and white alone, and the background is not its first colour."""
    used = values_in(np.asarray(image))
    return palette_of(image)[used].tolist() == [[255] * 3, [0] * 3]


def _check_no_labels(looks: Sequence[Look], low: Sequence[int]) -> None:
    """Makes sure that masks beside ones of an object are such, too."""
    if len(low) <= 1 or (len(low) > BLURRED and low[-1] > MOST_LABELS):
        return
    of_object = next(look for look in looks if look.why)
    other = next(look for look in looks if set(look.values) & set(low))
    raise InputError(
        f"{of_object.where} {of_object.why}, which labels are not, and {other.where} holds labels: make "
        "all masks of one kind."
    )


def _unclear(where: str, what: str) -> InputError:
    return InputError(
        f"{where} holds {what}, so that it is not clear what they mark: make one object white and all else "
        f"black, or number classes from 1 on, with their names in a file classes.txt if there are over "
        f"{MOST_LABELS}."
    )
