"""The shapes of vision transformers: those of DINOv2 and DINOv3, by the names that `model.backbone` has."""

from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Architecture:
    """The shape of a network.

    Attributes:
      width: of a token.
      depth: blocks.
      heads: of each attention.
      hidden: width within a block's feed-forward network.
      gated: whether that is SwiGLU's, with a gate, or a plain one with an exact GELU.
      patch: side of a patch, in pixels.
      grid: side of the table of learned positions, in cells; 0 for rotations in its place.
      registers: tokens beside the class token that belong to no patch.
      key_bias: whether keys have a bias, as queries and values have.
      epsilon: of the layer normalisations.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    gated: bool = False
    patch: int = 14
    grid: int = 37
    registers: int = 0
    key_bias: bool = True
    epsilon: float = 1e-6


REGISTERS = 4
"""Of the networks that have any."""

DINOV2 = {
    "dinov2_small": Architecture(384, 12, 6, 1536),
    "dinov2_base": Architecture(768, 12, 12, 3072),
    "dinov2_large": Architecture(1024, 24, 16, 4096),
    "dinov2_giant": Architecture(1536, 40, 24, 4096, gated=True),
}
"""By the names that `model.backbone` has; each without registers."""

_DINOV3 = partial(Architecture, patch=16, grid=0, registers=REGISTERS, key_bias=False, epsilon=1e-5)

DINOV3 = {
    "dinov3_small": _DINOV3(384, 12, 6, 1536),
    "dinov3_small_plus": _DINOV3(384, 12, 6, 1536, gated=True),
    "dinov3_base": _DINOV3(768, 12, 12, 3072),
    "dinov3_large": _DINOV3(1024, 24, 16, 4096),
    "dinov3_huge_plus": _DINOV3(1280, 32, 20, 5120, gated=True),
}
"""By the names that `model.backbone` has."""
