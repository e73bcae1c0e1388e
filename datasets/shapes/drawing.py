"""Draws one picture of the embedded benchmark: textured objects among clutter, and their labels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

VISIBLE_SHARE = 0.6
"""The least share of an object's area that clutter, other objects and the frame may leave."""

VISIBLE_PIXELS = 250
"""The least number of labelled pixels of an object."""


class Family(NamedTuple):
    """What the objects of one class have in common."""

    label: int  # the class id, counted from 1
    outline: Callable[[], np.ndarray]
    texture: Callable[..., np.ndarray]
    period: float  # the texture's, in pixels


class Shape(NamedTuple):
    """A polygon drawn into a frame."""

    window: tuple[slice, slice]  # its bounding box: rows and columns of the frame
    alpha: np.ndarray  # float32 [h, w], how much of each of the box's pixels it covers


class Thing(NamedTuple):
    """Something with a place in the picture; `family` is None for clutter."""

    family: Family | None
    corners: np.ndarray  # float64 [P, 2], x and y in pixels
    centre: np.ndarray
    turn: float  # radians


def draw(families: Sequence[Family], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws a picture that shows one object of each family.

    Returns:
        uint8 RGB [H, W, 3] and its class ids, uint8 [H, W]: 0 background, 255 void. The short side is 128
        to 176 pixels long, the long side up to 1.5 times as long.
    """
    short = int(rng.integers(128, 177))
    frame = (short, round(short * 1.5 ** rng.random()))
    frame = frame[:: rng.choice([1, -1])]
    things = _arrange(families, frame, rng)
    shapes = [fill(thing.corners, frame) for thing in things]
    while not _in_sight(things, shapes, frame):
        things = _arrange(families, frame, rng)
        shapes = [fill(thing.corners, frame) for thing in things]

    picture = _background(frame, rng)
    for thing, shape in zip(things, shapes, strict=True):
        paint = _smooth_paint if thing.family is None else _textured_paint
        region, alpha = picture[shape.window], shape.alpha[..., None]
        region += alpha * (paint(thing, shape, rng) - region)
    return _photograph(picture, rng), _labels(things, shapes, frame)


def fill(corners: np.ndarray, frame: tuple[int, int], detail: int = 4) -> Shape:
    """Draws a polygon (even-odd rule, smooth edges) into a frame of a height and a width in pixels."""
    low = np.clip(np.floor(corners.min(axis=0)), 0, [frame[1] - 1, frame[0] - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), low + 1, [frame[1], frame[0]]).astype(int)
    width, height = (high - low).tolist()
    canvas = Image.new("L", (width * detail, height * detail))
    ImageDraw.Draw(canvas).polygon([tuple(c) for c in ((corners - low) * detail - 0.5).tolist()], fill=255)
    alpha = np.asarray(canvas.reduce(detail), np.float32) / 255
    return Shape((slice(low[1], high[1]), slice(low[0], high[0])), alpha)


def _arrange(families: Sequence[Family], frame: tuple[int, int], rng: np.random.Generator) -> list[Thing]:
    """Draws a place for every object and for two to six pieces of clutter, the rearmost first."""
    objects: list[Thing] = []
    for family in families:
        radius = min(frame) * rng.uniform(0.44, 0.66) / 2
        objects.append(_object(family, radius, _free_place(radius, objects, frame, rng), rng))
    clutter = [_clutter(frame, rng) for _ in range(rng.integers(2, 7))]
    front = len(clutter) // 3
    return clutter[front:] + objects + clutter[:front]


def _free_place(radius: float, objects: list[Thing], frame: tuple[int, int], rng) -> np.ndarray:
    """Of five random places in the frame the one farthest from the objects that are there."""
    reach = 0.8 * radius
    places = rng.uniform(reach, np.array(frame[::-1]) - reach, (5, 2))
    if not objects:
        return places[0]
    others = np.stack([other.centre for other in objects])
    return places[np.linalg.norm(places[:, None] - others, axis=2).min(axis=1).argmax()]


def _object(family: Family, radius: float, centre: np.ndarray, rng: np.random.Generator) -> Thing:
    """Deforms a family's outline a little, then turns, scales and moves it."""
    outline = family.outline()
    angles = np.arctan2(outline[:, 1], outline[:, 0])
    bumps = sum(rng.normal(0, 0.025) * np.sin(k * angles + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    aspect = 1.12 ** rng.uniform(-1, 1)
    outline = outline * (1 + bumps[:, None]) * [aspect, rng.choice([-1, 1]) / aspect]
    turn = rng.uniform(0, 2 * np.pi)
    return Thing(family, centre + radius * outline @ _rotation(turn).T, centre, turn)


def _clutter(frame: tuple[int, int], rng: np.random.Generator) -> Thing:
    """Draws a curved stroke or a blob."""
    size = min(frame)
    centre = rng.uniform([0, 0], frame[::-1])
    turn = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        x = np.linspace(-1, 1, 12) * size * rng.uniform(0.15, 0.5)
        y = np.linspace(-1, 1, 12) ** 2 * size * rng.uniform(-0.2, 0.2)
        half_width = rng.uniform(1.0, 4.0)
        corners = np.concatenate([np.stack([x, y - half_width], 1), np.stack([x, y + half_width], 1)[::-1]])
    else:
        count = int(rng.integers(3, 9))
        angles = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
        radii = size * rng.uniform(0.05, 0.16) * rng.uniform(0.7, 1.3, count)
        corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)
    return Thing(None, centre + corners @ _rotation(turn).T, centre, turn)


def _in_sight(things: list[Thing], shapes: list[Shape], frame: tuple[int, int]) -> bool:
    owners = _owners(shapes, frame)
    seen = np.bincount(owners.ravel(), minlength=len(things) + 1)[1:]
    if any(
        thing.family and count < VISIBLE_SHARE * _area(thing.corners)
        for thing, count in zip(things, seen, strict=True)
    ):
        return False
    labels = _labels(things, shapes, frame)
    return all(np.sum(labels == t.family.label) >= VISIBLE_PIXELS for t in things if t.family)


def _owners(shapes: list[Shape], frame: tuple[int, int]) -> np.ndarray:
    """Returns uint8 [H, W]: the position, counted from 1, of the foremost shape at each pixel; or 0."""
    owners = np.zeros(frame, np.uint8)
    for position, shape in enumerate(shapes, 1):
        owners[shape.window][shape.alpha > 0.5] = position
    return owners


def _labels(things: list[Thing], shapes: list[Shape], frame: tuple[int, int]) -> np.ndarray:
    """Returns uint8 [H, W]: class ids, with a void band two pixels wide where two labels meet."""
    of_owner = np.array([0] + [thing.family.label if thing.family else 0 for thing in things], np.uint8)
    labels = of_owner[_owners(shapes, frame)]
    void = np.zeros(frame, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    void[:, 1:] |= across
    void[:, :-1] |= across
    void[1:] |= down
    void[:-1] |= down
    return np.where(void, np.uint8(255), labels)


def _area(corners: np.ndarray) -> float:
    x, y = corners.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def _rotation(turn: float) -> np.ndarray:
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _textured_paint(thing: Thing, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Returns float32 [h, w, 3]: the family's texture in two random colours, shaded to one side."""
    family = thing.family
    period = family.period * rng.uniform(0.75, 1.35)
    turn = thing.turn + rng.uniform(-0.35, 0.35)
    phase = 0.6 * rng.uniform(-1, 1, 2)
    x, y = _points(shape.window, thing.centre, 2)
    u, v = _turned(x / np.float32(period), y / np.float32(period), turn)
    ink = np.asarray(family.texture(u + np.float32(phase[0]), v + np.float32(phase[1]), rng), np.float32)
    ink = ink.reshape(ink.shape[0] // 2, 2, ink.shape[1] // 2, 2).mean(axis=(1, 3))
    first, second = _two_colours(rng)
    return (first + ink[..., None] * (second - first)) * _shading(thing, shape, rng)[..., None]


def _smooth_paint(thing: Thing, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Returns float32 [h, w, 3]: one random colour, shaded to one side."""
    return rng.random(3, np.float32) * _shading(thing, shape, rng)[..., None]


def _shading(thing: Thing, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    x, y = _points(shape.window, thing.centre, 1)
    across, _ = _turned(x, y, rng.uniform(0, 2 * np.pi))
    return 1 + np.float32(rng.uniform(0, 0.6) / max(across.shape)) * across


def _points(window: tuple[slice, slice], centre: np.ndarray, detail: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns x [1, w] and y [h, 1] of a window's pixels (each cut into detail squared) from a centre."""
    rows, columns = window
    x = (np.arange(columns.start * detail, columns.stop * detail, dtype=np.float32) + 0.5) / detail
    y = (np.arange(rows.start * detail, rows.stop * detail, dtype=np.float32) + 0.5) / detail
    return x[None] - np.float32(centre[0]), y[:, None] - np.float32(centre[1])


def _turned(x: np.ndarray, y: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    return cosine * x + sine * y, cosine * y - sine * x


def _two_colours(rng: np.random.Generator) -> np.ndarray:
    """Returns float32 [2, 3]: colours that are told apart in lightness, whatever their hues."""
    while True:
        colours = rng.random((2, 3), np.float32)
        lightness = colours @ np.array([0.3, 0.59, 0.11], np.float32)
        if abs(lightness[0] - lightness[1]) > 0.25:
            return colours


def _background(frame: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Returns float32 [H, W, 3]: two colours that blend softly, or meet along a winding line."""
    rough = rng.random((int(rng.integers(2, 6)), int(rng.integers(2, 6))), np.float32)
    blend = np.asarray(Image.fromarray(rough).resize(frame[::-1], Image.Resampling.BICUBIC))
    if rng.random() < 0.4:
        blend = np.clip((blend - 0.5) * 40 + 0.5, 0, 1)
    first, second = rng.random((2, 3), np.float32)
    return first + blend[..., None] * (second - first)


def _photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lights a picture from one side, blurs it a little, adds grain and rounds it to uint8."""
    height, width = picture.shape[:2]
    slope = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    x = np.linspace(-slope[0], slope[0], width, dtype=np.float32)
    y = np.linspace(-slope[1], slope[1], height, dtype=np.float32)
    light = np.float32(rng.uniform(0.75, 1.15)) * (1 + x[None] + y[:, None])
    pixels = np.clip(picture * light[..., None] * 255, 0, 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7)))
    grain = rng.standard_normal((height, width, 3), np.float32) * np.float32(rng.uniform(0, 5))
    return np.clip(np.asarray(blurred, np.float32) + grain + 0.5, 0, 255).astype(np.uint8)
