"""A few of the damaged files that benchmarks/fuzz_photos.py makes; by hand, all of them."""

import zlib

import numpy as np
import pytest
from PIL import Image

from benchmarks import fuzz_photos
from benchmarks.damaged_files import ANNOTATIONS, LOOK, PICTURES, damaged, mended
from benchmarks.fuzz_photos import SOUND, outcomes
from fsjax.errors import InputError


def found(format, count, folder):
    return [
        (seed, *pair) for seed, of in enumerate(outcomes(format, range(count), folder)) for pair in of.items()
    ]


@pytest.mark.parametrize("format", [*PICTURES, *ANNOTATIONS])
def test_damage_ends_in_a_sentence_or_a_sound_result(tmp_path, format):
    results = found(format, 5, tmp_path)
    assert {how for *_, how in results} <= {*SOUND}, [result for result in results if result[-1] not in SOUND]
    if format not in ("TIFF, floats", "TIFF, 32 bits", "PGM, 16 bits"):
        assert results[0][-1] == "read"  # nothing has happened to the first


@pytest.mark.slow
@pytest.mark.parametrize("format", [*PICTURES, *ANNOTATIONS])
def test_much_damage(tmp_path, format):
    results = found(format, 130, tmp_path)
    assert {how for *_, how in results} <= {*SOUND}, [result for result in results if result[-1] not in SOUND]


def test_what_the_fuzzing_calls_wrong(tmp_path):
    def warns():
        np.float32(1e30) * np.float32(1e30)

    def names_nothing():
        raise InputError("It is damaged.")

    def is_unsound():
        return False

    for read, what in ((warns, "RuntimeWarning"), (names_nothing, "poor sentence"), (is_unsound, "unsound")):
        assert fuzz_photos.outcome(read, "x.png").startswith(what)
    assert fuzz_photos.outcome(lambda: True, "x.png") == "read"


def test_files_are_damaged_alike_each_time_and_differ():
    sound = PICTURES["PNG, RGB"]()
    files = [damaged(sound, seed) for seed in range(50)]
    assert files == [damaged(sound, seed) for seed in range(50)]
    assert len({*files}) > 40


def test_an_interlaced_png_is_one(tmp_path):
    (tmp_path / "x.png").write_bytes(PICTURES["PNG, interlaced"]())
    image = Image.open(tmp_path / "x.png")
    assert image.info["interlace"] == 1
    np.testing.assert_array_equal(image, LOOK)


def test_checksums_are_mended():
    broken = bytearray(PICTURES["PNG, RGB"]())
    broken[20] ^= 1
    whole = mended(bytes(broken))
    assert whole[29:33] == zlib.crc32(whole[12:29]).to_bytes(4, "big")
