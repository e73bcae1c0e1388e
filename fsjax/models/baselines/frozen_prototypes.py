"""PRNet's prototypes over the frozen features of another method: what that method adds to its backbone."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.method import Comparing
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import Description, PRNet
from fsjax.models.prnet.prototypes import Prototypes
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class FrozenPrototypes:
    """Prototypes, plain and fused, of the features by which a method compares cells. Nothing is trained.

    Its features are that method's own, so that both share one extraction.

    Attributes:
      method: whose frozen features; its variables are used.
    """

    method: Comparing

    outputs: ClassVar[tuple[str, ...]] = PRNet.outputs
    plain: ClassVar[str] = PRNet.plain
    final: ClassVar[str] = PRNet.final

    def side(self, pixels: Any) -> Any:
        """Returns the side of a photo nearest to so many pixels that fits the backbone's cells."""
        return self.method.side(pixels)

    def embed(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]
    ) -> Features:
        """Returns the method's features."""
        return self.method.embed(variables, images, sizes)

    def describe(
        self, variables: Variables, features: Features, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> Description:
        """Returns a photo's mean deep features under its class and under background."""
        return self._prnet.describe(variables, self.method.deep(features), mask, size)

    def fit(self, variables: Variables, descriptions: Description, present: Bool[Array, "N K"]) -> Prototypes:
        """Returns the support prototypes p_s."""
        return self._prnet.fit(variables, descriptions, present)

    def segment(
        self,
        variables: Variables,
        fitted: Prototypes,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: FusionSettings,
    ) -> dict[str, Float[Array, "T height width classes"]]:
        """Returns PRNet's logits without fusion and after its two stages."""
        return self._prnet.segment(variables, fitted, self.method.deep(queries), shape, sizes, settings)

    @property
    def _prnet(self) -> PRNet:
        return PRNet(self.method.backbone)
