"""DINOv2 and DINOv3 behind the interface of all backbones."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fsjax.errors import InputError
from fsjax.models.backbones import recognition, vit_weights
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.backbones.drawing import initial
from fsjax.models.backbones.named import NAMED
from fsjax.models.backbones.positional_bias import directions, without
from fsjax.models.backbones.vit import POSITIONS, ViT
from fsjax.models.layers.padding import nearest_fit
from fsjax.models.variables import Variables

LOG = logging.getLogger(__name__)

BIAS = "positional_bias"
"""The collection of the directions that are projected out."""


@dataclass(frozen=True)
class ViTBackbone:
    """A vision transformer, whose roles are two of its blocks on one grid of patches.

    Its stages are equal numbers of blocks; the stem holds the tokens and the projection of patches, and the
    last stage the last normalisation, too.

    Attributes:
      network: what is built.
      positions: whose rule of positions is followed (`positions.CODEBASES`); None for the weights' own, which
        for drawn weights is Meta's.
      debias: how many leading directions of an empty photo's features are projected out of DEEP; see
        `positional_bias`.
      published: the names of its published weights.
    """

    network: ViT
    positions: str | None = None
    debias: int = 0
    published: tuple[str, ...] = ()

    aligned: ClassVar[bool] = False
    awaits_relu: ClassVar[bool] = False

    @property
    def stages(self) -> int:
        """The number of the last stage; the stem is 0."""
        return self.network.stages

    @property
    def channels(self) -> dict[str, int]:
        """The width of a token, twice."""
        return {SHALLOW: self.network.shape.width, DEEP: self.network.shape.width}

    def cells(self, pixels: Any) -> Any:
        """Returns how many patches so many pixels have along an axis, a part of one included."""
        return -(-pixels // self.network.shape.patch)

    def side(self, pixels: Any) -> Any:
        """Returns the nearest side of whole patches."""
        return nearest_fit(pixels, self.network.shape.patch, 0)

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn "params", "positions" and, if need be, "positional_bias"."""
        drawn = dict(initial(self.network)(rng, *_blank_photo(self.network.shape.patch)))
        if self.positions:
            drawn[POSITIONS] = vit_weights.positions_of(self.network.shape, self.positions)
        return self._debiased(drawn)

    def imagenet(self) -> str:
        """Raises an InputError: its weights have names of their own."""
        raise InputError(
            "model.weights is imagenet, and this backbone's weights have other names: "
            f"{' or '.join(self.published)}. They are under the "
            f"{NAMED[self.published[0]].licence}."
        )

    def load(self, path: Path) -> Variables:
        """Returns the variables of a file in the names of Meta, transformers or timm; see `vit_weights`."""
        shapes = jax.eval_shape(self.network.init, jax.random.key(0), *_blank_photo(self.network.shape.patch))
        known = NAMED[self.published[0]] if self.published else None
        registers = {"registers": bool(self.network.shape.registers)} if self.network.shape.grid else {}
        with recognition.naming_the_backbone(path, known.backbone if known else "", **registers):
            found = vit_weights.load(path, self.network.shape, shapes, self.network.blocks, self.positions)
        if known:
            LOG.info("Loaded %s: weights of %s, under the %s.", path, known.backbone, known.licence)
        return self._debiased(found)

    def embed(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]
    ) -> dict[str, Features]:
        """Returns the features of each role."""
        return self.above(variables, (images, sizes), 0)

    def below(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], stage: int
    ) -> Any:
        """Returns the tokens that a stage begins with, and all that belongs to them; photos for the stem."""
        if stage == 0:
            return images, sizes
        return self.network.apply(_of_network(variables), (images, sizes), 0, stage, method="part")

    def above(self, variables: Variables, below: Any, stage: int) -> dict[str, Features]:
        """Returns the features of each role."""
        roles: Any = self.network.apply(_of_network(variables), below, stage, method="roles")
        if self.debias:
            roles = {**roles, DEEP: without(roles[DEEP], variables[BIAS]["directions"])}
        return dict(roles)

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "b H W 3"],
        sizes: Int[Array, "b 2"],
        weights: Float[Array, " b"],
    ) -> tuple[dict[str, Features], Variables]:
        """Returns what `embed` does, and the variables as they are."""
        del weights
        return self.embed(variables, images, sizes), variables

    def group(self, path: tuple[str, ...]) -> Group:
        """Returns where a parameter belongs; LayerScale's count as a normalisation's."""
        block = re.fullmatch(r"block(\d+)", path[0])
        norm = path[-1] in ("scale1", "scale2") or any(part.startswith("norm") for part in path)
        if path[0] == "norm":
            return Group(self.stages, True)
        return Group(1 + int(block[1]) // self.network.stage if block else 0, norm)

    def _debiased(self, variables: Variables) -> Variables:
        if not self.debias:
            return variables
        return {**variables, BIAS: {"directions": directions(self.network, variables, self.debias)}}


def _of_network(variables: Variables) -> Variables:
    """Returns the variables that are the network's own."""
    return {name: part for name, part in variables.items() if name != BIAS}


def _blank_photo(side: int) -> tuple[UInt8[np.ndarray, "1 h w 3"], Int[np.ndarray, "1 2"]]:
    """Returns a photo of one patch, and its size."""
    return np.zeros((1, side, side, 3), np.uint8), np.full((1, 2), side, np.int32)
