"""Damaged photos, masks and annotations of every format: each is a sentence or a sound result.

    python -m benchmarks.fuzz_photos --inputs=200

For each format so many files are made (cut short, bits flipped, bytes zeroed, doubled or taken out, checksums
mended or not), and each is read as a photo and as a mask, an annotation file as supports. A format runs in a
process of its own with little memory, so that a crash is told from an error. Linux only.
"""

import argparse
import collections
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.damaged_files import ANNOTATIONS, LOOK, PICTURES, damaged, encoded, mutated
from benchmarks.fuzzing import outcome, received
from datasets.supports import read_supports
from fsjax.data import mask_kinds, photo_files, pictures

SOUND = ("read", "sentence")
"""Outcomes as they should be; anything else is wrong."""


def read_as_photo(path):
    """Says whether a photo is as large as its header says, upright or not."""
    photo = photo_files.read_photo(path)
    return photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3 and is_size(path, photo)


def read_as_mask(path):
    """Says whether a mask is, and marks something."""
    mask = mask_kinds.read_mask(path)
    marks = ((mask > 0) & (mask < 255)).any()
    return bool(mask.dtype == np.uint8 and mask.ndim == 2 and marks and is_size(path, mask))


def is_size(path, values):
    """Says whether pixels are as many as a picture's header says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=pictures.FORMATS) as image:
            return values.shape[:2] in (image.size, image.size[::-1])


def read_as_supports(folder):
    """Says whether supports fit one another."""
    supports = read_supports(str(folder))
    shown = {int(n) for photo in supports.photos for n in np.unique(photo.mask)} - {0, 255}
    fit = all(photo.mask.shape == photo.image.shape[:2] for photo in supports.photos)
    return fit and shown == set(range(1, len(supports.classes) + 1))


def outcomes(format, seeds, folder):
    """Yields the outcomes of a format's damaged files by what they were read as, one after the other.

    Args:
        format: of `PICTURES` or `ANNOTATIONS`.
        seeds: of the damages; 0 is none.
        folder: an empty one, for the files.
    """
    folder = Path(folder)
    if format in ANNOTATIONS:
        sound, path = ANNOTATIONS[format](), folder / "x.json"
        if "within" not in format:
            (folder / "x.jpg").write_bytes(encoded(LOOK, "JPEG"))
    else:
        sound, path = PICTURES[format](), folder / "x.bin"
    for seed in seeds:
        damage = mutated if format in ANNOTATIONS and seed % 4 else damaged
        path.write_bytes(damage(sound, seed) if seed else sound)
        if format in ANNOTATIONS:
            yield {"supports": outcome(lambda: read_as_supports(folder), str(folder))}
        else:
            readers = {"photo": read_as_photo, "mask": read_as_mask}
            yield {what: outcome(lambda read=read: read(path), str(path)) for what, read in readers.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200, help="damaged files of each format")
    parser.add_argument("--only", default="", help="formats whose names hold this")
    flags = parser.parse_args()
    total, wrong = 0, []
    print(f"{'format':24}{'files':>7}{'photo read':>12}{'refused':>9}{'mask read':>11}{'refused':>9}  wrong")
    for format in (*PICTURES, *ANNOTATIONS):
        if flags.only not in format:
            continue
        results = received(partial(outcomes, format), flags.inputs)
        counts = collections.Counter(pair for _, found in results for pair in found.items())
        bad = [(seed, *pair) for seed, found in results for pair in found.items() if pair[1] not in SOUND]
        kinds = ("photo", "mask") if format in PICTURES else ("supports",)
        cells = [counts[what, how] for what in kinds for how in SOUND]
        cells += [""] * (4 - len(cells))
        widths = (12, 9, 11, 9)
        line = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print(f"{format:24}{len(results):7,}{line}{len(bad):7,}", flush=True)
        total, wrong = total + len(results), wrong + [(format, *entry) for entry in bad]
    print(f"{total:,} files, {len(wrong):,} wrong")
    for what, entries in collections.Counter((f, w, h) for f, _, w, h in wrong).most_common(100):
        seeds = [seed for f, seed, w, h in wrong if (f, w, h) == what][:5]
        print(*what, f"{entries} times, seeds {seeds}", sep=" | ")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
