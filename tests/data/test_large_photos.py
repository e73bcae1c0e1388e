"""Photos and masks of a hundred million pixels, each in a process whose memory is measured."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SIDE = 10_000
SMALL = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)

READ = r"""
import re, sys
from pathlib import Path
from fsjax.data import mask_kinds, photo_files
read = {"photo": photo_files.read_photo, "mask": mask_kinds.read_mask}[sys.argv[1]]
shape = read(sys.argv[2]).shape
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(*shape, int(peak[1]) // 1024)
"""


def large():
    return Image.fromarray(SMALL).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def on_its_side(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    large().save(path, "JPEG", quality=90, exif=exif)


def mask(path):
    large().getchannel(0).point(lambda value: 255 * (value > 127)).save(path, "PNG", compress_level=1)


FILES = {
    "JPEG": (lambda path: large().save(path, "JPEG", quality=90), "photo", 900),
    "JPEG on its side": (on_its_side, "photo", 900),
    "progressive": (
        lambda path: large().save(path, "JPEG", progressive=True, subsampling=0), "photo", 1_150,
    ),
    "mask": (mask, "mask", 600),
}  # fmt: skip
"""Of each what makes it, what it is read as, and how many MB that may take."""


@pytest.mark.slow
@pytest.mark.parametrize(("make", "what", "megabytes"), FILES.values(), ids=FILES)
def test_a_hundred_million_pixels_take_about_a_gigabyte(tmp_path, make, what, megabytes):
    make(tmp_path / "x")
    command = [sys.executable, "-c", READ, what, str(tmp_path / "x")]
    *shape, used = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert shape == [SIDE, SIDE, 3][: len(shape)]
    assert used < megabytes
