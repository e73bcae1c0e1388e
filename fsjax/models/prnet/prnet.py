"""PRNet: Prototype Refinement Network for Few-Shot Segmentation (Liu and Qin, arXiv 2002.03579).

The head has no parameters: its equations are functions of features, in prototypes.py (Eq. 1 to Eq. 3),
losses.py (Eq. 4), fusion.py (Eq. 7 to Eq. 14) and adaptation.py (Eq. 6). This module joins them to a feature
extractor. Without refinement (`fusion0`) and with `support_loss="panet"` it is PANet.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from fsjax.episode import Episode
from fsjax.models.backbones.backbone import DEEP, Backbone, Features
from fsjax.models.layers.cross_entropy import ABSENT, cross_entropy, upsample
from fsjax.models.layers.resize import resize_adjoint
from fsjax.models.prnet.adaptation import AdaptSettings, adapt, is_adapted, lowest_stage
from fsjax.models.prnet.explanation import FusionExplanation, explanation
from fsjax.models.prnet.fusion import FusionSettings, fuse, fusion_stages
from fsjax.models.prnet.gram import Score, SupportCells, gram_maps, of_classes, support_cells
from fsjax.models.prnet.losses import SUPPORT_LOSSES, segmentation_loss
from fsjax.models.prnet.prototypes import (
    Prototypes,
    average_shots,
    cosine_map,
    leave_one_out_prototypes,
    pool_classes,
    predicted_classes,
    query_prototypes,
    restricted,
    support_prototypes,
)
from fsjax.models.variables import Variables

Description = tuple[Any, Any]
"""No cells; a photo's mean features under its class and under background.

With `PRNet.gram` all its features, and beside the means how much of each every cell is.
"""


class Known(NamedTuple):
    """What is known of background and each way: prototypes, and for Gram maps the cells, too."""

    prototypes: Prototypes
    supports: SupportCells | None = None


@dataclass(frozen=True)
class PRNet:
    """PRNet over any backbone, whose deep features it compares (4.1).

    Attributes:
      backbone: the feature extractor.
      scale: of the cosines before the softmax; the paper gives none, PANet takes 20.
      support_loss: how query prototypes segment the supports in training: among all N + 1 classes ("nway",
        Eq. 4), or each way against background alone ("panet").
      gram: whether descriptions hold what Gram maps need: all features of every support.
    """

    backbone: Backbone
    scale: float = 20.0
    support_loss: str = "nway"
    gram: bool = False

    frozen: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = ("fusion0", "fusion1", "fusion2")
    plain: ClassVar[str] = "fusion0"
    final: ClassVar[str] = "fusion2"

    def suited(self, settings: FusionSettings) -> "PRNet":
        """Returns it with descriptions that hold what the settings need."""
        return replace(self, gram=True) if settings.gram else self

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""
        return {"backbone": self.backbone.init(rng), "head": self.init_head(rng)}

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns the head's parameters: it has none."""
        del rng
        return {}

    def side(self, pixels: Any) -> Any:
        """Returns the side of a photo nearest to so many pixels that fits the backbone's cells."""
        return self.backbone.side(pixels)

    def embed(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]
    ) -> Features:
        """Returns the features of photos.

        Args:
          variables: of the method.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths, in pixels.
        """
        return self.backbone.embed(variables["backbone"], images, sizes)[DEEP]

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "B H W 3"],
        sizes: Int[Array, "B 2"],
        weights: Float[Array, " B"],
    ) -> tuple[Features, Variables]:
        """Returns the features of photos in training, and the variables with their statistics moved on.

        Args:
          variables: of the method.
          images: as in `embed`.
          sizes: as in `embed`.
          weights: 0 for the images that must not count in statistics.
        """
        features, backbone = self.backbone.embed_training(variables["backbone"], images, sizes, weights)
        return features[DEEP], {**variables, "backbone": backbone}

    def loss(
        self,
        variables: Variables,
        supports: Features,
        queries: Features,
        episodes: Episode,
        rngs: Key[Array, " B"],
    ) -> tuple[Float[Array, " B"], dict[str, Float[Array, " B"]]]:
        """Returns L_train of PRNet Eq. 5 for each episode, and its two terms.

        Support prototypes segment the queries (Eq. 1 and Eq. 2); the query prototypes of the predicted masks
        segment the supports (Eq. 3 and Eq. 4). A class that the prediction does not hold drops out of the
        support loss. The query's mean runs over all pixels of all queries together.

        Args:
          variables: unused, the head has none.
          supports: features of the supports, [B, N, K, h, w, C].
          queries: features of the queries, [B, T, h, w, C].
          episodes: for their masks.
          rngs: unused, nothing is drawn.
        """
        del variables, rngs
        terms = jax.vmap(self._losses)(supports, queries, episodes)
        return terms["query_loss"] + terms["support_loss"], terms

    def _losses(self, supports: Features, queries: Features, episode: Episode) -> dict[str, Array]:
        masks, pixels = episode.support_masks, episode.support_sizes
        p_s = support_prototypes(supports.map, masks, supports.sizes, pixels)
        query_loss = segmentation_loss(
            queries, episode.query_masks, episode.query_mask_sizes, p_s, self.scale
        )
        m_q = jax.vmap(cosine_map, (0, None))(queries.map, p_s.vectors)
        predicted = jax.vmap(predicted_classes, (0, None, 0))(m_q, p_s.present, queries.sizes)
        classes = jnp.arange(p_s.present.shape[0])
        p_q, _ = query_prototypes(queries.map, predicted[..., None] == classes[None, None, None])  # Eq. 3
        support_loss = SUPPORT_LOSSES[self.support_loss](supports, masks, pixels, p_q, self.scale)
        return {"query_loss": query_loss, "support_loss": support_loss}

    def below(
        self,
        variables: Variables,
        images: UInt8[Array, "B H W 3"],
        sizes: Int[Array, "B 2"],
        settings: AdaptSettings,
    ) -> Any:
        """Returns what tuning by these settings leaves as it is of photos' features, for `above`.

        The arguments are those of `embed`, and how the backbone is tuned.
        """
        return self.backbone.below(variables["backbone"], images, sizes, self._stage(variables, settings))

    def above(self, variables: Variables, below: Any, settings: AdaptSettings) -> Features:
        """Returns the features that `embed` returns, from what `below` does."""
        return self.backbone.above(variables["backbone"], below, self._stage(variables, settings))[DEEP]

    def _stage(self, variables: Variables, settings: AdaptSettings) -> int:
        return lowest_stage(self.backbone, variables["backbone"]["params"], settings.parameters)

    def adapt(
        self,
        variables: Variables,
        supports: Any,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
        settings: AdaptSettings,
        probe: Callable[[Variables], Any] | None = None,
    ) -> tuple[Variables, Any]:
        """Tunes the backbone to one episode's supports (PRNet Eq. 6), by their own prototypes.

        Args:
          variables: of the method; they are left as they are.
          supports: of `below`, for the N K photos in one batch.
          masks: 0 background, 1..N the ways, 255 ignored.
          sizes: their heights and widths, in pixels.
          settings: steps, learning rate and which parameters.
          probe: what to report of the variables after each step, e.g. a query's prediction (Figure 2).

        Returns:
          The tuned variables and the probe's values, stacked over steps.
        """

        def with_params(params):
            return {**variables, "backbone": {**variables["backbone"], "params": params}}

        tuned, values = adapt(
            variables["backbone"]["params"],
            lambda params: self.adaptation_loss(
                self.above(with_params(params), supports, settings), masks, sizes, settings.leave_one_out
            ),
            settings,
            lambda path: is_adapted(self.backbone, path, settings.parameters),
            None if probe is None else lambda params: probe(with_params(params)),
        )
        return with_params(tuned), values

    def adaptation_loss(
        self,
        features: Features,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
        leave_one_out: bool = False,
    ) -> Float[Array, ""]:
        """Returns L_adapt of PRNet Eq. 6: the supports segmented by the prototypes of the supports.

        Args:
          features: of the N K supports, in one batch.
          masks: as in `adapt`.
          sizes: as in `adapt`.
          leave_one_out: see `AdaptSettings`.
        """
        N, K = masks.shape[:2]
        flat_masks, flat_sizes = _flatten_shots((masks, sizes))
        supports = jax.tree.map(lambda x: x.reshape(N, K, *x.shape[1:]), features)
        pool = leave_one_out_prototypes if leave_one_out and K > 1 else support_prototypes
        p_s = pool(supports.map, masks, supports.sizes, sizes)
        if p_s.vectors.ndim == 2:
            p_s = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (K, *x.shape)), p_s)
        by_shot = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (N, *x.shape)), p_s)
        by_image = jax.tree.map(lambda x: x.reshape(N * K, *x.shape[2:]), by_shot)
        m_s = self.scale * jax.vmap(cosine_map)(features.map, by_image.vectors)
        return cross_entropy(m_s, flat_masks, features.sizes, flat_sizes, by_image.present)

    def describe(
        self, variables: Variables, features: Features, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> Description:
        """Returns what one photo shows of one class: the terms of PRNet Eq. 1 before they are averaged.

        Args:
          variables: unused, the head has none.
          features: of the photo.
          mask: 1 the class, 0 background, 255 all else.
          size: the mask's valid height and width, in pixels.
        """
        del variables
        pooled = pool_classes(features.map, mask, features.sizes, size)
        if not self.gram:
            return (), pooled
        shown = (mask[None] == jnp.array([1, 0], mask.dtype)[:, None, None]).astype(jnp.float32)
        weights = resize_adjoint(shown, features.map.shape[:2], in_size=features.sizes, out_size=size)
        return features.map, (*pooled, weights)

    def fit(self, variables: Variables, descriptions: Description, present: Bool[Array, "N K"]) -> Known:
        """Returns the support prototypes p_s (PRNet Eq. 1), and with `gram` the cells that they are means of.

        Args:
          variables: unused, the head has none.
          descriptions: of `describe`, [N, K, ...].
          present: which of them are there.
        """
        del variables
        features, (ways, background, *weights) = descriptions
        prototypes = average_shots(restricted(ways, present), restricted(background, present))
        supports = support_cells(features, of_classes(weights[0], present)) if self.gram else None
        return Known(prototypes, supports)

    def segment(
        self,
        variables: Variables,
        fitted: Known,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: FusionSettings,
    ) -> dict[str, Float[Array, "T H W classes"]]:
        """Returns the logits of every pixel without fusion and after its two stages, in one pass.

        Args:
          variables: unused, the head has none.
          fitted: of `fit`.
          queries: features of the queries, [T, h, w, C].
          shape: height and width of the arrays that the masks lie in, in pixels.
          sizes: the masks' valid heights and widths.
          settings: of the fusion.

        Returns:
          "fusion0", "fusion1" and "fusion2": scaled cosines, upsampled to the labels. With `gram` of the
          settings scaled scores: the larger of a class's cosine and its Gram map times their mean.
        """
        del variables
        maps = fuse(queries.map, queries.sizes, fitted.prototypes, settings)
        present = fitted.prototypes.present

        def full(similarities):
            return upsample(similarities, shape, queries.sizes, sizes)

        if settings.gram:
            assert fitted.supports is not None, "a segmenter's method suits its settings"
            gram = full(gram_maps(queries.map, queries.sizes, fitted.supports))

        def logits(similarities):
            if not settings.gram:
                return jnp.where(present[None, None, None], full(self.scale * similarities), ABSENT)
            score = Score.begin(gram.shape).add(full(similarities), present).add(gram, present)
            return jnp.where(present[None, None, None], self.scale * score.value, ABSENT)

        return {name: logits(similarities) for name, similarities in maps._asdict().items()}

    def explain(
        self, variables: Variables, fitted: Known, queries: Features, settings: FusionSettings
    ) -> FusionExplanation:
        """Returns what either stage of fusion compares and selects in the first query (Figure 1): cosines.

        The arguments are those of `segment`.
        """
        del variables
        stages = fusion_stages(queries.map, queries.sizes, fitted.prototypes, settings)
        return explanation(stages, queries.sizes)


def _flatten_shots(tree: Any) -> Any:
    """Joins the way and shot axes, [N, K, ...] to [N K, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)
