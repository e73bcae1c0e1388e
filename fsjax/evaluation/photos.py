"""How an evaluation reads photos, and hands them to the devices."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

from fsjax.data.ahead import ahead
from fsjax.data.images import InputSettings
from fsjax.data.source import Source

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Photos:
    """The photos of an evaluation.

    Attributes:
      source: the data set.
      settings: sizes and labels of the protocol.
      batch_size: photos at a time on each device.
      threads: that decode.
      memory: bytes of features and descriptions that are kept; past them they go to disk.
    """

    source: Source
    settings: InputSettings
    batch_size: int
    threads: int = 2
    memory: int = 4 * 10**9

    @property
    def slots(self) -> int:
        """Photos at a time on all devices."""
        return jax.local_device_count() * self.batch_size

    def read(self, load: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Yields `load(item)` of every item, decoded ahead in the background."""
        return ahead(load, items, threads=self.threads, depth=2 * self.slots)


def in_batches(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Yields lists of `count` items; the last may be shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def on_devices(items: Sequence[Any], slots: int) -> Any:
    """Stacks equal trees of arrays to [devices, slots / devices, ...], the last one filling up the rest."""
    filled = [*items, *[items[-1]] * (slots - len(items))]
    devices = jax.local_device_count()

    def stack(*leaves):
        stacked = leaves[0][None] if len(leaves) == 1 else np.stack(leaves)
        return stacked.reshape(devices, -1, *stacked.shape[1:])

    return jax.tree.map(stack, *filled)


def on_host(tree: Any, count: int) -> list[Any]:
    """Takes the first trees of NumPy arrays out of a tree of [devices, slots / devices, ...]."""
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree)
    if len(jax.tree.leaves(flat)[0]) == 1:
        return [jax.tree.map(lambda x: x[0], flat)]
    # Copies: a view would keep its whole batch in memory.
    return [jax.tree.map(lambda x, i=i: x[i].copy(), flat) for i in range(count)]
