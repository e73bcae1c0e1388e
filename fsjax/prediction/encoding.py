"""Pictures as bytes, and names for their files, as the folder of a prediction and the page give them."""

import io
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.segmenter.overlay import palette

QUALITY = 90
"""Of JPEGs, unless another is asked for."""

LARGEST_JPEG = 65_500
"""Pixels of a side."""


def png(picture: Image.Image) -> bytes:
    """Returns a picture as a PNG."""
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def indexed(mask: UInt8[np.ndarray, "H W"]) -> bytes:
    """Returns a mask as a PNG whose values are the labels, and whose palette holds the classes' colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette())
    return png(picture)


def jpeg(photo: UInt8[np.ndarray, "H W 3"], quality: int = QUALITY) -> bytes:
    """Returns a photo as a JPEG, made smaller if its format asks for that."""
    picture = Image.fromarray(photo)
    picture.thumbnail((LARGEST_JPEG, LARGEST_JPEG))  # nothing where it is smaller
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def distinct(names: Iterable[str]) -> list[str]:
    """Returns names of which no two are equal, whatever their case: those that are taken get a number.

    >>> distinct(["cat", "Cat", "dog", "cat"])
    ['cat', 'Cat_2', 'dog', 'cat_3']
    """
    found: dict[str, str] = {}
    for plain in names:
        name, number = plain, 1
        while name.casefold() in found:
            number += 1
            name = f"{plain}_{number}"
        found[name.casefold()] = name
    return list(found.values())
