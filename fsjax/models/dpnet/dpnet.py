"""DPNet, "Learning from the Target: Dual Prototype Network for Few Shot Semantic Segmentation".

Binjie Mao and others, AAAI 2022.

The parts are in cycle.py (Eq. 1, Eq. 2), pseudo_prototype.py (Eq. 3), interaction.py (Eq. 4, Eq. 5),
multiscale.py and decoder.py; head.py joins them (Eq. 6 to Eq. 8), and losses.py trains them (Eq. 9 to
Eq. 11). This module adds the frozen backbone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float16, Int, Key, UInt8

from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.models.backbones.backbone import DEEP, SHALLOW, Backbone, Features
from fsjax.models.dpnet.explanation import Explanation, explanation
from fsjax.models.dpnet.head import Head, Keys, Segmented, Switches, deep_part
from fsjax.models.dpnet.losses import (
    discriminator_loss,
    own_masks,
    segmentation_loss,
    total_loss,
    truth_of,
)
from fsjax.models.dpnet.pseudo_prototype import Shown, Supports
from fsjax.models.layers.cross_entropy import ABSENT, upsample
from fsjax.models.layers.padding import zero_padding
from fsjax.models.variables import Variables


@dataclass(frozen=True)
class DPNetSettings:
    """How DPNet segments after training.

    Attributes:
      beta: threshold of the discriminator, 0 to 1; the paper takes 0.2, and 0.5 in training and for Table 5.
    """

    beta: float = 0.2


@dataclass(frozen=True)
class DPNet:
    """DPNet over any backbone whose shallow and deep features lie on one grid.

    Features are the shallow and the deep ones, one after the other in the channels.

    Attributes:
      backbone: it is frozen.
      head: the learnable part.
      switches: what is turned on in training and evaluation.
    """

    backbone: Backbone
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
    def lacking(self) -> dict[str, str]:
        """The auxiliary branch and why it is not there, of a method without it."""
        reason = "this DPNet has no auxiliary branch, which an exported model drops"
        return {} if self.head.auxiliary else {"aux": reason}

    @property
    def plain(self) -> str:
        """The branch that decodes no pseudo-prototype, where there is one."""
        return self.outputs[0]

    def init(self, rng: jax.Array) -> Variables:
        """Returns freshly drawn variables."""
        return {"backbone": self.backbone.init(rng), "head": self.init_head(rng)}

    def init_head(self, rng: jax.Array) -> dict[str, Any]:
        """Returns freshly drawn parameters of the head; the backbone's are not drawn.

        Raises:
          InputError: for a backbone whose shallow and deep features lie on different grids.
        """
        self._check_grids()
        return _initial(self.head, self.backbone.channels[SHALLOW] + self.backbone.channels[DEEP])(rng)

    def side(self, pixels: Any) -> Any:
        """Returns the side of a photo nearest to so many pixels that fits the backbone's cells."""
        return self.backbone.side(pixels)

    def embed(
        self, variables: Variables, images: UInt8[Array, "B H W 3"], sizes: Int[Array, "B 2"]
    ) -> Features:
        """Returns the features of photos, one call for all images of a batch.

        Args:
          variables: of the method; only the backbone's are used.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths, in pixels.

        Raises:
          InputError: for a backbone whose shallow and deep features lie on different grids.
        """
        roles = self.backbone.embed(variables["backbone"], images, sizes)
        shallow, deep = roles[SHALLOW], roles[DEEP]
        if shallow.map.shape[:-1] != deep.map.shape[:-1]:
            raise InputError(
                f"DPNet merges shallow and deep features, but this backbone's lie on grids of "
                f"{shallow.map.shape[1:3]} and {deep.map.shape[1:3]} cells: choose one, or options, with "
                "both on one grid."
            )
        return Features(jnp.concatenate([shallow.map, deep.map], -1), deep.sizes)

    def embed_training(
        self,
        variables: Variables,
        images: UInt8[Array, "B H W 3"] | Float16[Array, "B h w c"],
        sizes: Int[Array, "B 2"],
        weights: Float[Array, " B"],
    ) -> tuple[Features, Variables]:
        """Returns the same features, and the variables as they are: nothing of the backbone is learned.

        Args:
          variables: of the method.
          images: photos, or cached features in their place, which are passed through.
          sizes: of the photos, in pixels.
          weights: unused.
        """
        del weights
        if not jnp.issubdtype(images.dtype, jnp.floating):
            return self.embed(variables, images, sizes), variables
        cells = self.backbone.cells(sizes)
        return Features(zero_padding(images.astype(jnp.float32), cells), cells), variables

    def deep(self, features: Features) -> Features:
        """Returns the part of the features by which cells are compared, whatever the leading axes."""
        return deep_part(features, self.head.shallow)

    def loss(
        self,
        variables: Variables,
        supports: Features,
        queries: Features,
        episodes: Episode,
        rngs: Key[Array, " B"],
    ) -> tuple[Float[Array, " B"], Mapping[str, Float[Array, " B"]]]:
        """Returns L_all of DPNet Eq. 11 for each episode, and its terms.

        Args:
          variables: of the method; only the head's are used.
          supports: features of the supports, [B, N, K, h, w, C].
          queries: features of the queries, [B, T, h, w, C].
          episodes: for their masks.
          rngs: decide the dropout.
        """
        switches, aligned = self.switches, self.head.aligned
        B, N, K = supports.sizes.shape[:3]
        keys = _keys(rngs, N, K, queries.sizes.shape[1])
        masks = own_masks(episodes.support_masks, N)
        cells, shown = self._apply(
            variables, "describe", supports, masks, episodes.support_sizes, switches.dropout, keys.supports
        )
        fitted = Supports(cells, shown, jnp.ones((B, N, K), bool))
        found = self._apply(variables, "segment", fitted, queries, switches, switches.beta, keys)
        truth = truth_of(episodes.query_masks, queries.sizes, episodes.query_mask_sizes, N)
        terms = {
            "seg_loss": segmentation_loss(found.master, truth, aligned=aligned),
            "dis_loss": discriminator_loss(found, truth, fitted.present, switches, aligned=aligned),
        }
        if found.aux is not None:
            terms["aux_loss"] = segmentation_loss(found.aux, truth, aligned=aligned)
        return total_loss(terms, switches), terms

    def describe(
        self, variables: Variables, features: Features, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> tuple[Features, Shown]:
        """Returns what one photo shows of one class, whatever other photos show.

        Mapped over masks alone, `cells` need no copy a mask: `jax.vmap(..., out_axes=(None, 0))`.

        Args:
          variables: of the method; only the head's are used.
          features: of one photo, [h, w, C].
          mask: 1 the class, 0 background, 255 all else, which is neither foreground nor pooled.
          size: the mask's valid height and width, in pixels.

        Returns:
          `cells`, what is compared of the features, [h, w, c]; and `shown`, the prototype and the foreground.
        """
        return self._apply(variables, "describe", features, mask, size)

    def fit(
        self, variables: Variables, descriptions: tuple[Features, Shown], present: Bool[Array, "N K"]
    ) -> Supports:
        """Returns all that segmenting needs of an episode's supports: their descriptions.

        What the averages over shots are of depends on the query. A photo that shows nothing of its class is
        absent, too.

        Args:
          variables: unused.
          descriptions: of `describe`, every leaf [N, K, ...].
          present: which of them are there; the others may be anything.
        """
        del variables
        cells, shown = descriptions
        return Supports(cells, shown, present & shown.foreground.any(-1))

    def segment(
        self,
        variables: Variables,
        fitted: Supports,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: DPNetSettings,
    ) -> dict[str, Float[Array, "T height width classes"]]:
        """Returns the log probabilities of every pixel by both branches.

        The paper is one-way. Of N ways each is segmented by itself, and background is the complement of the
        best way; for N > 1 the probabilities therefore do not add up to one. A way without a shot that is
        present is never predicted.

        Mapped over `fitted`, the queries' features are merged once, and each episode holds its own tile of
        cosines: T x N x K x `tile` x h w numbers, never the whole matrix.

        Args:
          variables: of the method; only the head's are used.
          fitted: of `fit`.
          queries: features of the queries, [T, h, w, C].
          shape: height and width of the arrays that the masks lie in, in pixels.
          sizes: the masks' valid heights and widths.
          settings: the threshold at test.
        """
        found = self._segment(variables, fitted, queries, settings)
        present = jnp.any(fitted.present, 1)[:, None, None, None]

        def whole(logits: Array) -> Array:
            enlarge = jax.vmap(
                lambda one: upsample(one, shape, queries.sizes, sizes, align_corners=self.head.aligned)
            )
            ways = enlarge(logits[0])
            margin = jnp.where(present, ways[..., 1] - ways[..., 0], ABSENT)
            background = jnp.min(jax.nn.log_sigmoid(-margin), 0)
            return jnp.concatenate([background[None], jax.nn.log_sigmoid(margin)]).transpose(1, 2, 3, 0)

        maps = {"master": whole(found.master)}
        return maps if found.aux is None else {"aux": whole(found.aux), **maps}

    def explain(
        self, variables: Variables, fitted: Supports, queries: Features, settings: DPNetSettings
    ) -> Explanation:
        """Returns what the cycle comparison finds between the first way's first support and the first query.

        The arguments are those of `segment`.
        """
        found = self._segment(variables, fitted, queries, settings)
        fitted, queries = _as_batch((fitted, self.deep(queries)))
        return explanation(fitted, queries, found, aligned=self.head.aligned)

    def _segment(
        self, variables: Variables, fitted: Supports, queries: Features, settings: DPNetSettings
    ) -> Segmented:
        fitted, queries = _as_batch((fitted, queries))
        return self._apply(variables, "segment", fitted, queries, self.switches, settings.beta)

    def _apply(self, variables: Variables, method: str, *arguments: Any) -> Any:
        with jax.named_scope("head"):
            return self.head.apply({"params": variables["head"]}, *arguments, method=method)

    def _check_grids(self) -> None:
        """Embeds a photo's shape alone, before anything is drawn."""
        side = self.backbone.side(33)
        image, size = jnp.zeros((1, side, side, 3), jnp.uint8), jnp.full((1, 2), side, jnp.int32)
        jax.eval_shape(
            lambda rng: self.embed({"backbone": self.backbone.init(rng)}, image, size), jax.random.key(0)
        )


@lru_cache
def _initial(head: Head, channels: int) -> Callable[[jax.Array], dict[str, Any]]:
    """Returns the program that draws a head over so many channels, compiled once."""

    def both(head: Head) -> Segmented:
        supports = Features(jnp.zeros((1, 1, 1, 5, 5, channels)), jnp.full((1, 1, 1, 2), 5, jnp.int32))
        queries = jax.tree.map(lambda x: x[:, 0], supports)
        masks, pixels = jnp.ones((1, 1, 1, 33, 33), jnp.uint8), jnp.full((1, 1, 1, 2), 33, jnp.int32)
        fitted = Supports(*head.describe(supports, masks, pixels), jnp.ones((1, 1, 1), bool))
        return head.segment(fitted, queries, Switches(), 0.5)

    return jax.jit(lambda rng: head.init(rng, method=both)["params"])


def _as_batch(tree: Any) -> Any:
    """Returns one episode's arrays as a batch of one."""
    return jax.tree.map(lambda x: x[None], tree)


def _keys(rngs: Key[Array, " B"], ways: int, shots: int, queries: int) -> Keys:
    """Derives a key for each support, query and pair; more ways or shots change no earlier way's."""

    def derive(kind: int, *shape: int) -> Array:
        def of(*numbers: Array) -> Array:
            def one(rng: Array) -> Array:
                rng = jax.random.fold_in(rng, kind)
                for number in numbers:
                    rng = jax.random.fold_in(rng, number)
                return rng

            return jax.vmap(one)(rngs)

        grid = jnp.indices(shape).reshape(len(shape), -1)
        keys = jax.vmap(of, out_axes=1)(*grid)
        return keys.reshape(len(rngs), *shape)

    return Keys(derive(0, ways, shots), derive(1, queries), derive(2, ways, queries))
