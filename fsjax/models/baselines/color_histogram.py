"""Colours as the only feature: a method without variables that a network has to beat."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, UInt8

from fsjax.models.layers.cross_entropy import upsample
from fsjax.models.layers.local_mean import local_mean
from fsjax.models.layers.padding import inside, nearest_fit
from fsjax.models.method import Shape
from fsjax.models.variables import Variables

UNSEEN = 128.0  # pixels of every colour alike that a histogram is taken to hold beforehand


class Photos(NamedTuple):
    """Photos as the features of themselves, each in the top-left rectangle of its array."""

    images: UInt8[Array, "*images H W 3"]  # RGB, 0 to 255
    sizes: Int[Array, "*images 2"]  # the rectangles' heights and widths, in pixels


@dataclass(frozen=True)
class ColorHistogram:
    """Classifies pixels by their colour: log likelihoods, averaged locally.

    A class has the joint RGB histogram of its pixels in all supports, blurred over neighbouring bins. Classes
    are equally likely beforehand, as they are for prototypes: with the supports' class frequencies as the
    prior, nearly every pixel would be background. A class without pixels expects all colours alike.

    Attributes:
      bins: of each channel.
      smoothing: standard deviation in pixels of the average over a query's log likelihoods.
    """

    bins: int = 16
    smoothing: float = 4.0

    outputs: ClassVar[tuple[str, ...]] = ("histogram",)
    plain: ClassVar[str] = "histogram"
    final: ClassVar[str] = "histogram"

    def side(self, pixels: Any) -> Any:
        """Returns the nearest whole number of pixels, at least one."""
        return nearest_fit(pixels, 1, 0)

    def embed(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]
    ) -> Photos:
        """Returns the photos as they are."""
        del variables
        return Photos(images, sizes)

    def describe(
        self, variables: Variables, features: Photos, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> tuple[tuple[()], Float32[Array, "2 colors"]]:
        """Returns how many of a photo's pixels have each colour, of the background and of the class.

        Args:
          variables: none.
          features: of one photo, whose pixels are the mask's.
          mask: 1 the class, 0 background; nothing else is looked at.
          size: height and width of both, in pixels; padding is not looked at.

        Returns:
          No cells, and the counts [2, bins ** 3]: exact integers, background first.
        """
        del variables
        labels = jnp.arange(2, dtype=mask.dtype)[:, None, None]
        counted = ((mask[None] == labels) & inside(mask.shape, size)[None]).astype(jnp.float32)
        color = self._color(features.images).reshape(-1)
        count = jax.vmap(lambda weights: jnp.bincount(color, weights, length=self.bins**3))
        return (), count(counted.reshape(2, -1))

    def fit(
        self,
        variables: Variables,
        descriptions: tuple[tuple[()], Float32[Array, "N K 2 colors"]],
        present: Bool[Array, "N K"],
    ) -> Float32[Array, "colors classes"]:
        """Returns each colour's log likelihood under the background and the ways.

        A way's pixels are those of its own supports, the background's those of all.
        """
        del variables
        _, counts = descriptions
        counts = jnp.where(present[..., None, None], counts, 0)
        classes = jnp.concatenate([counts[:, :, 0].sum((0, 1))[None], counts[:, :, 1].sum(1)])
        pixels = classes.sum(axis=-1, keepdims=True)
        likelihood = (self._blurred(classes) + UNSEEN / self.bins**3) / (pixels + UNSEEN)
        return jnp.log(likelihood).T

    def segment(
        self,
        variables: Variables,
        fitted: Float32[Array, "colors classes"],
        queries: Photos,
        shape: Shape,
        sizes: Int[Array, "T 2"],
        settings: Any,
    ) -> dict[str, Float[Array, "T height width classes"]]:
        """Returns the log likelihoods of every pixel's neighbourhood, background first; without settings."""
        del variables, settings
        logits = fitted[self._color(queries.images)]
        logits = jax.vmap(lambda x, size: local_mean(x, size, 1, self.smoothing))(logits, queries.sizes)
        return {"histogram": upsample(logits, shape, queries.sizes, sizes)}

    def _color(self, images: UInt8[Array, "*pixels 3"]) -> Int32[Array, "*pixels"]:
        """Returns the bin of each pixel."""
        level = images.astype(jnp.int32) * self.bins // 256
        return (level[..., 0] * self.bins + level[..., 1]) * self.bins + level[..., 2]

    def _blurred(self, counts: Float32[Array, "classes colors"]) -> Float32[Array, "classes colors"]:
        """Spreads each bin's count over its neighbours, (1, 2, 1) / 4 along each channel."""
        bins = self.bins
        blur = np.eye(bins) / 2 + (np.eye(bins, k=1) + np.eye(bins, k=-1)) / 4
        blur = (blur / blur.sum(axis=0, keepdims=True)).astype(np.float32)
        cube = counts.reshape(-1, bins, bins, bins)
        spread = jnp.einsum("Rr,Gg,Bb,nrgb->nRGB", blur, blur, blur, cube, precision=Precision.HIGHEST)
        return spread.reshape(counts.shape)
