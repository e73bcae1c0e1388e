"""The texture families of the embedded benchmark, as patterns of two colours.

Each function takes coordinates u and v (float32 arrays of one shape, in periods of the pattern, the
object's centre at 0) and a random generator for what varies within the family. It returns the share of the
second colour, between 0 and 1, at every point.
"""

import numpy as np


def _fraction(x):
    return x - np.floor(x)


def _spread(x, y, rng: np.random.Generator) -> np.ndarray:
    """Smooth stationary noise of about unit deviation and wavelengths of 2.5 to 6."""
    angles = rng.uniform(0, 2 * np.pi, 5)
    frequencies = 2 * np.pi / rng.uniform(2.5, 6.0, 5)
    phases = rng.uniform(0, 2 * np.pi, 5)
    waves = zip(frequencies * np.cos(angles), frequencies * np.sin(angles), phases, strict=True)
    return sum(np.sin(np.float32(a) * x + np.float32(b) * y + np.float32(c)) for a, b, c in waves) / 1.6


def _by_cell(u, v, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """One uniform random number for each cell of the unit grid."""
    table = rng.uniform(low, high, (64, 64)).astype(np.float32)
    return table[np.floor(u).astype(int) % 64, np.floor(v).astype(int) % 64]


def stripes(u, v, rng):
    """Straight bars."""
    return _fraction(u) < rng.uniform(0.42, 0.58)


def waves(u, v, rng):
    """Bars that undulate."""
    return _fraction(u + rng.uniform(0.3, 0.4) * np.sin(np.pi * v)) < 0.5


def chevrons(u, v, rng):
    """Bars that zigzag."""
    return _fraction(u + np.abs(2 * _fraction(v / 2) - 1)) < rng.uniform(0.42, 0.58)


def weave(u, v, rng):
    """A basket: squares of bars, in turn along and across."""
    across = (np.floor(u) + np.floor(v)) % 2 == 0
    return _fraction(2.5 * np.where(across, u, v) + 0.2) < rng.uniform(0.45, 0.6)


def dots(u, v, rng):
    """Round dots, each row shifted by half a period."""
    x = _fraction(u + 0.5 * np.floor(v)) - 0.5
    return np.hypot(x, _fraction(v) - 0.5) < rng.uniform(0.3, 0.36)


def pluses(u, v, rng):
    """Small upright crosses."""
    x = np.abs(_fraction(u + 0.5 * np.floor(v)) - 0.5)
    y = np.abs(_fraction(v) - 0.5)
    arm = rng.uniform(0.1, 0.14)
    return (np.minimum(x, y) < arm) & (np.maximum(x, y) < 0.4)


def dashes(u, v, rng):
    """Short bars, each row shifted by half a period."""
    along = _fraction(v / 2 + 0.5 * np.floor(u))
    return (_fraction(u) < rng.uniform(0.36, 0.46)) & (along < 0.62)


def triangles(u, v, rng):
    """A tiling with triangles of two colours."""
    return _fraction(u - v / np.float32(np.sqrt(3))) + _fraction(v * np.float32(2 / np.sqrt(3))) < 1


def bricks(u, v, rng):
    """Bricks, twice as long as high, with joints between them."""
    joint = rng.uniform(0.14, 0.2)
    return (_fraction(v) < joint) | (_fraction(u / 2 + 0.5 * np.floor(v)) < joint / 2)


def grid(u, v, rng):
    """Lines that cross at right angles."""
    line = rng.uniform(0.2, 0.28)
    return (_fraction(u) < line) | (_fraction(v) < line)


def hexagons(u, v, rng):
    """The walls of a honeycomb."""
    height = np.float32(np.sqrt(3))
    x, y = np.abs(_fraction(u) - 0.5), np.abs(_fraction(v / height) - 0.5) * height
    other_x, other_y = 0.5 - x, height / 2 - y
    inner = np.hypot(x, y) < np.hypot(other_x, other_y)
    x, y = np.where(inner, x, other_x), np.where(inner, y, other_y)
    return np.maximum(x, x / 2 + y * height / 2) > rng.uniform(0.37, 0.41)


def scales(u, v, rng):
    """Rows of overlapping fish scales, each with a dark rim."""
    row = np.floor(2 * v)
    y = _fraction(2 * v) / 2
    upper = np.hypot(_fraction(u + 0.5 * row) - 0.5, y)
    lower = np.hypot(_fraction(u + 0.5 * row + 0.5) - 0.5, y - 0.5)
    rim = rng.uniform(0.3, 0.36)
    return np.where(upper < 0.5, upper > rim, lower > rim)


def rings(u, v, rng):
    """Concentric rings."""
    return _fraction(np.hypot(u, v) + rng.random()) < 0.5


def spokes(u, v, rng):
    """Sectors around the centre."""
    return _fraction(np.arctan2(v, u) * np.float32(rng.integers(7, 11) / (2 * np.pi))) < 0.5


def spiral(u, v, rng):
    """Three arms that wind outwards."""
    return _fraction(0.7 * np.hypot(u, v) + np.arctan2(v, u) * np.float32(3 / (2 * np.pi))) < 0.5


def checker(u, v, rng):
    """A chessboard."""
    return (np.floor(u) + np.floor(v)) % 2


def marble(u, v, rng):
    """Soft winding veins."""
    return 0.5 + 0.5 * np.sin(2 * np.pi * (0.35 * u + 0.55 * _spread(u, v, rng)))


def wood(u, v, rng):
    """Long grain that darkens and breaks off."""
    return _fraction(u + 0.5 * _spread(u / 2, v / 5, rng)) ** 1.5


def leopard(u, v, rng):
    """Open rings of uneven size."""
    x = _fraction(u) - _by_cell(u, v, rng, 0.42, 0.58)
    y = _fraction(v) - _by_cell(u, v, rng, 0.42, 0.58)
    size = _by_cell(u, v, rng, 0.32, 0.42)
    gap = np.cos(np.arctan2(y, x) - _by_cell(u, v, rng, 0, 2 * np.pi)) > 0.85
    radius = np.hypot(x, y)
    return (radius < size) & (radius > size - 0.19) & ~gap


def confetti(u, v, rng):
    """Scraps of uneven strength, each turned at random."""
    x = _fraction(u) - _by_cell(u, v, rng, 0.4, 0.6)
    y = _fraction(v) - _by_cell(u, v, rng, 0.4, 0.6)
    turn = _by_cell(u, v, rng, 0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    scrap = (np.abs(along) < 0.42) & (np.abs(across) < 0.2)
    return scrap * _by_cell(u, v, rng, 0.35, 1.0)
