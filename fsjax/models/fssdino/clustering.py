"""Spherical assignments, plain means: the k-means by which FSSDINO makes a class's prototypes."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from fsjax.models.prnet.prototypes import unit

TOLERANCE = 1e-4
"""The centres stand still where the square of the sum of their shifts is less."""


@dataclass(frozen=True)
class Clustering:
    """How the cells of a class become prototypes.

    Attributes:
      clusters: prototypes of a class; one with fewer cells has these for prototypes.
      iterations: after which the centres are taken as they are; FSSDINO's code has no such limit.
      seed: decides which cells the centres begin with, and which take the place of an empty cluster's.
    """

    clusters: int = 5
    iterations: int = 100
    seed: int = 0


class Centres(NamedTuple):
    """Several vectors for each class."""

    vectors: Float[Array, "*classes clusters c"]
    known: Bool[Array, "*classes clusters"]  # False of the rows that a class with too few cells lacks


class _State(NamedTuple):
    centres: Float[Array, "clusters c"]
    moved: Float[Array, ""]  # the square of the sum of the last shifts
    iteration: Int[Array, ""]


def first_cells(member: Bool[Array, " cells"], key: Key[Array, ""], clusters: int) -> Int[Array, " clusters"]:
    """Draws different cells of a class, which its centres begin with.

    A draw depends on a cell's place among the class's own, so that padding and cells of other classes change
    nothing. Where the class has too few, all of them come first, and the other numbers mean nothing.

    Args:
      member: which cells are the class's; at least `clusters` long.
      key: decides.
      clusters: how many are drawn.
    """
    place = jnp.maximum(jnp.cumsum(member) - 1, 0)
    drawn = jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(place)
    return jax.lax.top_k(jnp.where(member, drawn, -1.0), clusters)[1]


def nearest(cells: Float[Array, "cells c"], centres: Float[Array, "clusters c"]) -> Int[Array, " cells"]:
    """Returns for each cell the centre of the largest cosine; a cell's own length changes nothing."""
    return jnp.argmax(jnp.einsum("mc,kc->mk", cells, unit(centres), precision="highest"), -1)


def refined(
    cells: Float[Array, "cells c"],
    member: Bool[Array, " cells"],
    centres: Float[Array, "clusters c"],
    key: Key[Array, ""],
    iterations: int,
) -> Float[Array, "clusters c"]:
    """Moves centres to the means of the cells nearest to them until they stand still.

    Mapped over classes or episodes, those that are finished stay as they are while others go on.

    Args:
      cells: of all classes.
      member: which of them are the class's; without any the centres stay as they are.
      centres: to begin with.
      key: decides which cell takes the place of the centre of an empty cluster.
      iterations: at most.
    """
    clusters, places = len(centres), jnp.cumsum(member)

    def step(state: _State) -> _State:
        own = nearest(cells, state.centres)[:, None] == jnp.arange(clusters)[None]
        chosen = (own & member[:, None]).astype(jnp.float32)
        count = jnp.sum(chosen, 0)
        means = jnp.einsum("mk,mc->kc", chosen, cells, precision="highest")
        means /= jnp.maximum(count, 1)[:, None]
        drawn = jax.random.randint(jax.random.fold_in(key, state.iteration), (clusters,), 0, places[-1])
        others = cells[jnp.searchsorted(places, drawn + 1)]
        moved = jnp.where(count[:, None] > 0, means, others)
        shift = jnp.sum(jnp.sqrt(jnp.sum(jnp.square(moved - state.centres), -1)))
        return _State(moved, jnp.square(shift), state.iteration + 1)

    def goes_on(state: _State) -> Bool[Array, ""]:
        return (state.iteration < iterations) & (state.moved >= TOLERANCE)

    moved = jnp.where(places[-1] > 0, jnp.inf, 0.0).astype(jnp.float32)
    begin = _State(centres, moved, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(goes_on, step, begin).centres


def cluster(
    cells: Float[Array, "cells c"], members: Bool[Array, "classes cells"], settings: Clustering
) -> Centres:
    """Returns the prototypes of each class by k-means over its cells.

    Args:
      cells: of all supports.
      members: which of them are each class's.
      settings: how many, and what is drawn.
    """
    lacking = max(0, settings.clusters - len(cells))
    cells = jnp.pad(cells, ((0, lacking), (0, 0)))
    members = jnp.pad(members, ((0, 0), (0, lacking)))

    def of_class(member: Bool[Array, " cells"], keys: Key[Array, "2"]) -> Centres:
        begin, later = keys
        count = jnp.sum(member)
        first = cells[first_cells(member, begin, settings.clusters)]
        enough = count >= settings.clusters
        # Nothing of a class with too few cells is refined: its cells are its prototypes.
        means = refined(cells, member & enough, first, later, settings.iterations)
        known = jnp.arange(settings.clusters) < count
        return Centres(jnp.where(known[:, None], jnp.where(enough, means, first), 0.0), known)

    return jax.vmap(of_class)(members, keys_of_classes(settings.seed, len(members)))


def keys_of_classes(seed: int, classes: int) -> Key[Array, "classes 2"]:
    """Returns two keys for each class: of its first cells, and of those that replace empty clusters."""
    key = jax.random.key(seed)
    return jax.vmap(lambda number: jax.random.split(jax.random.fold_in(key, number)))(jnp.arange(classes))
