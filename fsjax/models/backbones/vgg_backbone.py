"""VGG-16 behind the interface of all backbones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from fsjax.errors import InputError
from fsjax.models.backbones import pretrained, recognition, weights_file
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.backbones.drawing import initial
from fsjax.models.backbones.named import IMAGENET
from fsjax.models.backbones.vgg import DEPTHS, LAST, VGG
from fsjax.models.layers.padding import nearest_fit
from fsjax.models.variables import Variables

STRIDE = 8
PRETRAINED_WIDTH = 64

_LEAVES = {"kernel": "weight", "bias": "bias"}
_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Where torchvision's `features` have the convolutions, between ReLUs and pools."""
_NAMES = [f"conv{block}_{layer}" for block, depth in enumerate(DEPTHS, 1) for layer in range(1, depth + 1)]
_FILE_NAMES = dict(zip(_NAMES, _PLACES, strict=True))

_CLASSIFIER = ("classifier.", "pre_logits.", "head.")
"""How the classifier's keys begin, torchvision's and timm's."""


@dataclass(frozen=True)
class VGGBackbone:
    """VGG-16 as PANet takes it: DEEP is block 5 before the last ReLU, SHALLOW block 4 after its own.

    Both lie on one grid. There is no normalisation: nothing has statistics, and there are no `norm_affine`
    parameters to adapt.

    Attributes:
      network: what is built.
      repository: the hub's, of torchvision's ImageNet weights. What comes from there is checked by names,
        shapes and whether all numbers are finite, as any file is, and not by a digest; a run keeps the digest
        of what it began with.
    """

    network: VGG
    repository: str

    stages: ClassVar[int] = LAST
    aligned: ClassVar[bool] = True
    awaits_relu: ClassVar[bool] = True

    @property
    def channels(self) -> dict[str, int]:
        """The widths of blocks 4 and 5, which are equal."""
        return {SHALLOW: 8 * self.network.width, DEEP: 8 * self.network.width}

    @property
    def published(self) -> tuple[str, ...]:
        """ImageNet's, of one width."""
        return (IMAGENET,) if self.network.width == PRETRAINED_WIDTH else ()

    def cells(self, pixels: Any) -> Any:
        """Returns how many cells an input of so many pixels has along an axis: rounded up."""
        return -(-pixels // STRIDE)

    def side(self, pixels: Any) -> Any:
        """Returns the nearest side whose last pixel is a cell's own: 8 k + 1."""
        return nearest_fit(pixels, STRIDE, 1)

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn "params": normal kernels as He and others scale them, zero biases."""
        return dict(initial(self.network)(rng, *_blank_photo()))

    def imagenet(self) -> str:
        """Returns the hub's repository of its ImageNet weights.

        Raises:
          InputError: for another width than theirs.
        """
        if self.network.width != PRETRAINED_WIDTH:
            raise InputError(
                "model.weights is imagenet, whose VGG-16 has a width of 64, and "
                f"model.backbone_options.width is {self.network.width}: set it to 64, or "
                "model.weights=random to train from scratch."
            )
        return self.repository

    def load(self, path: Path) -> Variables:
        """Returns the variables of a file with torchvision's names, features.0.weight to features.28.bias.

        The classifier is left out.

        Raises:
          InputError: as `pretrained.load`.
        """
        shapes = jax.eval_shape(self.network.init, jax.random.key(0), *_blank_photo())
        weights = weights_file.read(path)
        with recognition.naming_the_backbone(path, "vgg16"):
            return pretrained.place(path, weights, shapes, _key, lambda key: key.startswith(_CLASSIFIER))

    def embed(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]
    ) -> dict[str, Features]:
        """Returns the features of each role."""
        return self.above(variables, Features(images, sizes), 0)

    def below(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], stage: int
    ) -> Features:
        """Returns the sums that a block begins with, before their ReLU; the photos for block 1."""
        if stage <= 1:
            return Features(images, sizes)
        roles: Any = self.network.apply(variables, images, sizes, end=stage)
        return roles[DEEP]

    def above(self, variables: Variables, below: Features, stage: int) -> dict[str, Features]:
        """Returns the features of each role."""
        roles: Any = self.network.apply(variables, *below, begin=max(stage, 1))
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
        """Returns where a parameter belongs, e.g. ("conv5_1", "bias") to block 5; no block is a stem."""
        return Group(int(path[0][len("conv")]), False)


def _key(names: list[str]) -> str:
    """The file's key of a variable, e.g. features.28.weight."""
    _, module, leaf = names
    return f"features.{_FILE_NAMES[module]}.{_LEAVES[leaf]}"


def _blank_photo() -> tuple[UInt8[Array, "1 9 9 3"], Int[Array, "1 2"]]:
    """Returns the smallest photo of `side` pixels, and its size."""
    return jnp.zeros((1, 9, 9, 3), jnp.uint8), jnp.full((1, 2), 9, jnp.int32)
