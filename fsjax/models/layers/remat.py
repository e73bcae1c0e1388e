"""Parts of a network that are computed again for the gradients instead of being kept for them."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn


def forgetting(function: Callable[..., Any], forgets: bool) -> Callable[..., Any]:
    """Returns a function of a module and arrays that keeps its arguments alone for its gradients.

    What it computes on the way is computed again when they are taken; without gradients nothing changes.
    Modules that it makes are called as they are without it.

    Args:
      function: takes a module and arrays.
      forgets: False returns the function as it is.
    """
    return nn.remat(function) if forgets else function
