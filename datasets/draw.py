"""Draws photos with masks as files, in the layout of one's own photos, to try commands on.

    python -m datasets.draw --out=drawn
    python -m datasets.draw --out=drawn --classes=gear_spokes --shown=3 --photos=20

drawn/shown/CLASS/     photos that show one object of a class each, with masks of the same names: supports
drawn/photos/          photos with objects of these classes, of others, or of none: what to find them in
drawn/truth/           their true masks: 0 background, n the class on line n of classes.txt, 255 void

The classes are those of the embedded benchmark, shapes. From another folder than the clone's, start it as
python CLONE/datasets/draw.py.
"""

import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__" and not __package__:  # by its path: the clone takes the place of this folder
    sys.path[: not sys.flags.safe_path] = [str(Path(__file__).resolve().parents[1])]

import numpy as np
from PIL import Image

from datasets.shapes import CLASS_NAMES, FAMILIES, SEED
from datasets.shapes.drawing import draw
from fsjax.config import Field
from fsjax.episode import IGNORED
from fsjax.errors import InputError
from fsjax.prediction.encoding import jpeg, png
from fsjax.prediction.own_files import emptied

FLAGS = {
    "out": "The folder to make; what an earlier drawing wrote there is replaced.",
    "classes": "Of the benchmark's classes those to draw, by default gear_spokes,disk_bricks.",
    "shown": "Photos with masks for each class, by default 5.",
    "photos": "Photos without, by default 12.",
}
USUAL = "gear_spokes,disk_bricks"
NUMBERS = {"shown": Field(5, "photos", low=1, high=1000), "photos": Field(12, "photos", low=1, high=100_000)}

SHOWN, PHOTOS, TRUTH, NAMES = "shown", "photos", "truth", "classes.txt"
LIST = ".drawn"
"""Lists the files that were drawn."""

QUALITY = 92
"""Of photos, which are JPEGs."""


class Drawn(NamedTuple):
    """One photo to be drawn.

    Attributes:
        name: of its file, below `SHOWN` or `PHOTOS`, without the suffix.
        classes: the positions in `CLASS_NAMES` of what it shows.
        number: unlike any other's; with the classes it decides everything about the photo.
    """

    name: str
    classes: tuple[int, ...]
    number: int


def program(argv: list[str]) -> None:
    """Draws the photos, and says where they are."""
    from fsjax import cli

    flags, _ = cli.parse(argv, __doc__ or "", FLAGS, fields=False)
    if not flags.out:
        raise InputError("Name the folder to make with --out.")
    classes = _positions(flags.classes or USUAL)
    shown, photos = (
        field.read(f"--{name}", flags[name].value) if flags[name].value else field.default
        for name, field in NUMBERS.items()
    )
    folder = Path(flags.out)
    names = [CLASS_NAMES[c] for c in classes]
    with emptied(folder, LIST) as files:
        files.write(f"{TRUTH}/{NAMES}", "".join(f"{name}\n" for name in names).encode())
        for one in supports(classes, shown):
            image, labels = _picture(one)
            white = np.where(labels > 0, np.uint8(IGNORED), np.uint8(0))
            files.write(f"{SHOWN}/{one.name}.jpg", jpeg(image, QUALITY))
            files.write(f"{SHOWN}/{one.name}.png", png(Image.fromarray(white)))
        for one in queries(classes, photos):
            image, labels = _picture(one)
            files.write(f"{PHOTOS}/{one.name}.jpg", jpeg(image, QUALITY))
            files.write(f"{TRUTH}/{one.name}.png", png(Image.fromarray(relabelled(labels, classes))))
    print(f"{folder / SHOWN} has {shown} photos with masks for each of {', '.join(names)},")
    print(f"{folder / PHOTOS} {photos} without, and {folder / TRUTH} the true masks of these.")


def supports(classes: Sequence[int], count: int) -> Iterator[Drawn]:
    """Yields the photos that show one object each, so many of each class."""
    width = len(str(count))
    for c in classes:
        for k in range(count):
            yield Drawn(f"{CLASS_NAMES[c]}/{k + 1:0{width}}", (c,), k)


def queries(classes: Sequence[int], count: int) -> Iterator[Drawn]:
    """Yields photos: every fourth shows none of the classes, the others one or two of them in turn."""
    width = len(str(count))
    others = [c for c in range(len(CLASS_NAMES)) if c not in classes]
    for i in range(count):
        other = others[i % len(others)] if others else None
        if i % 4 == 3 and other is not None:
            shown: tuple[int, ...] = (other,)
        else:
            shown = tuple(dict.fromkeys(classes[(i + k) % len(classes)] for k in range(1 + i % 4 // 2)))
        yield Drawn(f"{i + 1:0{width}}", shown, NUMBERS["shown"].high + i)


def relabelled(labels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Returns the benchmark's labels with 1 to N for so many classes, 0 for all others, and 255 for void."""
    table = np.zeros(256, np.uint8)
    table[IGNORED] = IGNORED
    for n, c in enumerate(classes, 1):
        table[c + 1] = n
    return table[labels]


def _picture(one: Drawn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([SEED, one.number, *one.classes])
    return draw([FAMILIES[c] for c in one.classes], rng)


def _positions(text: str) -> list[int]:
    """Returns the positions of classes that are named with commas between them."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in CLASS_NAMES:
            near = difflib.get_close_matches(name, CLASS_NAMES, 1)
            known = f"is it {near[0]}?" if near else f"choose from {', '.join(CLASS_NAMES)}."
            raise InputError(f"--classes names {name!r}, which the benchmark does not have: {known}")
    return [CLASS_NAMES.index(name) for name in names]


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    from fsjax import cli

    return cli.run(program, argv, stopped="Stopped. The same command started again draws all photos anew.")


if __name__ == "__main__":
    sys.exit(main())
