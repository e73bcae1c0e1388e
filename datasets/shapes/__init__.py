"""Shapes, the embedded benchmark: 20 classes in 4 folds, drawn by this program.

A class is a family of outlines together with a family of textures; no family belongs to two classes. Colour,
scale, rotation, lighting and background vary within a class, so that neither colour nor place tells classes
apart, and nearly all pictures show two or three classes, so that `any object` is a poor answer.
"""

import io
import itertools
import logging
import time
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.building import build
from datasets.plans import Plan
from datasets.prepared import DRAWN
from datasets.records import Labelled, from_labels
from datasets.shapes import outlines, textures
from datasets.shapes.drawing import Family, draw
from fsjax.files import ClaimedError

LOG = logging.getLogger(__name__)

NAME = DRAWN
VERSION = "1.1.0"
SEED = 20200208

WAIT = 0.5
"""Seconds between two looks whether another process has drawn it."""

FOLDS = (
    (
        ("disk_bricks", outlines.disk, textures.bricks, 11.0),
        ("square_rings", outlines.square, textures.rings, 11.0),
        ("star_marble", outlines.star, textures.marble, 12.5),
        ("plus_dots", outlines.plus, textures.dots, 12.5),
        ("ring_stripes", outlines.ring, textures.stripes, 11.0),
    ),
    (
        ("ellipse_wood", outlines.ellipse, textures.wood, 14.0),
        ("triangle_grid", outlines.triangle, textures.grid, 11.0),
        ("gear_spokes", outlines.gear, textures.spokes, 11.0),
        ("ell_waves", outlines.ell, textures.waves, 11.0),
        ("crescent_pluses", outlines.crescent, textures.pluses, 14.0),
    ),
    (
        ("flower_spiral", outlines.flower, textures.spiral, 11.0),
        ("hexagon_leopard", outlines.hexagon, textures.leopard, 15.5),
        ("bolt_hexagons", outlines.bolt, textures.hexagons, 12.5),
        ("tee_dashes", outlines.tee, textures.dashes, 11.0),
        ("half_disk_chevrons", outlines.half_disk, textures.chevrons, 11.0),
    ),
    (
        ("drop_scales", outlines.drop, textures.scales, 17.0),
        ("diamond_checker", outlines.diamond, textures.checker, 9.0),
        ("heart_confetti", outlines.heart, textures.confetti, 11.0),
        ("arrow_triangles", outlines.arrow, textures.triangles, 15.5),
        ("hourglass_weave", outlines.hourglass, textures.weave, 21.0),
    ),
)
"""Of each fold its classes: name, outline, texture and the texture's period in pixels."""

CLASS_NAMES = tuple(name for fold in FOLDS for name, *_ in fold)
FOLD_IDS = tuple(tuple(range(5 * fold + 1, 5 * fold + 6)) for fold in range(4))
FAMILIES = tuple(
    Family(label, *family) for label, (_, *family) in enumerate((c for fold in FOLDS for c in fold), 1)
)
SPLITS = {"train": 2400, "test": 1200}
"""The number of pictures in each split."""


def draw_example(split: str, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws picture `i` of a split, a pure function of both.

    Returns:
        uint8 RGB [H, W, 3] and its class ids, uint8 [H, W]: 0 background, 255 void.
    """
    rng = np.random.default_rng([SEED, list(SPLITS).index(split), i])
    count = rng.choice([1, 2, 3], p=[0.05, 0.4, 0.55])
    shown = rng.choice(len(FAMILIES), count, replace=False)
    return draw([FAMILIES[c] for c in shown], rng)


def prepare(tfds_dir: Path) -> None:
    """Draws the benchmark, in less than half a minute, or waits for another process that does."""
    LOG.info("Drawing the data set %s in %s, once.", NAME, tfds_dir)
    ids = {split: [f"{split}_{i:05d}" for i in range(count)] for split, count in SPLITS.items()}
    drawn = Plan(
        kind=NAME,
        title=NAME,
        version=VERSION,
        class_names=CLASS_NAMES,
        folds={"standard": FOLD_IDS},
        ids=[name for names in ids.values() for name in names],
        tasks=[(split, i) for split, count in SPLITS.items() for i in range(count)],
        read=drawn_photo,
        lists=ids,
        usual=("train", "test"),
    )
    for attempt in itertools.count():
        try:
            build(drawn, NAME, tfds_dir)
            return
        except ClaimedError:
            if not attempt:
                LOG.info("Another process draws it: waiting for that.")
            time.sleep(WAIT)


def drawn_photo(task: tuple[str, int]) -> Labelled:
    """Returns the picture of a split and a number, encoded as JPEG, with its labels."""
    split, i = task
    image, labels = draw_example(split, i)
    photo = io.BytesIO()
    Image.fromarray(image).save(photo, "JPEG", quality=92)
    return from_labels(f"{split}_{i:05d}", photo.getvalue(), labels)
