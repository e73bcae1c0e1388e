"""Pictures opened with care."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fsjax.data import pictures
from fsjax.errors import InputError


def encoded(kind, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def png_of(width, height):
    """Returns a PNG that says it is so large, and holds nothing."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("WEBP", "RGB"), ("TIFF", "RGB")],
)
def test_sizes_are_height_and_width(kind, mode):
    content = encoded(kind, mode)
    assert pictures.size_of_whole(content, "it") == (40, 60)
    np.testing.assert_array_equal(pictures.decoded(content, "it"), Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97])
def test_a_picture_that_was_cut_short(kind, share):
    content = encoded(kind)
    content = content[: int(share * len(content))]
    for read in (pictures.size_of_whole, pictures.decoded):
        with pytest.raises(
            InputError, match=r"^a/b is damaged, or no picture: fetch it again, or leave it out\.$"
        ):
            read(content, "a/b")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_no_damage_is_more_than_a_sentence(kind):
    content, rng, refused = encoded(kind), random.Random(0), 0
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[rng.randrange(200)] = rng.randrange(256)
        try:
            pictures.size_of_whole(bytes(damaged), "it")
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("size", [(10_001, 10_000), (100_000, 100_000)])
def test_a_bomb(size):
    content = png_of(*size)
    assert len(content) < 100
    with pytest.raises(InputError, match="it has over 100,000,000 pixels: make it smaller"):
        pictures.opened(content, "it")


def test_what_pillow_would_start_a_program_for():
    with pytest.raises(InputError, match="no picture"):
        pictures.opened(encoded("EPS"), "it")


@pytest.mark.parametrize("size", [(7, 40), (40, 7), (1, 1)])
def test_a_photo_with_a_side_of_a_few_pixels(size):
    file = io.BytesIO()
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(file, "JPEG")
    assert pictures.size_of_whole(file.getvalue(), "it") == size
