"""Damaged photos, masks and annotations of every format: each is a sentence or a sound result.

    python -m benchmarks.fuzz_photos --inputs=200

For each format so many files are made (cut short, bits flipped, bytes zeroed, doubled or taken out, checksums
mended or not), and each is read as a photo and as a mask, an annotation file as supports. A format runs in a
process of its own with little memory, so that a crash is told from an error. Linux only.
"""

import argparse
import collections
import contextlib
import multiprocessing
import resource
import signal
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.damaged_files import ANNOTATIONS, LOOK, PICTURES, damaged, encoded, mutated
from datasets.supports import read_supports
from fsjax.data import mask_kinds, photo_files, pictures
from fsjax.errors import InputError

SECONDS = 10
ROOM = 2 * 2**30
SOUND = ("read", "sentence")
"""Outcomes as they should be; anything else is wrong."""


class HungError(Exception):
    """A file took too long."""


@contextlib.contextmanager
def limited():
    """Ends what takes too long, and makes errors of warnings that reach the user."""

    def ring(*_):
        raise HungError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation")  # pycocotools', which nobody sees
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(read, named):
    """Returns "read", or "sentence", or else what went wrong.

    Args:
        read: reads a file, and returns whether the result is sound.
        named: what the sentence must name.
    """
    try:
        with limited():
            return "read" if read() else "unsound result"
    except InputError as error:
        text = str(error)
        is_sentence = named in text and text.endswith(".") and "\n" not in text
        return "sentence" if is_sentence else f"poor sentence: {text}"
    except MemoryError:
        return "out of memory"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


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


def run(format, count, sender):
    """Sends the outcomes of a format, in a process of its own."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    with tempfile.TemporaryDirectory() as folder:
        for seed, found in enumerate(outcomes(format, range(count), folder)):
            sender.send((seed, found))
    sender.send(None)


def received(format, count):
    """Returns the outcomes of a format with their seeds; a crash is one, too, and so is a hang."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(format, count, sender))
    process.start()
    sender.close()
    results = []
    try:
        while receiver.poll(3 * SECONDS):
            if (result := receiver.recv()) is None:
                break
            results.append(result)
        else:  # no alarm interrupts a library's own loop
            process.kill()
            results.append((len(results), {"file": "a library hung"}))
    except EOFError:
        process.join()
        results.append((len(results), {"file": f"crash, exit code {process.exitcode}"}))
    process.join()
    return results


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
        results = received(format, flags.inputs)
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
