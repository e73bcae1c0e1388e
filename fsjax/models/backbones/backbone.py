"""The interface behind which every network stands: photos to features. Nothing else knows a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Int, UInt8

from fsjax.models.variables import Variables

SHALLOW, DEEP = "shallow", "deep"
"""The roles of features: details, and what objects are."""


class Features(NamedTuple):
    """A batch of feature maps, each valid in its top-left rectangle and zero elsewhere."""

    map: Float[Array, "*images h w c"]  # float32
    sizes: Int[Array, "*images 2"]  # valid height and width, in cells


class Group(NamedTuple):
    """Where in a network a parameter belongs, for adapting or freezing a part of it."""

    stage: int  # 0 is the stem; the last one is `Backbone.stages`
    norm: bool  # whether it is a scale or a bias of a normalisation


@runtime_checkable
class Backbone(Protocol):
    """A network that turns photos into features by role; immutable, and hashed by its fields.

    A padded photo's features are those of the unpadded one. Variables are a dict whose "params" are trained;
    whatever else it holds is the network's own state.
    """

    @property
    def channels(self) -> Mapping[str, int]:
        """The channels of the features of each role; the widths may be equal."""

    @property
    def stages(self) -> int:
        """The number of the last stage that is built."""

    @property
    def aligned(self) -> bool:
        """Whether the outermost cells lie on the outermost pixels of a photo of `side` pixels.

        Corners are aligned then; otherwise the cells are half a cell within them (half-pixel centres).
        """

    @property
    def awaits_relu(self) -> bool:
        """Whether features are what a ReLU still has to follow: DEEP ones before the last ReLU."""

    @property
    def published(self) -> tuple[str, ...]:
        """The names that `model.weights` may have for its published weights."""

    def cells(self, pixels: Any) -> Any:
        """Returns how many cells of DEEP an input of so many pixels has along an axis; ints or arrays."""

    def side(self, pixels: Any) -> Any:
        """Returns the input side nearest to so many pixels that fits the cells exactly.

        Args:
          pixels: an int or float, or an array of them; may be traced.
        """

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""

    def imagenet(self) -> str:
        """Returns the hub's repository, "owner/name", whose model.safetensors holds its ImageNet weights.

        Raises:
          InputError: there are none that fit.
        """

    def load(self, path: Path) -> Variables:
        """Returns pretrained variables; every key of the file is accounted for.

        Raises:
          InputError: the file is missing, damaged, or another network's.
        """

    def embed(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"]
    ) -> dict[str, Features]:
        """Returns the features of each role.

        Args:
          variables: of the network.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths.
        """

    def below(
        self, variables: Variables, images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], stage: int
    ) -> Any:
        """Returns what a stage begins with: a pytree, of which only `above` knows what it is.

        Together they are `embed` in two parts, so that what is not tuned is computed once. No parameter of
        that stage or a later one is read. A network that has no parts may return the photos.

        Args:
          variables: of the network.
          images: as in `embed`.
          sizes: as in `embed`.
          stage: 0, before which nothing is, to `stages`.
        """

    def above(self, variables: Variables, below: Any, stage: int) -> dict[str, Features]:
        """Returns the features of each role, as `embed` does.

        Args:
          variables: of the network.
          below: of `below` for this stage.
          stage: as in `below`.
        """

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "b H W 3"],
        sizes: Int[Array, "b 2"],
        weights: Float[Array, " b"],
    ) -> tuple[dict[str, Features], Variables]:
        """Returns the features in training, and the variables with their state moved on.

        Args:
          variables: of the network.
          images: as in `embed`.
          sizes: as in `embed`.
          weights: 0 for images that only fill a spare slot.
        """

    def group(self, path: tuple[str, ...]) -> Group:
        """Returns where the parameter at a path of "params" belongs."""
