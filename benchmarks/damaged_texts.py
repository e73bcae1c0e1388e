"""Lists, names and points that users write: how each is made, and read."""

from pathlib import Path

import numpy as np

from benchmarks.damaged_files import GREY, LOOK, MASK, encoded
from benchmarks.damaged_kind import Kind, digest
from datasets import folders
from datasets.pascal5i import list_files
from fsjax.reproduction import curves as curves_file


def photo_lists(folder: Path) -> Kind:
    """A list of photos as the field publishes them."""
    path = folder / "train.txt"
    path.write_text(
        "".join(f"JPEGImages/2007_{i:06d}.jpg SegmentationClass/2007_{i:06d}.png\n" for i in range(9))
    )
    return Kind([path], lambda: digest(list_files.read(folder, 20)), [str(folder)], sealed=False)


def own_folder(folder: Path) -> Kind:
    """Photos with label masks, a list, and names of the classes."""
    for place in ("images", "masks"):
        (folder / place).mkdir()
    for i in range(3):
        (folder / "images" / f"p{i}.png").write_bytes(encoded(np.roll(LOOK, i, 0), "PNG"))
        (folder / "masks" / f"p{i}.png").write_bytes(
            encoded(np.roll(MASK // 255 + (GREY > 250), i, 0), "PNG")
        )
    (folder / "train.txt").write_text("p0\np1\np2\n")
    (folder / "classes.txt").write_text("cat\ndog\n")

    def read() -> str:
        plan = folders.plan(folder)
        found = [plan.read(task) for task in plan.tasks]
        shown = [(f.id, f.photo, f.size, dict(f.masks), f.void) for f in found]
        return digest(list(plan.class_names), dict(plan.lists), shown)

    files = [folder / "train.txt", folder / "classes.txt", folder / "masks/p1.png", folder / "images/p2.png"]
    return Kind(files, read, [str(folder)], sealed=False)


def figure(folder: Path) -> Kind:
    """The points of a figure, which a report reads back."""
    path = folder / "figure.csv"
    lines = [f"a,b,{x},{x * 1.5},{x},{2 * x}" for x in range(5)]
    path.write_text("\n".join([",".join(curves_file.HEADINGS), *lines]) + "\n")
    return Kind([path], lambda: digest(repr(curves_file.read_curves(path))), [str(path)], sealed=False)
