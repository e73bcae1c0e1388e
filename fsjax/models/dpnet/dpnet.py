"""DPNet, "Learning from the Target: Dual Prototype Network for Few Shot Semantic Segmentation".

Binjie Mao and others, AAAI 2022.

The parts are in cycle.py (Eq. 1, Eq. 2), pseudo_prototype.py (Eq. 3), pair.py (Eq. 4, Eq. 5), multiscale.py
and aspp.py; dpnet_head.py joins them (Eq. 6 to Eq. 8). This module adds the frozen extractor and the losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, Num, UInt8
from ml_collections import ConfigDict

from fsjax.episode import IGNORED, Episode
from fsjax.errors import InputError
from fsjax.models.backbones.resnet import Features, blank_photo, draw_extractor
from fsjax.models.dpnet.cycle import match_cells
from fsjax.models.dpnet.head import Head, Keys, Segmented, Switches, compared
from fsjax.models.dpnet.pseudo_prototype import PSEUDO_PROTOTYPES, Supports
from fsjax.models.layers.cross_entropy import cross_entropy, upsample
from fsjax.models.layers.padding import strided, zero_padding
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class DPNetSettings:
    """How DPNet segments after training.

    Attributes:
      beta: threshold of the discriminator; the paper takes 0.2 (0.5 in training, and for its Table 5).
    """

    beta: float = 0.2

    def __post_init__(self):
        if not 0 <= self.beta <= 1:
            raise InputError(f"eval.beta is {self.beta}: choose 0 to 1.")


class Explanation(NamedTuple):
    """The cycle comparison of one support with one query, for pictures (DPNet Figure 3).

    Maps are whole grids, padding included, and indices count the other grid's cells row by row.
    """

    forward: Int[Array, "hs ws"]  # of each support cell, its most similar query cell (DPNet Eq. 1)
    backward: Int[Array, "hq wq"]  # of each query cell, its most similar support cell (DPNet Eq. 2)
    foreground: Bool[Array, "hs ws"]
    similarity: Float[Array, "hq wq"]  # the largest cosine with a foreground cell
    confidence: Float[Array, "hq wq"]  # the discriminator's output, 0 to 1
    selected: Bool[Array, "hq wq"]  # the cells of the pseudo-prototype
    support_cells: Int[Array, "2"]  # valid heights and widths
    query_cells: Int[Array, "2"]


@dataclass(frozen=True)
class DPNet:
    """DPNet over any extractor of stride 8 that turns uint8 photos into named feature maps.

    Attributes:
      extractor: a linen module, called with uint8 images [B, H, W, 3] and their sizes [B, 2]. It is frozen.
      head: the learnable part.
      switches: what is turned on in training and evaluation.
    """

    extractor: nn.Module
    head: Head
    switches: Switches = field(default_factory=Switches)

    frozen: ClassVar[bool] = True
    final: ClassVar[str] = "master"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The auxiliary branch, which decodes no pseudo-prototype, and the master branch.

        Both see the pseudo-prototype through W of DPNet Eq. 5, which recalibrates the query's features.
        """
        return ("aux", "master") if self.head.auxiliary else ("master",)

    @property
    def plain(self) -> str:
        """The branch that decodes no pseudo-prototype, where there is one."""
        return self.outputs[0]

    def settings(self, evaluation: ConfigDict) -> DPNetSettings:
        """Returns the settings of `segment` that `config.eval` describes."""
        return DPNetSettings(evaluation.beta)

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""
        return {"backbone": draw_extractor(self.extractor, rng), "head": self.init_head(rng)}

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns freshly drawn parameters of the head; the extractor's are not drawn.

        Raises:
          InputError: for an extractor whose third stage is not twice as wide as its second.
        """
        maps, _ = jax.eval_shape(lambda: self.extractor.init_with_output(rng, *blank_photo()))
        second, third = (maps[stage].map.shape[-1] for stage in ("stage2", "stage3_pre"))
        if third != 2 * second:
            raise InputError(
                f"DPNet's extractor has {second} channels in stage 2 and {third} in stage 3: make the third "
                "stage twice as wide as the second."
            )
        channels = second + third
        supports = Features(jnp.zeros((1, 1, 1, 5, 5, channels)), jnp.full((1, 1, 1, 2), 5, jnp.int32))
        queries = jax.tree.map(lambda x: x[:, 0], supports)
        masks, pixels = jnp.ones((1, 1, 1, 33, 33), jnp.uint8), jnp.full((1, 1, 1, 2), 33, jnp.int32)

        def both(head: Head):
            return head.segment(head.summarize(supports, masks, pixels, 0.0), queries, Switches(), 0.5)

        return jax.jit(lambda rng: self.head.init(rng, method=both)["params"])(rng)

    def embed(
        self,
        variables: Variables,
        images: Num[Array, "B H W c"],
        sizes: Int[Array, "B 2"],
        *,
        train: bool = False,
        weights: Float[Array, " B"] | None = None,
    ) -> tuple[Features, Variables]:
        """Extracts the features of all images of a device's batch; nothing of the extractor is learned.

        Args:
          variables: of the method.
          images: RGB, 0 to 255, each in the top-left rectangle of its array; or cached features, float16
            [B, h, w, C], which are passed through.
          sizes: the rectangles' heights and widths, in pixels of the photos.
          train: unused, statistics are never updated.
          weights: unused.

        Returns:
          Stage 2 after its ReLU and stage 3 before it, one after the other in the channels; no statistics.
        """
        del train, weights
        if jnp.issubdtype(images.dtype, jnp.floating):
            cells = strided(sizes, 8)
            return Features(zero_padding(images.astype(jnp.float32), cells), cells), {}
        return _stages(self.extractor.apply(variables["backbone"], images, sizes)), {}

    def loss(
        self,
        variables: Variables,
        supports: Features,
        queries: Features,
        episodes: Episode,
        rngs: Key[Array, " B"],
    ) -> tuple[Float[Array, " B"], dict[str, Float[Array, " B"]]]:
        """Returns L_all of DPNet Eq. 11 for each episode, and its terms.

        With N ways, every way is a binary problem of its own. L_dis belongs to the cycle comparison, and is
        left out where pseudo-prototypes come from elsewhere.

        Args:
          variables: of the method; only the head's are used.
          supports: features of the supports, [B, N, K, h, w, C].
          queries: features of the queries, [B, T, h, w, C].
          episodes: for their masks.
          rngs: decide the dropout.
        """
        switches = self.switches
        B, N, K = supports.sizes.shape[:3]
        T = queries.sizes.shape[1]
        keys = _keys(rngs, N, K, T)
        fitted = self._apply(
            variables, "summarize", supports, episodes.support_masks, episodes.support_sizes,
            switches.dropout, keys.supports,
        )  # fmt: skip
        found = self._apply(variables, "segment", fitted, queries, switches, switches.beta, keys)
        labels = _binary(episodes.query_masks, N)
        sizes = [
            jnp.broadcast_to(x[:, None], (B, N, T, 2)).reshape(B, N * T, 2)
            for x in (queries.sizes, episodes.query_mask_sizes)
        ]

        def entropy(logits):
            flat, truth = (x.reshape(B, N * T, *x.shape[3:]) for x in (logits, labels))
            present = jnp.ones((B, N * T, 2), bool)
            return jax.vmap(lambda *one: cross_entropy(*one, align_corners=True))(
                flat, truth, *sizes, present
            )  # DPNet Eq. 9

        terms = {
            "seg_loss": entropy(found.master),
            "dis_loss": self._discriminator_loss(found, labels, sizes),
        }
        total = (1 - switches.aux_only) * (terms["seg_loss"] + switches.lambda2 * terms["dis_loss"])
        if found.aux is not None:
            terms["aux_loss"] = entropy(found.aux)
            weight = jnp.where(switches.aux_only > 0, 1.0, switches.lambda1)
            total += weight * terms["aux_loss"]  # DPNet Eq. 11
        return total, terms

    def _discriminator_loss(self, found: Segmented, labels, sizes) -> Float[Array, " B"]:
        """Returns L_dis of DPNet Eq. 10, the mean over all pairs and shots of an episode; void is skipped."""
        B, N, T = labels.shape[:3]
        grid = found.master.shape[3:5]
        cells, pixels = sizes
        sample = jax.vmap(lambda mask, cells, pixels: nearest_labels(mask, grid, cells, pixels))
        truth = sample(
            labels.reshape(B * N * T, *labels.shape[3:]), cells.reshape(-1, 2), pixels.reshape(-1, 2)
        ).reshape(B, N, T, 1, -1)
        is_ccm = self.switches.pseudo_prototype == PSEUDO_PROTOTYPES.index("ccm")
        judged = jnp.where(self.switches.selected_loss > 0, found.selected, found.comparison.candidates)
        judged = judged & (truth != IGNORED) & is_ccm
        target = (truth == 1).astype(jnp.float32)
        logits = found.confidence
        entropy = jax.nn.softplus(logits) - target * logits
        count = jnp.sum(judged, -1)
        each = jnp.sum(jnp.where(judged, entropy, 0.0), -1) / jnp.maximum(count, 1)
        return jnp.mean(each, (1, 2, 3))

    def fit(
        self,
        variables: Variables,
        supports: Features,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
    ) -> Supports:
        """Returns all that segmenting needs of the supports [N, K, ...]."""
        supports, masks, sizes = jax.tree.map(lambda x: x[None], (supports, masks, sizes))
        fitted = self._apply(variables, "summarize", supports, masks, sizes, 0.0)
        return jax.tree.map(lambda x: x[0], fitted)

    def segment(
        self,
        variables: Variables,
        fitted: Supports,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: DPNetSettings,
    ) -> dict[str, Float[Array, "T H W classes"]]:
        """Returns the log probabilities of every pixel by both branches.

        The paper is one-way. Of N ways each is segmented by itself, and background is the complement of the
        best way; for N > 1 the probabilities therefore do not add up to one.

        Args:
          variables: of the method; only the head's are used.
          fitted: of `fit`.
          queries: features of the queries, [T, h, w, C].
          shape: height and width of the arrays that the labels lie in, in pixels.
          sizes: the labels' own heights and widths.
          settings: the threshold at test.
        """
        found = self._segment(variables, fitted, queries, settings.beta)

        def whole(logits):
            ways = jax.vmap(lambda one: upsample(one, shape, queries.sizes, sizes, align_corners=True))(
                logits[0]
            )
            margin = ways[..., 1] - ways[..., 0]
            background = jnp.min(jax.nn.log_sigmoid(-margin), 0)
            return jnp.concatenate([background[None], jax.nn.log_sigmoid(margin)]).transpose(1, 2, 3, 0)

        maps = {"aux": found.aux, "master": found.master}
        return {name: whole(maps[name]) for name in self.outputs}

    def explain(
        self,
        variables: Variables,
        supports: Features,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
        queries: Features,
        settings: DPNetSettings,
    ) -> Explanation:
        """Returns what the cycle comparison finds between the first way's first support and the first query.

        The arguments are those of `fit` and `segment`.
        """
        fitted = self.fit(variables, supports, masks, sizes)
        found = self._segment(variables, fitted, queries, settings.beta)
        found = jax.tree.map(lambda x: x[0, 0, 0, 0], (found.comparison, found.confidence, found.selected))
        comparison, confidence, selected = found
        support, query = fitted.compared[0, 0], compared(queries.map)[0]
        cells = query.reshape(-1, query.shape[-1])
        foreground = fitted.foreground[0, 0]
        of_foreground = match_cells(support, cells, foreground, jnp.ones(len(cells), bool))
        support_grid, query_grid = supports.map.shape[2:4], query.shape[:2]
        return Explanation(
            forward=comparison.matches.forward.reshape(support_grid),
            backward=comparison.matches.backward.reshape(query_grid),
            foreground=foreground.reshape(support_grid),
            similarity=of_foreground.similarity.reshape(query_grid),
            confidence=jax.nn.sigmoid(confidence).reshape(query_grid),
            selected=selected.reshape(query_grid),
            support_cells=supports.sizes[0, 0],
            query_cells=queries.sizes[0],
        )

    def _segment(self, variables, fitted, queries, beta) -> Segmented:
        fitted, queries = jax.tree.map(lambda x: x[None], (fitted, queries))
        return self._apply(variables, "segment", fitted, queries, self.switches, beta)

    def _apply(self, variables, method, *arguments):
        return self.head.apply({"params": variables["head"]}, *arguments, method=method)


def nearest_labels(
    mask: UInt8[Array, "H W"], shape: tuple[int, int], cells: Int[Array, "2"], pixels: Int[Array, "2"]
) -> UInt8[Array, "h w"]:
    """Returns the label of the pixel nearest to each cell's centre (align_corners), y_j of DPNet Eq. 10."""
    at = []
    for axis in (0, 1):
        step = (pixels[axis] - 1) / jnp.maximum(cells[axis] - 1, 1)
        place = jnp.round(jnp.arange(shape[axis]) * step).astype(jnp.int32)
        at.append(jnp.clip(place, 0, mask.shape[axis] - 1))
    return mask[at[0][:, None], at[1][None]]


def _binary(masks: UInt8[Array, "B T H W"], ways: int) -> UInt8[Array, "B N T H W"]:
    """Returns each way's own masks: 1 the way, 0 anything else, 255 ignored."""
    way = jnp.arange(1, ways + 1, dtype=masks.dtype)[None, :, None, None, None]
    each = masks[:, None]
    return jnp.where(each == IGNORED, IGNORED, (each == way).astype(masks.dtype))


def _stages(maps: Mapping[str, Features]) -> Features:
    second, third = maps["stage2"], maps["stage3_pre"]
    return Features(jnp.concatenate([second.map, third.map], -1), third.sizes)


def _keys(rngs: Key[Array, " B"], ways: int, shots: int, queries: int) -> Keys:
    """Derives a key for each support, query and pair; more ways or shots change no earlier way's."""

    def derive(kind, *shape):
        def of(*numbers):
            def one(rng):
                for number in (kind, *numbers):
                    rng = jax.random.fold_in(rng, number)
                return rng

            return jax.vmap(one)(rngs)

        grid = jnp.indices(shape).reshape(len(shape), -1)
        keys = jax.vmap(of, out_axes=1)(*grid)
        return keys.reshape(len(rngs), *shape)

    return Keys(derive(0, ways, shots), derive(1, queries), derive(2, ways, queries))
