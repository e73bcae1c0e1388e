"""DPNet's learnable part: everything behind the frozen extractor (DPNet 4, Figure 2).

The leading axes are those of a batch of episodes: B episodes, N ways, T queries, K shots. Modules with
convolutions see them flattened to one, so that no gradient is taken image by image.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from fsjax.models.backbones.resnet import Features
from fsjax.models.dpnet.decoder import Decoder
from fsjax.models.dpnet.interaction import Discriminator, PrototypeInteraction
from fsjax.models.dpnet.multiscale import MultiScaleFusion
from fsjax.models.dpnet.pseudo_prototype import (
    Comparison,
    Supports,
    compare,
    pseudo_prototypes,
    select,
    summarize_supports,
)
from fsjax.models.layers.conv import Conv
from fsjax.models.layers.dropout import channel_dropout
from fsjax.models.layers.padding import inside, zero_padding

MERGE_SITE, DECODER_SITE, AUX_SITE = 0, 16, 32
"""Where the dropout's sites of each module begin."""


class Switches(NamedTuple):
    """What the paper's ablations turn (DPNet Tables 3 to 5); numbers, which may be traced.

    With traced switches one compiled program serves all ablations.
    """

    pim: float | Array = 1.0  # 0: the prototype interaction is the identity
    msf: float | Array = 1.0  # 0: only the scale 1 is fused
    pseudo_prototype: int | Array = 3  # index in PSEUDO_PROTOTYPES
    aux_only: float | Array = 0.0  # 1: the auxiliary branch alone is trained
    selected_loss: float | Array = 0.0  # 1: L_dis runs over the selected cells C', else over all candidates C
    lambda1: float | Array = 1.0
    lambda2: float | Array = 1.0
    beta: float | Array = 0.5  # threshold of the discriminator in training
    dropout: float | Array = 0.5


class Keys(NamedTuple):
    """Keys of dropout, one an image or a pair; pairs are numbered by way, then by query."""

    supports: Key[Array, "B N K"]
    queries: Key[Array, "B T"]
    pairs: Key[Array, "B N T"]


class Segmented(NamedTuple):
    """What the head makes of each pair of a way and a query."""

    master: Float[Array, "B N T h w 2"]  # logits of background and foreground
    aux: Float[Array, "B N T h w 2"] | None  # of the auxiliary branch, where there is one
    comparison: Comparison
    confidence: Float[Array, "B N T K cells"]  # logits of h, the discriminator's output
    selected: Bool[Array, "B N T K cells"]  # the cells of the pseudo-prototype


class Head(nn.Module):
    """DPNet behind its extractor.

    Attributes:
      width: C, channels of the merged features.
      dis_hidden: hidden width of the discriminator.
      pim_hidden: hidden width of the prototype interaction.
      alpha_init: first value of its learnable scale.
      rates: dilations of the decoders.
      auxiliary: whether there is an auxiliary branch.
      tile: rows of the matrix of cosines held at a time.
      dtype: what the convolutions compute in.
    """

    width: int
    dis_hidden: int
    pim_hidden: int
    alpha_init: float
    rates: Sequence[int]
    auxiliary: bool = True
    tile: int = 256
    dtype: Any = jnp.float32

    def setup(self):
        """Names the modules, and so the parameters."""
        self.merge = Conv(self.width, 3, dilation=2, use_bias=True, dtype=self.dtype)
        self.discriminator = Discriminator(self.dis_hidden)
        self.interaction = PrototypeInteraction(self.pim_hidden, self.alpha_init)
        self.fusion = MultiScaleFusion(self.width)
        self.decoder = Decoder(self.width, self.rates, self.dtype, DECODER_SITE)
        if self.auxiliary:
            self.aux_decoder = Decoder(self.width, self.rates, self.dtype, AUX_SITE)

    def summarize(
        self,
        features: Features,
        masks: UInt8[Array, "B N K H W"],
        pixels: Int[Array, "B N K 2"],
        dropout: float | Array,
        keys: Key[Array, "B N K"] | None = None,
    ) -> Supports:
        """Returns the supports' prototypes and labelled cells.

        Args:
          features: the extractor's, [B, N, K, h, w, c2 + c3].
          masks: 0 background, 1..N the ways, 255 ignored.
          pixels: their valid heights and widths.
          dropout: rate of the merged features' dropout.
          keys: of the dropout; None in evaluation.
        """
        merged = self._merge(features, dropout, keys)
        return summarize_supports(merged, compared(features.map), features.sizes, masks, pixels)

    def segment(
        self,
        supports: Supports,
        features: Features,
        switches: Switches,
        beta: float | Array,
        keys: Keys | None = None,
    ) -> Segmented:
        """Segments each query by each way.

        Args:
          supports: of `summarize`.
          features: the queries', [B, T, h, w, c2 + c3].
          switches: what is turned on.
          beta: threshold of the discriminator.
          keys: of the dropout; None in evaluation.
        """
        queries = self._merge(features, switches.dropout, keys and keys.queries)
        B, T, h, w, C = queries.shape
        comparison = compare(supports, compared(features.map), features.sizes, self.tile)
        confidence = self.discriminator(
            queries.reshape(B, 1, T, 1, h * w, C), supports.prototypes[:, :, None, :, None]
        )
        valid = inside((h, w), features.sizes).reshape(B, T, h * w)
        chosen = select(switches.pseudo_prototype, comparison, jax.nn.sigmoid(confidence), valid, beta)
        pseudo = jnp.mean(pseudo_prototypes(queries, chosen, supports.prototypes), 3)
        prototype = jnp.broadcast_to(jnp.mean(supports.prototypes, 2)[:, :, None], pseudo.shape)
        master, aux = self._decode(prototype, pseudo, queries, features.sizes, switches, keys)
        return Segmented(master, aux, comparison, confidence, chosen)

    def _merge(self, features: Features, dropout, keys):
        """Returns F: stages 2 and 3, both after their ReLU, merged to C channels (as CANet does)."""
        lead = features.sizes.shape[:-1]
        cells = features.sizes.reshape(-1, 2)
        flat = features.map.reshape(-1, *features.map.shape[-3:])
        x = nn.relu(self.merge(nn.relu(flat)).astype(jnp.float32))
        x = channel_dropout(x, None if keys is None else keys.reshape(-1), MERGE_SITE, dropout)
        return zero_padding(x, cells).reshape(*lead, *x.shape[1:])

    def _decode(self, prototype, pseudo, queries, cells, switches: Switches, keys: Keys | None):
        """Returns the logits of the master and of the auxiliary branch (DPNet 4.3 to 4.5)."""
        B, N, T, C = pseudo.shape
        factor = 1 + switches.pim * self.interaction(prototype, pseudo)
        # DPNet Eq. 6 and DPNet Eq. 7
        p, p_q = ((factor * vectors).reshape(-1, C) for vectors in (prototype, pseudo))
        recalibrated = factor[..., None, None, :] * queries[:, None]  # DPNet Eq. 8
        pairs = recalibrated.reshape(-1, *queries.shape[2:])
        sizes = jnp.broadcast_to(cells[:, None], (B, N, T, 2)).reshape(-1, 2)
        drawn = None if keys is None else keys.pairs.reshape(-1)
        by_prototype, by_pseudo = self.fusion(pairs, sizes, p, p_q, coarse=switches.msf)

        def decode(decoder, x):
            logits = decoder(x, sizes, drawn, switches.dropout)
            return logits.reshape(B, N, T, *logits.shape[1:])

        master = decode(self.decoder, jnp.concatenate([by_prototype, by_pseudo], -1))
        return master, decode(self.aux_decoder, by_prototype) if self.auxiliary else None


def compared(stages: Float[Array, "*images h w c"]) -> Float[Array, "*images h w d"]:
    """Returns stage 3 before its last ReLU, by which cells are compared (DPNet 4.2).

    Args:
      stages: stage 2 after its ReLU and stage 3 before it; a ResNet's third stage has twice the channels.
    """
    return stages[..., stages.shape[-1] // 3 :]
