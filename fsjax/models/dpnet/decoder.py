"""The decoder: atrous spatial pyramid pooling and a classifier, without normalisation (DPNet 4.5)."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from fsjax.models.layers.conv import Conv
from fsjax.models.layers.dropout import channel_dropout
from fsjax.models.layers.padding import inside, zero_padding


class Decoder(nn.Module):
    """CANet's ASPP: the image's mean, a 1x1 and dilated 3x3 convolutions side by side, then two 1x1.

    Attributes:
      width: channels of each branch.
      rates: dilations of the 3x3 convolutions.
      dtype: what the convolutions compute in.
      first_site: where its dropout's sites begin, so that decoders that share keys drop other channels.
    """

    width: int
    rates: Sequence[int]
    dtype: Any = jnp.float32
    first_site: int = 0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        cells: Int[Array, "b 2"],
        keys: Key[Array, "b"] | None,
        dropout: float | Float[Array, ""],
    ) -> Float[Array, "b h w 2"]:
        """Returns the logits of background and foreground; padding changes nothing.

        Args:
          x: fused features.
          cells: their valid heights and widths.
          keys: of the dropout, one an image; None in evaluation.
          dropout: rate of `channel_dropout` after every layer but the last.
        """
        x = zero_padding(x, cells)
        branches = [("pool", _mean(x, cells), 1, 1), ("point", x, 1, 1)]
        branches += [(f"dilated{rate}", x, 3, rate) for rate in self.rates]
        outputs = [
            self._layer(values, name, kernel_size, rate, keys, site, dropout)
            for site, (name, values, kernel_size, rate) in enumerate(branches, self.first_site)
        ]
        outputs[0] = jnp.broadcast_to(outputs[0], outputs[1].shape)
        y = jnp.concatenate(outputs, -1)
        y = self._layer(y, "project", 1, 1, keys, self.first_site + len(branches), dropout)
        return Conv(2, use_bias=True, name="classify")(y)

    def _layer(
        self,
        x: Array,
        name: str,
        kernel_size: int,
        rate: int,
        keys: Array | None,
        site: int,
        dropout: float | Array,
    ) -> Array:
        y = Conv(self.width, kernel_size, 1, rate, use_bias=True, dtype=self.dtype, name=name)(x)
        return channel_dropout(nn.relu(y).astype(jnp.float32), keys, site, dropout)


def _mean(x: Array, cells: Array) -> Array:
    _, h, w, _ = x.shape
    count = jnp.sum(inside((h, w), cells), (1, 2))[:, None, None, None]
    return jnp.sum(x, (1, 2), keepdims=True) / count
