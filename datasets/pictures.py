"""Encoded pictures, opened with care: damage, pipes and bombs become sentences."""

import io
import warnings

from PIL import Image

from fsjax.errors import InputError

MOST_PIXELS = 100_000_000
"""Of a photo: ten thousand by ten thousand."""


def opened(encoded: bytes, where: str) -> Image.Image:
    """Returns a picture whose size is known and whose pixels are not decoded yet.

    Args:
        encoded: the picture's bytes.
        where: it lies, for sentences.

    Raises:
        InputError: it is no picture, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
            image = Image.open(io.BytesIO(encoded))
    except Image.DecompressionBombError as error:
        raise _too_large(where) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(where) from error
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(where)
    return image


def decoded(encoded: bytes, where: str) -> Image.Image:
    """Returns a picture decoded to its last row.

    Raises:
        InputError: as `opened`, or it is damaged.
    """
    image = opened(encoded, where)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(where) from error
    return image


def size_of_whole(encoded: bytes, where: str) -> tuple[int, int]:
    """Returns the height and width of a photo, after making sure that it can be decoded to its last row.

    Raises:
        InputError: as `decoded`.
    """
    image = opened(encoded, where)
    width, height = image.size
    image.draft("RGB", (width // 8, height // 8))  # a JPEG's last row is reached all the same, and sooner
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(where) from error
    return height, width


def _damaged(where: str) -> InputError:
    return InputError(f"{where} is damaged, or no picture: fetch it again, or leave it out.")


def _too_large(where: str) -> InputError:
    return InputError(f"{where} has over {MOST_PIXELS:,} pixels: make it smaller, or leave it out.")
