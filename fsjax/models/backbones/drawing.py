"""How a network's variables are drawn."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
from flax import linen as nn


@lru_cache
def initial(network: nn.Module) -> Callable[..., Mapping[str, Any]]:
    """Returns the program that draws a network's variables, compiled once.

    Args:
      network: that is drawn, by a key, photos and their sizes.
    """
    return jax.jit(network.init)
