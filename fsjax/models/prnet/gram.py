"""Gram maps, by which a query's cells resemble all of a class's support cells, and the score that uses them.

Both are FSSDINO's (arXiv 2602.07550); `eval.fusion.gram` refines PRNet's similarity maps by them, too.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fsjax.models.layers.padding import inside
from fsjax.models.prnet.prototypes import unit

TILE = 2048
"""Support cells that are compared with the queries at a time."""

SMALLEST_RANGE = 1e-8
"""Added to what a map's range is divided by, so that a map which is everywhere equal becomes 0."""


class SupportCells(NamedTuple):
    """The cells of all supports of an episode, and how much of each class every one is."""

    directions: Float[Array, "cells c"]  # of length 1
    weights: Float[Array, "classes cells"]  # of a class they add up to 1, or are 0 where it has no cell


class Score(NamedTuple):
    """What is known of some maps of each class when not all of them are there yet."""

    largest: Float[Array, "*where classes"]
    total: Float[Array, "*where classes"]
    number: Int[Array, " classes"]  # of maps

    @classmethod
    def begin(cls, shape: tuple[int, ...]) -> "Score":
        """Returns what is known of no maps at all.

        Args:
          shape: of a map of every class.
        """
        return cls(jnp.full(shape, -jnp.inf), jnp.zeros(shape), jnp.zeros(shape[-1], jnp.int32))

    def add(self, maps: Float[Array, "*where classes"], known: Bool[Array, " classes"]) -> "Score":
        """Returns what is known with one map more of each class that has it."""
        has = known.reshape((1,) * (maps.ndim - 1) + known.shape)
        return Score(
            jnp.where(has, jnp.maximum(self.largest, maps), self.largest),
            jnp.where(has, self.total + maps, self.total),
            self.number + known,
        )

    @property
    def value(self) -> Float[Array, "*where classes"]:
        """The largest of a class's maps times their mean; 0 of a class without any.

        Where both are negative the sign is lost, as in FSSDINO's code.
        """
        count = self.number.reshape((1,) * (self.total.ndim - 1) + self.number.shape)
        mean = self.total / jnp.maximum(count, 1)
        return jnp.where(count > 0, self.largest, 0.0) * mean


def of_classes(shown: Array, present: Bool[Array, "N K"]) -> Array:
    """Returns how much every support cell is of background and of each way.

    Background is what all supports show of it, a way what its own do.

    Args:
      shown: of each support's cells, way and background, [N, K, 2, h, w]; numbers or bools.
      present: which supports are there; the others count for nothing.

    Returns:
      [N + 1, N K h w], in the order of the supports, row by row.
    """
    N = len(shown)
    there = jnp.where(present[:, :, None, None, None], shown, jnp.zeros((), shown.dtype))
    background = there[:, :, 1].reshape(1, -1)
    own = jnp.eye(N, dtype=bool)[:, :, None, None, None]
    ways = jnp.where(own, there[None, :, :, 0], jnp.zeros((), shown.dtype))
    return jnp.concatenate([background, ways.reshape(N, -1)])


def support_cells(
    features: Float[Array, "N K h w c"], weights: Float[Array, "classes cells"]
) -> SupportCells:
    """Returns the cells of all supports, ready to be compared with.

    Args:
      features: of the supports.
      weights: of `of_classes`, not negative.
    """
    total = jnp.sum(weights, 1, keepdims=True)
    shares = weights / jnp.where(total > 0, total, 1.0)
    return SupportCells(unit(features.reshape(-1, features.shape[-1])), shares)


def gram_energy(queries: Float[Array, "T h w c"], supports: SupportCells) -> Float[Array, "T h w classes"]:
    """Returns e_c(x) = f(x)^T G_c f(x) of every cell x of the queries, whose features f are not normalised.

    G_c is the weighted mean of g g^T over the directions g of a class's support cells. As f^T g g^T f is
    (g . f)^2, e_c is the mean of these squares, and no matrix of channels by channels is needed.
    """
    T, h, w, c = queries.shape
    flat = queries.reshape(-1, c)
    classes, cells = supports.weights.shape
    tiles = -(-cells // TILE)
    rest = -cells % tiles
    directions = jnp.pad(supports.directions, ((0, rest), (0, 0))).reshape(tiles, -1, c)
    weights = jnp.pad(supports.weights, ((0, 0), (0, rest))).reshape(classes, tiles, -1)

    def add(total: Array, tile: tuple[Array, Array]) -> tuple[Array, None]:
        dots = jnp.einsum("gc,xc->gx", tile[0], flat, precision="highest")
        return total + jnp.einsum("ng,gx->xn", tile[1], jnp.square(dots), precision="highest"), None

    energy, _ = jax.lax.scan(add, jnp.zeros((len(flat), classes)), (directions, weights.transpose(1, 0, 2)))
    return energy.reshape(T, h, w, classes)


def gram_maps(
    queries: Float[Array, "T h w c"], cells: Int[Array, "T 2"], supports: SupportCells
) -> Float[Array, "T h w classes"]:
    """Returns every query's energies, stretched from 0 to 1 over its cells; 0 in the padding.

    Args:
      queries: features.
      cells: their valid heights and widths.
      supports: what they are compared with.
    """
    energy = gram_energy(queries, supports)
    valid = inside(queries.shape[1:3], cells)[..., None]
    low = jnp.min(jnp.where(valid, energy, jnp.inf), (1, 2), keepdims=True)
    high = jnp.max(jnp.where(valid, energy, -jnp.inf), (1, 2), keepdims=True)
    return jnp.where(valid, (energy - low) / (high - low + SMALLEST_RANGE), 0.0)
