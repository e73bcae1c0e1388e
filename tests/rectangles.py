"""Photos of coloured rectangles, side by side, whose masks are known."""

import numpy as np


def rectangles(seed, height, width, classes, colours, *, margin, noise):
    """A photo and its mask, which says of each pixel which class it is of.

    `colours` are those of background and each class, to which noise of up to so much is added; between the
    rectangles lies twice the margin.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    for place, n in enumerate(classes):
        left, right = place * width // len(classes) + margin, (place + 1) * width // len(classes) - margin
        mask[height // 4 : -height // 4, left:right] = n
    added = rng.integers(-noise, noise + 1, (height, width, 3))
    return np.clip(colours[mask] + added, 0, 255).astype(np.uint8), mask
