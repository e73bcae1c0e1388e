"""Prototypes over the deep features of another method: what that method adds to its backbone."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.method import Comparing, Segmenting, suited
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class OverFeatures:
    """A method such as PRNet or FSSDINO over the features by which another one compares cells.

    Its features are that method's own, so that both share one extraction. Nothing is trained.

    Attributes:
      method: whose features; its variables are used.
      head: what segments by them.
    """

    method: Segmenting
    head: Segmenting

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of the head."""
        return self.head.outputs

    @property
    def plain(self) -> str:
        """The head's."""
        return self.head.plain

    @property
    def final(self) -> str:
        """The head's."""
        return self.head.final

    def suited(self, settings: Any) -> "OverFeatures":
        """Returns it with a head as settings of its segmentation need it."""
        return replace(self, head=suited(self.head, settings))

    def side(self, pixels: Any) -> Any:
        """Returns the side of a photo nearest to so many pixels that fits the backbone's cells."""
        return self.method.side(pixels)

    def embed(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]
    ) -> Features:
        """Returns the method's features."""
        features: Features = self.method.embed(variables, images, sizes)
        return features

    def describe(
        self, variables: Variables, features: Features, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> tuple[Any, Any]:
        """Returns what the head sees in a photo's deep features."""
        return self.head.describe(variables, self._deep(features), mask, size)

    def fit(self, variables: Variables, descriptions: tuple[Any, Any], present: Bool[Array, "N K"]) -> Any:
        """Returns what the head needs of the supports."""
        return self.head.fit(variables, descriptions, present)

    def segment(
        self,
        variables: Variables,
        fitted: Any,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: Any,
    ) -> dict[str, Float[Array, "T height width classes"]]:
        """Returns the head's logits."""
        return self.head.segment(variables, fitted, self._deep(queries), shape, sizes, settings)

    def _deep(self, features: Features) -> Features:
        return self.method.deep(features) if isinstance(self.method, Comparing) else features
