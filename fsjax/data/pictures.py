"""Encoded pictures, opened with care: damage, bombs and what is no picture become sentences."""

import contextlib
import io
import warnings
from collections.abc import Iterator

from PIL import Image

from fsjax.errors import InputError

MOST_PIXELS = 100_000_000
"""Of a photo: ten thousand by ten thousand."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What photos and masks may be; Pillow hands some others to programs that it starts."""


SCALED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of few bits with, see `raw_mode`."""


def opened(encoded: bytes, where: str) -> Image.Image:
    """Returns a picture whose size is known and whose pixels are not decoded yet.

    Args:
        encoded: the picture's bytes.
        where: it lies, for sentences.

    Raises:
        InputError: it is no picture, or has too many pixels.
    """
    with _careful(where):
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(where)
    return image


def decoded(encoded: bytes, where: str) -> Image.Image:
    """Returns a picture decoded to its last row.

    Raises:
        InputError: as `opened`, or it is damaged.
    """
    image = opened(encoded, where)
    with _careful(where):
        image.load()
    return image


def raw_mode(image: Image.Image) -> str:
    """Returns how a picture that is not decoded yet is encoded, e.g. "L;4" or "RGB;16B"; "" if unknown."""
    tiles = getattr(image, "tile", None)  # of files alone
    args = tiles[0].args if tiles else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def size_of_whole(encoded: bytes, where: str) -> tuple[int, int]:
    """Returns the height and width of a photo, after making sure that it can be decoded to its last row.

    Raises:
        InputError: as `decoded`.
    """
    image = opened(encoded, where)
    width, height = image.size
    with _careful(where):
        # A JPEG's last row is reached all the same, and sooner.
        image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
        image.load()
    return height, width


@contextlib.contextmanager
def _careful(where: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of metadata, which nobody reads, and of a limit that is not ours
            yield
    except Image.DecompressionBombError as error:
        raise _too_large(where) from error
    except (OSError, SyntaxError, ValueError, TypeError) as error:  # a format's reader has each its own
        raise InputError(f"{where} is damaged, or no picture: fetch it again, or leave it out.") from error


def _too_large(where: str) -> InputError:
    return InputError(f"{where} has over {MOST_PIXELS:,} pixels: make it smaller, or leave it out.")
