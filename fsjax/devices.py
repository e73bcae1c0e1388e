"""The one axis over which work is pmapped, and how arrays come to lie on it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DEVICES = "devices"
"""The name of the pmapped axis."""


def spread(tree: Any) -> Any:
    """Splits the leading axis of every leaf over the first local devices.

    The arrays lie as pmap wants them and as it returns them, so that nothing is copied or compiled again.
    """
    count = len(jax.tree.leaves(tree)[0]) if jax.tree.leaves(tree) else 1
    mesh = Mesh(np.array(jax.local_devices()[:count]), (DEVICES,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(DEVICES)))


def replicate(tree: Any, count: int | None = None) -> Any:
    """Puts a copy of every leaf on each of the first (by default all) local devices, stacked in front."""
    count = count or jax.local_device_count()
    return spread(jax.tree.map(lambda x: np.broadcast_to(np.asarray(x)[None], (count, *np.shape(x))), tree))


def first_copy(stacked: Any) -> Any:
    """Returns the first local device's copy of a replicated tree.

    It is read from that device alone. Indexing the stacked array would run a collective over all devices for
    each leaf, and many of those at once can wait for one another for ever.
    """
    return jax.tree.map(lambda x: x.addressable_data(0)[0], stacked)


def local_pmap(function: Callable[..., Any], static: int | None = None) -> Callable[..., Any]:
    """Returns `jax.pmap` of a function over devices of this process alone, whatever other processes do.

    A plain pmap belongs to all processes, which then have to call it equally often and in one order.

    Args:
      function: without collectives; its first array's leading axis is the number of devices.
      static: which argument is static, if any.
    """
    statics = () if static is None else (static,)

    @cache
    def over(count: int) -> Callable[..., Any]:
        return jax.pmap(function, devices=jax.local_devices()[:count], static_broadcasted_argnums=statics)

    def mapped(*arguments: Any) -> Any:
        return over(len(jax.tree.leaves(arguments)[0]))(*arguments)

    return mapped
