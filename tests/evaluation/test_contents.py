"""Connected parts against a flood fill, and on figures drawn by hand."""

import numpy as np
import pytest

from fsjax.evaluation.contents import connected_parts


def flood(is_way):
    """The parts of a mask, corners touching, counted by filling one after the other."""
    left, parts = {tuple(place) for place in np.argwhere(is_way)}, 0
    while left:
        parts, edge = parts + 1, [left.pop()]
        while edge:
            y, x = edge.pop()
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            edge += around
    return parts


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_those_of_a_flood_fill(seed):
    mask = np.random.default_rng(seed).choice([0, 1, 2, 255], (23, 31), p=[0.6, 0.15, 0.15, 0.1])
    mask = mask.astype(np.uint8)
    assert connected_parts(mask, 3) == (flood(mask == 1), flood(mask == 2), 0)


def test_void_keeps_neighbours_apart_and_corners_join():
    mask = np.zeros((6, 9), np.uint8)
    mask[1:4, 1:8] = 1
    assert connected_parts(mask, 1) == (1,)
    mask[:, 4] = 255
    assert connected_parts(mask, 1) == (2,)
    mask[4, 8] = 1  # at a corner of the right part
    assert connected_parts(mask, 1) == (2,)
    mask[5, 0] = 1
    assert connected_parts(mask, 1) == (3,)
