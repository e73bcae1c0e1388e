"""The cycle comparison in PyTorch, from the whole matrix of cosines."""

import torch
from torch import Tensor
from torch.nn import functional


def compare(support: Tensor, query: Tensor, foreground: Tensor) -> dict[str, Tensor]:
    """Returns the matches both ways, and the query cells that are matched from the foreground and back to it.

    Args:
      support: features [cells, C].
      query: features [cells, C].
      foreground: bool [cells], of the support.
    """
    units = (functional.normalize(x, dim=-1, eps=1e-6) for x in (support, query))
    left, right = units
    cosines = left @ right.T
    forward = cosines.argmax(1)
    similarity, backward = cosines.max(0)
    nowhere = torch.zeros(len(query), dtype=torch.int32, device=query.device)
    reached = nowhere.scatter_reduce(0, forward, foreground.int(), "amax") > 0
    return {
        "forward": forward, "backward": backward, "similarity": similarity,
        "candidates": reached & foreground[backward],
    }  # fmt: skip
