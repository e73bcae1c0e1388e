"""Encoded pictures, opened with care: damage, bombs and what is no picture become sentences."""

import contextlib
import errno
import io
import os
import stat
import warnings
from collections.abc import Iterator
from os import PathLike

from PIL import Image

from fsjax.errors import InputError

MOST_PIXELS = 100_000_000
"""Of a photo: ten thousand by ten thousand."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What photos and masks may be; Pillow hands some others to programs that it starts."""

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""What their files' names end with, in small letters."""

UNREAD = (".heic", ".heif", ".avif")
"""What photos of some telephones end with; Pillow reads them where it was built to, or not at all."""

LARGEST = 512 * 2**20
"""Bytes of a photo's file: `MOST_PIXELS` in RGB without compression, and more."""

SCALED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of few bits with, by what `raw_mode` begins with."""

STRETCHED = "stretched"
"""What stands behind the raw mode of a PGM whose values Pillow stretches to eight or sixteen bits."""


def encoded_of(path: str | PathLike[str], largest: int = LARGEST) -> bytes:
    """Returns the bytes of a file that a user named; a pipe, which would be waited for, is never opened.

    Args:
        path: of the file.
        largest: bytes that it may have.

    Raises:
        InputError: it is missing, no ordinary file, empty, far too large, or must not be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            what = "a folder" if os.path.isdir(path) else "no ordinary file"
            raise InputError(f"{path} is {what}: name a picture's file.")
        with open(path, "rb", opener=_without_waiting) as file:
            encoded = file.read(largest + 1)
    except (OSError, ValueError) as error:  # no name of a file holds a zero byte
        if isinstance(error, InputError):
            raise
        raise _unreadable(path, error) from error
    if not encoded:
        raise InputError(f"{path} is empty: save it again, or leave it out.")
    if len(encoded) > largest:
        raise InputError(f"{path} has over {largest / 2**20:,.0f} MB: make it smaller, or leave it out.")
    return encoded


def opened(encoded: bytes, where: str) -> Image.Image:
    """Returns a picture whose size is known and whose pixels are not decoded yet.

    Args:
        encoded: the picture's bytes.
        where: it lies, for sentences.

    Raises:
        InputError: it is no picture, or has too many pixels.
    """
    if encoded[4:8] == b"ftyp" and encoded[8:11] in (b"hei", b"hev", b"mif", b"msf", b"avi"):
        raise InputError(f"{where} is a HEIC or AVIF photo, which is not read: save it as JPEG.")
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
    if tiles and tiles[0].codec_name.startswith("ppm") and args[1] not in (255, 65535):
        return f"{args[0]};{STRETCHED}"
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


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file that may have become a pipe a moment ago."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _unreadable(path: str | PathLike[str], error: OSError | ValueError) -> InputError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return InputError(f"There is no file {path}: mend the name, or put it there.")
    reason = error.strerror if isinstance(error, OSError) else error
    return InputError(f"{str(path)!r} cannot be read ({reason}): give leave to read it, or name another.")


@contextlib.contextmanager
def _careful(where: str) -> Iterator[None]:
    """Turns what Pillow raises into a sentence, and keeps its warnings to itself.

    Raises:
        InputError: what is inside raises an error; its own sentences are left as they are.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of a limit that is not ours
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(where) from error
    except (OSError, SyntaxError, ValueError, TypeError) as error:  # a format's reader has each its own
        raise InputError(f"{where} is damaged, or no picture: fetch it again, or leave it out.") from error


def _too_large(where: str) -> InputError:
    return InputError(f"{where} has over {MOST_PIXELS:,} pixels: make it smaller, or leave it out.")
