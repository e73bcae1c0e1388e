"""The shape families of the embedded benchmark, as polygons.

Each function returns the corners of one family, float64 [P, 2], x and y within the unit disk. A hole is
joined to its outline by a slit, so that filling the polygon by the even-odd rule leaves it open.
"""

import numpy as np


def _turns(count: int, start: float = 0.0) -> np.ndarray:
    return 2 * np.pi * (np.arange(count) + start) / count


def _polar(radius, angles: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def disk() -> np.ndarray:
    """A circle."""
    return _polar(0.8, _turns(48))


def ellipse() -> np.ndarray:
    """An ellipse, 1.8 times as long as wide."""
    return _polar(1.0, _turns(48)) * [1.0, 0.56]


def flower() -> np.ndarray:
    """Five round petals."""
    angles = _turns(80)
    return _polar(0.74 + 0.26 * np.cos(5 * angles), angles)


def drop() -> np.ndarray:
    """A drop: a circle drawn out to one point."""
    angles = _turns(48)
    width = np.sin(angles) * np.sin(angles / 2) ** 1.2
    return np.stack([np.cos(angles), 0.9 * width], axis=1)


def square() -> np.ndarray:
    """A square."""
    return _polar(0.95, _turns(4, 0.5))


def triangle() -> np.ndarray:
    """An equilateral triangle."""
    return _polar(1.0, _turns(3))


def hexagon() -> np.ndarray:
    """A regular hexagon."""
    return _polar(0.85, _turns(6))


def diamond() -> np.ndarray:
    """A rhombus, 1.8 times as long as wide."""
    return _polar(1.0, _turns(4)) * [1.0, 0.56]


def star() -> np.ndarray:
    """A star of five points."""
    return _polar(np.tile([1.0, 0.52], 5), _turns(10))


def gear() -> np.ndarray:
    """A wheel with eight teeth."""
    return _polar(np.repeat(np.tile([1.0, 0.7], 8), 2), _turns(32, 0.5))


def bolt() -> np.ndarray:
    """A flash of lightning."""
    half = np.array([[0.25, 0.97], [-0.85, -0.25], [-0.15, -0.2]])
    return np.concatenate([half, -half])


def heart() -> np.ndarray:
    """A heart."""
    a = _turns(48)
    y = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
    return np.stack([16 * np.sin(a) ** 3, y + 2.5], axis=1) / 17


def plus() -> np.ndarray:
    """An upright cross."""
    arm = np.array([[0.3, 0.88], [0.3, 0.3], [0.88, 0.3]])
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, turn) for turn in range(4)])


def ell() -> np.ndarray:
    """The letter L."""
    return np.array([[-0.7, 0.75], [-0.7, -0.65], [0.7, -0.65], [0.7, -0.05], [-0.08, -0.05], [-0.08, 0.75]])


def tee() -> np.ndarray:
    """The letter T."""
    half = np.array([[0.3, -0.9], [0.3, 0.05], [0.8, 0.05], [0.8, 0.6]])
    return np.concatenate([half, half[::-1] * [-1, 1]])


def arrow() -> np.ndarray:
    """An arrow with a broad head."""
    half = np.array([[0.3, -0.9], [0.3, 0.0], [0.85, 0.0], [0.0, 1.0]])
    return np.concatenate([half, half[-2::-1] * [-1, 1]])


def ring() -> np.ndarray:
    """A broad ring."""
    angles = np.linspace(0, 2 * np.pi, 49)
    return np.concatenate([_polar(0.93, angles), _polar(0.45, angles[::-1])])


def crescent() -> np.ndarray:
    """A crescent moon."""
    outer = np.linspace(0.25 * np.pi, 1.75 * np.pi, 40)
    inner = np.linspace(1.6 * np.pi, 0.4 * np.pi, 40)
    return np.concatenate([_polar(1.0, outer), _polar(0.72, inner) + np.array([0.46, 0.0])])


def half_disk() -> np.ndarray:
    """One half of a circle."""
    return _polar(1.0, np.linspace(0, np.pi, 32)) - [0.0, 0.4]


def hourglass() -> np.ndarray:
    """Two triangles that meet in a waist."""
    half = np.array([[0.72, 0.7], [0.2, 0.0], [0.72, -0.7]])
    return np.concatenate([half, -half])
