"""Multi-scale inference: a query segmented at several sizes, the predictions averaged (DPNet Table 6)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from fsjax.models.layers.resize import resize


@dataclass(frozen=True)
class Scales:
    """At which sizes queries are segmented; supports keep theirs.

    Attributes:
      factors: of the query's size; 1 must be one of them. The paper takes 0.7, 1 and 1.3.
      average: of "probability" or "logit", on the labels' pixels.
    """

    factors: tuple[float, ...] = (1.0,)
    average: str = "probability"

    @property
    def unscaled(self) -> int:
        """The place of the factor 1."""
        return self.factors.index(1.0)


ONE_SCALE = Scales()


def rescale(
    images: Num[Array, "*images H W c"],
    sizes: Int[Array, "*images 2"],
    factor: float,
    side: Callable[[Any], Any],
) -> tuple[Num[Array, "*images h w c"], Int[Array, "*images 2"]]:
    """Resizes photos bilinearly to a factor of their size, rounded to what fits the network's cells.

    At factor 1 the photos are returned as they are, whatever their size.

    Args:
      images: uint8 photos, each in the top-left rectangle of its array.
      sizes: the rectangles' heights and widths, in pixels.
      factor: of height and width.
      side: returns the nearest side, in pixels, that fits; of a method.
    """
    if factor == 1:
        return images, sizes
    shape = tuple(int(side(factor * length)) for length in images.shape[-3:-1])
    new_sizes = jnp.minimum(side(factor * sizes), jnp.asarray(shape)[(None,) * (sizes.ndim - 1)])

    def one(image, old, new):
        return resize(image.astype(jnp.float32), shape, old, new)

    for _ in sizes.shape[:-1]:
        one = jax.vmap(one)
    return jnp.round(one(images, sizes, new_sizes)).astype(images.dtype), new_sizes


def mean_prediction(
    predictions: Sequence[Mapping[str, Float[Array, "T H W classes"]]], average: str
) -> dict[str, Float[Array, "T H W classes"]]:
    """Averages the named logits of several scales; of probabilities the logarithm of the mean is returned.

    Probabilities are a softmax over the classes. DPNet's for several ways do not add up to one, so that each
    scale's are divided by their sum first.
    """
    if len(predictions) == 1:
        return dict(predictions[0])

    def mean(*logits):
        if average == "logit":
            return sum(logits) / len(logits)
        logs = jnp.stack([jax.nn.log_softmax(values) for values in logits])
        return jax.nn.logsumexp(logs, 0) - jnp.log(len(logits))

    return jax.tree.map(mean, *map(dict, predictions))
