"""The multi-scale fusion module: a query compared with a prototype at three scales (DPNet 4.4)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from fsjax.models.dpnet.interaction import PairDense
from fsjax.models.layers.padding import inside, strided
from fsjax.models.layers.resize import resize

SCALES = (1, 2, 4)
"""What the map's height and width are divided by."""


class MultiScaleFusion(nn.Module):
    """Three parallel 1x1 convolutions of [features; prototype] at 1, 1/2 and 1/4, added up at full size.

    Attributes:
      features: channels of the result.
      aligned: whether maps are enlarged with their corners aligned (as CANet resizes).
    """

    features: int
    aligned: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        cells: Int[Array, "b 2"],
        *prototypes: Float[Array, "b c"],
        coarse: bool = True,
    ) -> list[Float[Array, "b h w features"]]:
        """Returns the fused map for each prototype; the convolutions are the same for all of them.

        Args:
          x: the query's features, zero beyond `cells`.
          cells: valid heights and widths.
          *prototypes: one an image each.
          coarse: whether there are the scales 1/2 and 1/4; without them the module is off.
        """
        _, h, w, _ = x.shape
        vectors = [prototype[:, None, None] for prototype in prototypes]
        sums: list[Array] = []
        for scale in SCALES if coarse else SCALES[:1]:
            pooled = x if scale == 1 else average_pool(x, cells, scale)
            fused = map(nn.relu, PairDense(self.features, name=f"scale{scale}")(pooled, *vectors))
            if scale == 1:
                sums = list(fused)
                continue
            grown = (enlarge(values, (h, w), cells, scale, aligned=self.aligned) for values in fused)
            sums = [total + values for total, values in zip(sums, grown, strict=True)]
        return sums


def average_pool(
    x: Float[Array, "b h w c"], cells: Int[Array, "b 2"], stride: int
) -> Float[Array, "b h2 w2 c"]:
    """Returns the means of windows of stride x stride cells; at an edge, of those cells that are valid.

    A map of n cells becomes one of ceil(n / stride).

    Args:
      x: maps that are zero beyond `cells`.
      cells: valid heights and widths.
      stride: side of a window, and the distance to the next.
    """
    _, h, w, _ = x.shape
    valid = inside((h, w), cells)[..., None].astype(x.dtype)
    total, count = (_window_sums(values, stride) for values in (x, valid))
    return total / jnp.maximum(count, 1)


def enlarge(
    x: Float[Array, "b h w c"],
    shape: tuple[int, int],
    cells: Int[Array, "b 2"],
    scale: int,
    *,
    aligned: bool,
) -> Float[Array, "b H W c"]:
    """Restores maps of a scale to the full grid, bilinearly.

    Args:
      x: maps of which ceil(cells / scale) are valid.
      shape: height and width of the full grid, padding included.
      cells: valid heights and widths of the full grid.
      scale: what they were divided by.
      aligned: see `MultiScaleFusion`.
    """

    def one(image: Array, full: Array) -> Array:
        return resize(image, shape, strided(full, scale), full, align_corners=aligned)

    return jax.vmap(one)(x, cells)


def _window_sums(x: Array, stride: int) -> Array:
    b, h, w, c = x.shape
    rows, columns = -(-h // stride), -(-w // stride)
    padded = jnp.pad(x, [(0, 0), (0, rows * stride - h), (0, columns * stride - w), (0, 0)])
    return jnp.sum(padded.reshape(b, rows, stride, columns, stride, c), (2, 4))
