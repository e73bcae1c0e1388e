"""Hand-made features behind the interface of all backbones: a network without parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float, Int, UInt8

from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Features, Group
from fsjax.models.backbones.filters import FilterBank, RawRGB
from fsjax.models.layers.padding import nearest_fit, strided
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class HandMade:
    """Features that nothing has learned; both roles are one map.

    Attributes:
      filters: what is computed of photos.
    """

    filters: RawRGB | FilterBank

    stages: ClassVar[int] = 0
    aligned: ClassVar[bool] = False
    awaits_relu: ClassVar[bool] = False

    @property
    def channels(self) -> dict[str, int]:
        """The filters' channels, twice."""
        return {SHALLOW: self.filters.channels, DEEP: self.filters.channels}

    def cells(self, pixels: Any) -> Any:
        """Returns how many cells so many pixels have along an axis, a part of one included."""
        return -(-pixels // self.filters.stride)

    def side(self, pixels: Any) -> Any:
        """Returns the nearest side of whole cells."""
        return nearest_fit(pixels, self.filters.stride, 0)

    def init(self, rng: jax.Array) -> Variables:
        """Returns variables without a parameter."""
        del rng
        return {"params": {}}

    @property
    def published(self) -> tuple[str, ...]:
        """None."""
        return ()

    def imagenet(self) -> str:
        """Raises an InputError: there are no weights."""
        raise InputError("Hand-made features have no weights, and model.weights is imagenet: leave it empty.")

    def load(self, path: Path) -> Variables:
        """Raises an InputError: there is nothing to load."""
        raise InputError(f"{path}: hand-made features have no weights; leave model.weights empty.")

    def embed(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]
    ) -> dict[str, Features]:
        """Returns the filters' map for both roles."""
        del variables
        features = Features(self.filters(images, sizes), strided(sizes, self.filters.stride))
        return {SHALLOW: features, DEEP: features}

    def below(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], stage: int
    ) -> dict[str, Features]:
        """Returns what `embed` does: no stage has a parameter."""
        del stage
        return self.embed(variables, images, sizes)

    def above(self, variables: Variables, below: dict[str, Features], stage: int) -> dict[str, Features]:
        """Returns what is there."""
        del variables, stage
        return below

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
        """Raises a KeyError: no parameter has a path."""
        raise KeyError(path)
