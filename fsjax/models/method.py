"""What a method is to all other rooms. This module imports no method."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.backbones.backbone import Backbone, Features
from fsjax.models.variables import Variables

Shape = tuple[int, int]


@runtime_checkable
class Segmenting(Protocol):
    """Features and supports to masks. Controls and training-free methods are this and nothing more.

    Features are a pytree whose leaves have images first. A method is immutable and compared by value, as are
    its settings: what is compiled for one serves each that is equal to it (`fsjax.compiled`).
    """

    def __hash__(self) -> int:
        """Equal methods have equal hashes."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `segment` returns."""

    @property
    def plain(self) -> str:
        """The one without the method's refinements."""

    @property
    def final(self) -> str:
        """The one that is the method's answer."""

    def side(self, pixels: Any) -> Any:
        """Returns the side of a photo nearest to so many pixels that fits the features' cells exactly.

        Args:
          pixels: numbers or arrays, not necessarily whole.
        """

    def embed(self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]) -> Any:
        """Returns the features of photos, one call for all images of a batch.

        Args:
          variables: of the method.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths, in pixels.
        """

    def describe(
        self, variables: Variables, features: Any, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> tuple[Any, Any]:
        """Returns what one photo shows of one class, whatever other photos show.

        Args:
          variables: of the method.
          features: of one photo, without the images' axis.
          mask: 1 the class, 0 background, 255 all else: void, and the episode's other ways.
          size: the mask's valid height and width, in pixels.

        Returns:
          `cells`, which depend on the features alone, and `shown`, which depends on the mask, too.
        """

    def fit(self, variables: Variables, descriptions: tuple[Any, Any], present: Bool[Array, "N K"]) -> Any:
        """Returns all that segmenting needs of an episode's supports.

        Args:
          variables: of the method.
          descriptions: of `describe`, every leaf [N, K, ...].
          present: which of them are there; averages skip the others.
        """

    def segment(
        self,
        variables: Variables,
        fitted: Any,
        queries: Any,
        shape: Shape,
        sizes: Int[Array, "T 2"],
        settings: Any,
    ) -> dict[str, Float[Array, "T height width classes"]]:
        """Returns the logits of every output, background first.

        Args:
          variables: of the method.
          fitted: of `fit`.
          queries: features of the queries, [T, ...].
          shape: height and width of the arrays that the masks lie in, in pixels.
          sizes: the masks' valid heights and widths: the photos' own, or those of their labels.
          settings: of the method's segmentation.
        """


@runtime_checkable
class Networked(Segmenting, Protocol):
    """A method over a network, with variables: {"backbone", "head"}. It need not be one that learns."""

    @property
    def backbone(self) -> Backbone:
        """The network behind its features."""

    @property
    def frozen(self) -> bool:
        """Whether the backbone is never trained."""

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns the head's part of them alone."""


@runtime_checkable
class Trainable(Networked, Protocol):
    """A method that learns."""

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "B H W 3"],
        sizes: Int[Array, "B 2"],
        weights: Float[Array, " B"],
    ) -> tuple[Any, Variables]:
        """Returns the features of photos in training, and the variables with their statistics moved on.

        Args:
          variables: of the method.
          images: as in `embed`.
          sizes: as in `embed`.
          weights: 0 for images that must not count.
        """

    def loss(
        self, variables: Variables, supports: Any, queries: Any, episodes: Episode, rngs: Key[Array, " B"]
    ) -> tuple[Float[Array, " B"], Mapping[str, Float[Array, " B"]]]:
        """Returns the loss of each of B episodes, from features, and its terms.

        Args:
          variables: of the method.
          supports: features of the supports, [B, N, K, ...].
          queries: features of the queries, [B, T, ...].
          episodes: for their masks, [B, ...].
          rngs: decide all that is drawn.
        """


@runtime_checkable
class Adaptable(Protocol):
    """A method that can be tuned to an episode's supports before it segments.

    Its `embed` has two parts, `above` after `below`, of which tuning changes the second alone.
    """

    def below(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"], settings: Any
    ) -> Any:
        """Returns what tuning by these settings leaves as it is of photos' features; a pytree."""

    def above(self, variables: Variables, below: Any, settings: Any) -> Any:
        """Returns the features that `embed` returns, from what `below` does."""

    def adapt(
        self,
        variables: Variables,
        supports: Any,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
        settings: Any,
        probe: Callable[[Variables], Any] | None = None,
    ) -> tuple[Variables, Any]:
        """Returns the variables tuned to one episode's supports, and the probe's value after each step.

        Args:
          variables: of the method; they are left as they are.
          supports: of `below`, for the N K photos in one batch.
          masks: 0 background, 1..N the ways, 255 ignored.
          sizes: the photos' heights and widths, in pixels.
          settings: how it is tuned.
          probe: what to report of the variables after each step.
        """


@runtime_checkable
class Comparing(Segmenting, Protocol):
    """A method that compares cells by deep features, which are part of its own and never trained."""

    @property
    def backbone(self) -> Backbone:
        """The network behind its features."""

    def deep(self, features: Any) -> Features:
        """Returns the deep part of its features, with any leading axes."""


@runtime_checkable
class Suited(Protocol):
    """A method some of whose settings decide what it describes or fits, before anything is segmented."""

    def suited(self, settings: Any) -> Segmenting:
        """Returns it as these settings of its segmentation need it."""


@runtime_checkable
class Explainable(Protocol):
    """A method that can show how it comes to its answer."""

    def explain(self, variables: Variables, fitted: Any, queries: Any, settings: Any) -> Any:
        """Returns what it finds in the first query of an episode, and its first support, on the way.

        The arguments are those of `segment`.
        """


def suited(method: Segmenting, settings: Any) -> Segmenting:
    """Returns a method as settings of its segmentation need it; itself if it is no `Suited` one."""
    return method.suited(settings) if isinstance(method, Suited) else method


def changes_plain(own: Any, other: Any) -> bool:
    """Says whether a method's plain output differs between two of its settings.

    Those that decide more than refinements name such fields: `of_plain`.
    """
    return any(getattr(own, name) != getattr(other, name) for name in getattr(own, "of_plain", ()))


def why_lacking(method: Segmenting, output: str) -> str:
    """Returns what a sentence says after the name of an output that a method does not have.

    It is the reason of a method that could have it (its `lacking`: output -> reason), else nothing.
    """
    reason = getattr(method, "lacking", {}).get(output, "")
    return f", and {reason}" if reason else ""


def check_output(method: Segmenting, output: str | None) -> None:
    """Makes sure that a method has an output, None being its final one.

    Raises:
      InputError: it does not.
    """
    if output is not None and output not in method.outputs:
        why = why_lacking(method, output)
        raise InputError(f"There is no output {output!r}{why}: choose from {', '.join(method.outputs)}.")
