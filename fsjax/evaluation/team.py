"""The processes that evaluate together: who does what, and how all come to know what each has found."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsjax import distributed
from fsjax.evaluation.scoring import MOST_EPISODES, Group

PIECE = 16 * 2**20
"""Bytes that each process sends at a time: every device holds those of all processes."""


@dataclass(frozen=True)
class Team:
    """The processes of an evaluation, as one of them sees them.

    Attributes:
      index: the number of this process, from 0.
      count: how many there are.
      gather: returns what every process gives it, in their order; all of them must call it, equally often.
    """

    index: int
    count: int
    gather: Callable[[bytes], Sequence[bytes]]

    @classmethod
    def here(cls) -> Team:
        """Returns the processes of this run; one that fails ends all, see `fsjax.distributed`."""
        return cls(distributed.process_index(), distributed.process_count(), _gather)

    def gather_json(self, value: Any) -> list[Any]:
        """Returns what every process gives it, as JSON keeps it; with one process it is not copied."""
        if self.count == 1:
            return [value]
        return [json.loads(data) for data in self.gather(json.dumps(value).encode())]

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """Returns this process's share of items that are equally much work."""
        return items[self.index :: self.count]


def deal(groups: Iterable[Group], count: int) -> list[list[Group]]:
    """Deals groups of queries to processes, so that no photo is a query in two of them.

    Groups that share photos stay together: each photo then goes through the backbone once. With one query an
    episode, or queries that are segmented by themselves, every photo goes its own way. Where many queries are
    refined together (`joint`) few processes get work, as nearly all photos hang together.
    """
    shares: list[list[Group]] = [[] for _ in range(count)]
    loads = [0.0] * count
    together = [(_work(component), component) for component in _components(groups)]
    for work, component in sorted(together, key=lambda one: (-one[0], one[1][0].positions)):
        least = loads.index(min(loads))
        shares[least] += component
        loads[least] += work
    return shares


def deal_photos(photos: Collection[int], owners: Sequence[Collection[int]]) -> list[list[int]]:
    """Deals photos to processes, each to the one that owns it, and the others evenly.

    Args:
      photos: positions.
      owners: positions that each process has in another role, so that it may embed them once for both.
    """
    owner_of = {position: number for number, owned in enumerate(owners) for position in owned}
    shares: list[list[int]] = [[] for _ in owners]
    for position in sorted(photos, key=lambda position: (position not in owner_of, position)):
        least = min(range(len(shares)), key=lambda number: len(shares[number]))
        shares[owner_of.get(position, least)].append(position)
    return [sorted(share) for share in shares]


def _work(groups: Sequence[Group]) -> float:
    """Returns roughly how many calls some groups need: to embed their photos, and to segment them."""
    photos = {position for group in groups for position in group.positions}
    return len(photos) + sum(len(group.places) for group in groups) / MOST_EPISODES


def _components(groups: Iterable[Group]) -> list[list[Group]]:
    """Returns groups in lists that have no photo in common."""
    parent: dict[int, int] = {}

    def root(position: int) -> int:
        while parent.setdefault(position, position) != position:
            parent[position] = position = parent[parent[position]]
        return position

    groups = list(groups)
    for group in groups:
        for position in group.positions:
            parent[root(position)] = root(group.positions[0])
    components: dict[int, list[Group]] = {}
    for group in groups:
        components.setdefault(root(group.positions[0]), []).append(group)
    return list(components.values())


def _gather(data: bytes) -> list[bytes]:
    """Returns the data of all processes, in few pieces of few lengths, each of which is compiled for."""
    lengths = [int(length) for (length,) in distributed.gather(np.array([len(data)]))]
    found = [bytearray() for _ in lengths]
    for start in range(0, max(lengths), PIECE):
        size = min(PIECE, 1 << max(10, (max(lengths) - start - 1).bit_length()))
        piece = np.frombuffer(data[start : start + size].ljust(size, b"\0"), np.uint8)
        for whole, part in zip(found, distributed.gather(piece), strict=True):
            whole += part.tobytes()
    return [bytes(whole[:length]) for whole, length in zip(found, lengths, strict=True)]
