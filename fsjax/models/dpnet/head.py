"""DPNet's learnable part: everything behind the frozen backbone (DPNet 4, Figure 2).

The leading axes are those of a batch of episodes: B episodes, N ways, T queries, K shots. Modules with
convolutions see them flattened to one, so that no gradient is taken image by image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.decoder import Decoder
from fsjax.models.dpnet.interaction import Discriminator, PrototypeInteraction
from fsjax.models.dpnet.multiscale import MultiScaleFusion
from fsjax.models.dpnet.pseudo_prototype import (
    Comparison,
    Shown,
    Supports,
    compare,
    mean_of_present,
    pseudo_prototypes,
    select,
    show,
)
from fsjax.models.layers.conv import Conv
from fsjax.models.layers.dropout import channel_dropout
from fsjax.models.layers.padding import inside, zero_padding

MERGE_SITE, DECODER_SITE, AUX_SITE = 0, 16, 32
"""Where the dropout's sites of each module begin."""


@dataclass(frozen=True)
class Switches:
    """What the paper's ablations turn (DPNet Tables 3 to 5); what is turned off is not in the program.

    Attributes:
      pim: whether prototypes interact; without, the module is the identity.
      msf: whether three scales are fused; without, only the scale 1 is.
      pseudo_prototype: one of `PSEUDO_PROTOTYPES`.
      aux_only: whether the auxiliary branch alone is trained.
      selected_loss: whether L_dis runs over the selected cells C', else over all candidates C.
      lambda1: weight of the auxiliary loss.
      lambda2: weight of L_dis.
      beta: threshold of the discriminator in training, 0 to 1.
      dropout: rate of the dropout of whole channels.
    """

    pim: bool = True
    msf: bool = True
    pseudo_prototype: str = "ccm"
    aux_only: bool = False
    selected_loss: bool = False
    lambda1: float = 1.0
    lambda2: float = 1.0
    beta: float = 0.5
    dropout: float = 0.5


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
    """DPNet behind its backbone, whose shallow and deep features lie one after the other in the channels.

    Attributes:
      width: C, channels of the merged features.
      dis_hidden: hidden width of the discriminator.
      pim_hidden: hidden width of the prototype interaction.
      alpha_init: first value of its learnable scale.
      rates: dilations of the decoders.
      shallow: channels of the shallow features; all others are the deep ones.
      rectify: whether a ReLU is due before features are merged.
      aligned: whether the outermost cells lie on a photo's outermost pixels; all resizes follow it.
      auxiliary: whether there is an auxiliary branch.
      tile: rows of the matrix of cosines held at a time.
      dtype: what the convolutions compute in.
    """

    width: int
    dis_hidden: int
    pim_hidden: int
    alpha_init: float
    rates: Sequence[int]
    shallow: int
    rectify: bool
    aligned: bool
    auxiliary: bool = True
    tile: int = 256
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the modules, and so the parameters."""
        self.merge = Conv(self.width, 3, dilation=2, use_bias=True, dtype=self.dtype)
        self.discriminator = Discriminator(self.dis_hidden)
        self.interaction = PrototypeInteraction(self.pim_hidden, self.alpha_init)
        self.fusion = MultiScaleFusion(self.width, self.aligned)
        self.decoder = Decoder(self.width, self.rates, self.dtype, DECODER_SITE)
        if self.auxiliary:
            self.aux_decoder = Decoder(self.width, self.rates, self.dtype, AUX_SITE)

    def describe(
        self,
        features: Features,
        masks: UInt8[Array, "*photos H W"],
        pixels: Int[Array, "*photos 2"],
        dropout: float = 0.0,
        keys: Key[Array, "*photos"] | None = None,
    ) -> tuple[Features, Shown]:
        """Returns what is compared of photos, whatever their masks, and what they show under these.

        Args:
          features: the backbone's, [*photos, h, w, shallow + deep].
          masks: 1 the class, 0 background, 255 all else, which is neither foreground nor pooled.
          pixels: their valid heights and widths.
          dropout: rate of the merged features' dropout.
          keys: of the dropout; None in evaluation.
        """
        merged = self._merge(features, dropout, keys)
        shown = show(merged, features.sizes, masks == 1, pixels, aligned=self.aligned)
        return deep_part(features, self.shallow), shown

    def segment(
        self,
        supports: Supports,
        features: Features,
        switches: Switches,
        beta: float | Array,
        keys: Keys | None = None,
    ) -> Segmented:
        """Segments each query by each way; the averages over shots skip those that are not present.

        Args:
          supports: of a batch of episodes.
          features: the queries', [B, T, h, w, shallow + deep].
          switches: what is turned on.
          beta: threshold of the discriminator.
          keys: of the dropout; None in evaluation.
        """
        queries = self._merge(features, switches.dropout, None if keys is None else keys.queries)
        B, T, h, w, C = queries.shape
        comparison = compare(supports, deep_part(features, self.shallow), self.tile)
        prototypes, present = supports.shown.prototype, supports.present
        confidence = self.discriminator(
            queries.reshape(B, 1, T, 1, h * w, C), prototypes[:, :, None, :, None]
        )
        valid = inside((h, w), features.sizes).reshape(B, T, h * w)
        chosen = select(switches.pseudo_prototype, comparison, jax.nn.sigmoid(confidence), valid, beta)
        each = pseudo_prototypes(queries, chosen, prototypes)
        pseudo = mean_of_present(each, present[:, :, None, :, None], 3)
        prototype = mean_of_present(prototypes, present[..., None], 2)
        prototype = jnp.broadcast_to(prototype[:, :, None], pseudo.shape)
        master, aux = self._decode(prototype, pseudo, queries, features.sizes, switches, keys)
        return Segmented(master, aux, comparison, confidence, chosen)

    def _merge(self, features: Features, dropout: float, keys: Array | None) -> Array:
        """Returns F: shallow and deep features, after their ReLU, merged to C channels (as CANet does)."""
        lead = features.sizes.shape[:-1]
        cells = features.sizes.reshape(-1, 2)
        flat = features.map.reshape(-1, *features.map.shape[-3:])
        x = nn.relu(self.merge(nn.relu(flat) if self.rectify else flat).astype(jnp.float32))
        x = channel_dropout(x, None if keys is None else keys.reshape(-1), MERGE_SITE, dropout)
        return zero_padding(x, cells).reshape(*lead, *x.shape[1:])

    def _recalibrate(self, prototype: Array, pseudo: Array, queries: Array, pim: bool) -> tuple[Array, ...]:
        """Returns both prototypes and each way's queries, their channels weighted (DPNet 4.3)."""
        if not pim:
            shape = (*pseudo.shape[:3], *queries.shape[2:])
            return prototype, pseudo, jnp.broadcast_to(queries[:, None], shape)
        factor = 1 + self.interaction(prototype, pseudo)
        p, p_q = factor * prototype, factor * pseudo  # DPNet Eq. 6 and DPNet Eq. 7
        return p, p_q, factor[..., None, None, :] * queries[:, None]  # DPNet Eq. 8

    def _decode(
        self,
        prototype: Array,
        pseudo: Array,
        queries: Array,
        cells: Array,
        switches: Switches,
        keys: Keys | None,
    ) -> tuple[Array, Array | None]:
        """Returns the logits of the master and of the auxiliary branch (DPNet 4.3 to 4.5)."""
        B, N, T, C = pseudo.shape
        p, p_q, recalibrated = self._recalibrate(prototype, pseudo, queries, switches.pim)
        pairs = recalibrated.reshape(-1, *queries.shape[2:])
        sizes = jnp.broadcast_to(cells[:, None], (B, N, T, 2)).reshape(-1, 2)
        drawn = None if keys is None else keys.pairs.reshape(-1)
        vectors = p.reshape(-1, C), p_q.reshape(-1, C)
        by_prototype, by_pseudo = self.fusion(pairs, sizes, *vectors, coarse=switches.msf)

        def decode(decoder: Decoder, x: Array) -> Array:
            logits = decoder(x, sizes, drawn, switches.dropout)
            return logits.reshape(B, N, T, *logits.shape[1:])

        master = decode(self.decoder, jnp.concatenate([by_prototype, by_pseudo], -1))
        return master, decode(self.aux_decoder, by_prototype) if self.auxiliary else None


def deep_part(features: Features, shallow: int) -> Features:
    """Returns the deep features, by which cells are compared (DPNet 4.2), without the shallow ones before."""
    return features._replace(map=features.map[..., shallow:])
