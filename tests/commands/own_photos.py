"""Photos with coloured objects in folders as people have them, and what predict.py makes of them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

import predict
from tests.commands.programs import start
from tests.rectangles import rectangles

COLOURS = np.uint8([[60, 60, 60], [240, 30, 30], [30, 60, 240]])


def drawn(seed, height=36, width=44, classes=(1,)):
    """A photo with a rectangle of each class, side by side, and their mask."""
    return rectangles(seed, height, width, classes, COLOURS, margin=3, noise=30)


def saved(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def show(folder, count=2, classes=("cup",)):
    """Photos and masks of each class in a folder of its own."""
    for n, name in enumerate(classes, 1):
        for k in range(count):
            image, mask = drawn(10 * n + k, classes=(n,))
            saved(folder / name / "images" / f"{k}.png", image)
            saved(folder / name / "masks" / f"{k}.png", 255 * (mask > 0).astype(np.uint8))
    return folder


def segment(place, *flags, support="shown", query="photos", out="found"):
    """The exit code of predict.py on folders of a place."""
    given = f"--support={place / support}", f"--query={place / query}", f"--out={place / out}"
    return start(predict, *given, *flags)


def mask_of(folder, name):
    with Image.open(folder / "masks" / f"{name}.png") as image:
        return np.array(image)


def table(folder):
    """The lines of summary.csv."""
    with (Path(folder) / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
