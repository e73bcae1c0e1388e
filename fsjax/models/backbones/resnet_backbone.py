"""A ResNet behind the interface of all backbones."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from fsjax.errors import InputError
from fsjax.models.backbones import pretrained, recognition
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.backbones.drawing import initial
from fsjax.models.backbones.named import IMAGENET
from fsjax.models.backbones.resnet import ResNet
from fsjax.models.layers.padding import nearest_fit
from fsjax.models.variables import Variables

STEM_STRIDE = 4


@dataclass(frozen=True)
class ResNetBackbone:
    """A dilated ResNet: DEEP is its last stage before the last ReLU (PRNet 4.1), SHALLOW the one before.

    SHALLOW features are those after the ReLU; the stage before the first one is the stem.

    Attributes:
      network: what is built, and to which stage.
      batch_statistics: whether training normalises by the batch (a network trained from scratch) or by the
        running statistics, which then stay as they are (one that starts from ImageNet).
      repository: the hub's, of its ImageNet weights in the torchvision convention; "" where there are none.
    """

    network: ResNet
    batch_statistics: bool = False
    repository: str = ""

    aligned: ClassVar[bool] = True
    awaits_relu: ClassVar[bool] = True

    @property
    def stages(self) -> int:
        """The number of the last stage; the stem is 0."""
        return self.network.stages or len(self.network.stage_sizes)

    @property
    def channels(self) -> dict[str, int]:
        """The widths of what the last two stages return."""
        expansion = 4 if self.network.bottleneck else 1
        widths = [self.network.widths[0], *(expansion * width for width in self.network.widths)]
        return {SHALLOW: widths[self.stages - 1], DEEP: widths[self.stages]}

    @property
    def published(self) -> tuple[str, ...]:
        """ImageNet's, of torchvision's convention."""
        return (IMAGENET,) if self.repository and self.network.convention == "torchvision" else ()

    def cells(self, pixels: Any) -> Any:
        """Returns how many cells of DEEP an input of so many pixels has along an axis: rounded up."""
        return -(-pixels // self._stride)

    def side(self, pixels: Any) -> Any:
        """Returns the nearest side whose last pixel is a cell's own: at stride 8, 8 k + 1."""
        return nearest_fit(pixels, self._stride, 1)

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn "params" and the running statistics, "batch_stats"."""
        return dict(initial(self.network)(rng, *_blank_photo()))

    def imagenet(self) -> str:
        """Returns the hub's repository of its ImageNet weights.

        Raises:
          InputError: there are none, or they are of another convention.
        """
        if not self.repository:
            raise InputError(
                "model.weights is imagenet, and there are no such weights for this backbone: choose "
                "model.backbone=resnet50, resnet101 or vgg16, or model.weights=random to train from scratch."
            )
        if self.network.convention != "torchvision":
            raise InputError(
                "model.weights is imagenet, which is of the torchvision convention, and "
                f"model.backbone_options.convention is {self.network.convention}: set it to torchvision, or "
                "name a file of that convention."
            )
        return self.repository

    def load(self, path: Path) -> Variables:
        """Returns the variables of a file with torchvision's names; see `pretrained.load`."""
        shapes = jax.eval_shape(self.network.init, jax.random.key(0), *_blank_photo())
        with recognition.naming_the_backbone(path, self._name):
            return pretrained.load(path, shapes, convention=self.network.convention)

    def embed(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]
    ) -> dict[str, Features]:
        """Returns the features of each role, normalised by the running statistics."""
        return self.above(variables, Features(images, sizes), 0)

    def below(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], stage: int
    ) -> Features:
        """Returns the features that a stage follows on, before their ReLU; the photos for the stem."""
        if stage == 0:
            return Features(images, sizes)
        maps: Any = self.network.apply(variables, images, sizes, end=stage)
        return maps[_entering(stage)]

    def above(self, variables: Variables, below: Features, stage: int) -> dict[str, Features]:
        """Returns the features of each role, normalised by the running statistics."""
        maps: Any = self.network.apply(variables, *below, begin=stage)
        return self._roles({_entering(stage): below, **maps})

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "b H W 3"],
        sizes: Int[Array, "b 2"],
        weights: Float[Array, " b"],
    ) -> tuple[dict[str, Features], Variables]:
        """Returns the features, and the variables with new running statistics if the batch's are taken.

        Where they are, images should be unpadded; those of weight 0 are left out.
        """
        if not self.batch_statistics:
            return self.embed(variables, images, sizes), variables
        maps, updated = self.network.apply(
            variables, images, sizes, batch_statistics=True, weights=weights, mutable=["batch_stats"]
        )
        return self._roles(maps), {**variables, **updated}

    def group(self, path: tuple[str, ...]) -> Group:
        """Returns where a parameter belongs, e.g. ("layer4_0", "bn1", "scale") to stage 4's normalisation."""
        stage = re.match(r"layer(\d+)_", path[0])
        return Group(int(stage[1]) if stage else 0, path[-1] in ("scale", "bias"))

    @property
    def _name(self) -> str:
        """What configurations call it, if it has pretrained weights."""
        return self.repository.partition("/")[2].partition(".")[0]

    @property
    def _stride(self) -> int:
        return STEM_STRIDE * math.prod(self.network.strides[: self.stages])

    def _roles(self, maps: dict[str, Features]) -> dict[str, Features]:
        before = maps[_entering(self.stages)]
        return {SHALLOW: before._replace(map=nn.relu(before.map)), DEEP: maps[f"stage{self.stages}_pre"]}


def _entering(stage: int) -> str:
    """Returns the name of what a stage begins with."""
    return {0: "photos", 1: "stem"}.get(stage, f"stage{stage - 1}_pre")


def _blank_photo() -> tuple[UInt8[Array, "1 33 33 3"], Int[Array, "1 2"]]:
    """Returns the smallest photo that a network can be drawn with, and its size."""
    return jnp.zeros((1, 33, 33, 3), jnp.uint8), jnp.full((1, 2), 33, jnp.int32)
