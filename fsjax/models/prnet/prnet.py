"""PRNet: Prototype Refinement Network for Few-Shot Segmentation (Liu and Qin, arXiv 2002.03579).

The head has no parameters: its equations are functions of features, in prototypes.py (Eq. 1 to Eq. 4),
fusion.py (Eq. 7 to Eq. 14) and adaptation.py (Eq. 6). This module joins them to a feature extractor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key, UInt8
from ml_collections import ConfigDict

from fsjax.episode import Episode
from fsjax.models.backbones.resnet import Features, draw_extractor
from fsjax.models.layers.cross_entropy import ABSENT, cross_entropy, upsample
from fsjax.models.prnet.adaptation import AdaptSettings, adapt, is_adapted
from fsjax.models.prnet.fusion import FusionSettings, fuse
from fsjax.models.prnet.prototypes import (
    Prototypes,
    cosine_map,
    leave_one_out_prototypes,
    predicted_classes,
    query_prototypes,
    support_prototypes,
)
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class PRNet:
    """PRNet over any extractor that turns uint8 photos into named feature maps.

    Attributes:
      extractor: a linen module, called with uint8 images [B, H, W, 3] and their sizes [B, 2].
      feature: the name of the extractor's map that is compared, the last stage's before its ReLU (4.1).
      last_stage: how the modules of the extractor's last stage are named, for adapting only it.
      batch_statistics: whether training normalises by the batch (an extractor trained from scratch) or by
        the running statistics, which then stay as they are (one that starts from ImageNet).
      scale: of the cosines before the softmax; the paper gives none, PANet takes 20.
    """

    extractor: nn.Module
    feature: str
    last_stage: str = ""
    batch_statistics: bool = False
    scale: float = 20.0

    frozen: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = ("fusion0", "fusion1", "fusion2")
    plain: ClassVar[str] = "fusion0"
    final: ClassVar[str] = "fusion2"

    def settings(self, evaluation: ConfigDict) -> FusionSettings:
        """Returns the settings of `segment` that `config.eval` describes."""
        return FusionSettings(**evaluation.fusion)

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""
        return {"backbone": draw_extractor(self.extractor, rng), "head": self.init_head(rng)}

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns the head's parameters: it has none."""
        del rng
        return {}

    def embed(
        self,
        variables: Variables,
        images: UInt8[Array, "B H W 3"],
        sizes: Int[Array, "B 2"],
        *,
        train: bool = False,
        weights: Float[Array, " B"] | None = None,
    ) -> tuple[Features, Variables]:
        """Extracts the features of all images of a device's batch.

        Args:
          variables: of the method.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths.
          train: whether this is a training step; see `batch_statistics`.
          weights: 0 for the images that must not count in batch statistics; all count by default.

        Returns:
          The features and the extractor's new statistics (the old ones unless batch statistics are taken).
        """
        backbone = variables["backbone"]
        if train and self.batch_statistics:
            maps, updated = self.extractor.apply(
                backbone, images, sizes, batch_statistics=True, weights=weights, mutable=["batch_stats"]
            )
            return maps[self.feature], updated["batch_stats"]
        maps = self.extractor.apply(backbone, images, sizes)
        return maps[self.feature], backbone.get("batch_stats", {})

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
        segment the supports (Eq. 3 and Eq. 4), with N + 1 classes. A class that the prediction does not hold
        drops out of the support loss. Both means run over all pixels of all images together.

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
        p_s = support_prototypes(supports.map, episode.support_masks, supports.sizes, episode.support_sizes)
        m_q = self._compare(queries.map, p_s)
        query_loss = self._cross_entropy(
            m_q, episode.query_masks, queries.sizes, episode.query_mask_sizes, p_s
        )
        predict = jax.vmap(predicted_classes, (0, None, 0))
        predicted = predict(m_q, p_s.present, queries.sizes)
        classes = jnp.arange(p_s.present.shape[0])
        p_q, _ = query_prototypes(queries.map, predicted[..., None] == classes[None, None, None])  # Eq. 3
        flat, masks, sizes = _flatten_shots(supports, episode.support_masks, episode.support_sizes)
        m_s = self._compare(flat.map, p_q)  # Eq. 4
        support_loss = self._cross_entropy(m_s, masks, flat.sizes, sizes, p_q)
        return {"query_loss": query_loss, "support_loss": support_loss}

    def adapt(
        self,
        variables: Variables,
        episode: Episode,
        settings: AdaptSettings,
        probe: Callable[[Variables], Any] | None = None,
    ) -> tuple[Variables, Any]:
        """Tunes the extractor to one episode's supports (PRNet Eq. 6), by their own prototypes.

        Args:
          variables: of the method; they are left as they are.
          episode: only its supports are looked at.
          settings: steps, learning rate and which parameters.
          probe: what to report of the variables after each step, e.g. a query's prediction (Figure 2).

        Returns:
          The tuned variables and the probe's values, stacked over steps.
        """

        def with_params(params):
            return {**variables, "backbone": {**variables["backbone"], "params": params}}

        return_params, values = adapt(
            variables["backbone"]["params"],
            lambda params: self.adaptation_loss(with_params(params), episode, settings.leave_one_out),
            settings,
            lambda path: is_adapted(path, self.last_stage, settings.parameters),
            None if probe is None else lambda params: probe(with_params(params)),
        )
        return with_params(return_params), values

    def adaptation_loss(
        self, variables: Variables, episode: Episode, leave_one_out: bool = False
    ) -> Float[Array, ""]:
        """Returns L_adapt of PRNet Eq. 6: the supports segmented by the prototypes of the supports."""
        N, K = episode.support_masks.shape[:2]
        flat, _ = self.embed(variables, *_flat_supports(episode))
        supports = jax.tree.map(lambda x: x.reshape(N, K, *x.shape[1:]), flat)
        pool = leave_one_out_prototypes if leave_one_out and K > 1 else support_prototypes
        p_s = pool(supports.map, episode.support_masks, supports.sizes, episode.support_sizes)
        if p_s.vectors.ndim == 2:
            p_s = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (K, *x.shape)), p_s)
        by_shot = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (N, *x.shape)), p_s)
        by_image = jax.tree.map(lambda x: x.reshape(N * K, *x.shape[2:]), by_shot)
        m_s = self.scale * jax.vmap(cosine_map)(flat.map, by_image.vectors)
        _, masks, sizes = _flatten_shots(supports, episode.support_masks, episode.support_sizes)
        return cross_entropy(m_s, masks, flat.sizes, sizes, by_image.present)

    def fit(
        self,
        variables: Variables,
        supports: Features,
        masks: UInt8[Array, "N K H W"],
        sizes: Int[Array, "N K 2"],
    ) -> Prototypes:
        """Returns the support prototypes p_s (PRNet Eq. 1), all that segmenting needs of the supports."""
        del variables
        return support_prototypes(supports.map, masks, supports.sizes, sizes)

    def segment(
        self,
        variables: Variables,
        fitted: Prototypes,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: FusionSettings,
    ) -> dict[str, Float[Array, "T H W classes"]]:
        """Returns the logits of every pixel without fusion and after its two stages, in one pass.

        Args:
          variables: unused, the head has none.
          fitted: p_s.
          queries: features of the queries, [T, h, w, C].
          shape: height and width of the arrays that the labels lie in, in pixels.
          sizes: the labels' own heights and widths.
          settings: of the fusion.

        Returns:
          "fusion0", "fusion1" and "fusion2": scaled cosines, upsampled to the labels.
        """
        del variables
        maps = fuse(queries.map, queries.sizes, fitted, settings)

        def logits(similarities):
            full = upsample(self.scale * similarities, shape, queries.sizes, sizes)
            return jnp.where(fitted.present[None, None, None], full, ABSENT)

        return {name: logits(similarities) for name, similarities in maps._asdict().items()}

    def _compare(self, features, prototypes: Prototypes):
        return jax.vmap(cosine_map, (0, None))(features, prototypes.vectors)

    def _cross_entropy(self, similarities, masks, cells, pixels, prototypes: Prototypes):
        present = jnp.broadcast_to(prototypes.present[None], (masks.shape[0], *prototypes.present.shape))
        return cross_entropy(self.scale * similarities, masks, cells, pixels, present)


def _flat_supports(episode: Episode) -> tuple[Array, Array]:
    images, sizes = episode.support_images, episode.support_sizes
    return images.reshape(-1, *images.shape[2:]), sizes.reshape(-1, 2)


def _flatten_shots(supports: Features, masks, sizes) -> tuple[Features, Array, Array]:
    """Joins the way and shot axes, [N, K, ...] to [N K, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (supports, masks, sizes))
