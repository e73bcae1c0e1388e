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
import shutil
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
from fsjax.files import make_writable, replacing

FLAGS = {
    "out": "The folder to make; one of an earlier drawing is replaced.",
    "classes": "Of the benchmark's classes those to draw, by default gear_spokes,disk_bricks.",
    "shown": "Photos with masks for each class, by default 5.",
    "photos": "Photos without, by default 12.",
}
USUAL = "gear_spokes,disk_bricks"
NUMBERS = {"shown": Field(5, "photos", low=1, high=1000), "photos": Field(12, "photos", low=1, high=100_000)}

SHOWN, PHOTOS, TRUTH, NAMES = "shown", "photos", "truth", "classes.txt"
ABOUT = "drawn.txt"
"""By which an earlier drawing is known."""

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
    folder = Path(flags.out).expanduser()
    names = [CLASS_NAMES[c] for c in classes]
    _begin(folder, names)
    for one in supports(classes, shown):
        image, labels = _picture(one)
        _save(folder / SHOWN / f"{one.name}.jpg", image)
        _save(folder / SHOWN / f"{one.name}.png", np.where(labels > 0, np.uint8(IGNORED), np.uint8(0)))
    for one in queries(classes, photos):
        image, labels = _picture(one)
        _save(folder / PHOTOS / f"{one.name}.jpg", image)
        _save(folder / TRUTH / f"{one.name}.png", relabelled(labels, classes))
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


def _begin(folder: Path, names: Sequence[str]) -> None:
    """Makes the folder, without an earlier drawing in it, and writes the classes' names.

    Raises:
        InputError: it holds anything else, or cannot be written to.
    """
    make_writable(folder)
    if any(folder.iterdir()) and not (folder / ABOUT).is_file():
        raise InputError(f"{folder} holds other files: name a new folder with --out.")
    for name in (SHOWN, PHOTOS, TRUTH):
        shutil.rmtree(folder / name, ignore_errors=True)
    said = f"{SHOWN}, {PHOTOS} and {TRUTH} are drawn, and replaced by the next drawing: {', '.join(names)}."
    for path, lines in ((folder / ABOUT, [said]), (folder / TRUTH / NAMES, names)):
        with replacing(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n")


def _save(path: Path, values: np.ndarray) -> None:
    with replacing(path) as temporary:
        kind = "JPEG" if path.suffix == ".jpg" else "PNG"
        Image.fromarray(values).save(temporary, kind, quality=QUALITY)


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    from fsjax import cli

    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
