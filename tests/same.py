"""Comparisons of trees of arrays."""

import jax
import numpy as np


def assert_same_bits(left, right):
    """Makes sure that two trees hold the same types and values."""

    def compare(one, other):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)

    jax.tree.map(compare, left, right)
