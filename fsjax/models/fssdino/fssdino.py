"""FSSDINO: several prototypes of each class and a Gram map, without any training (arXiv 2602.07550).

Written from its equations. clustering.py makes the prototypes, `fsjax.models.prnet.gram` the Gram map and the
score; this module joins them to a backbone. The paper's is DINOv3; here it is any.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from fsjax.models.backbones.backbone import DEEP, Backbone, Features
from fsjax.models.fssdino.clustering import Centres, Clustering, cluster
from fsjax.models.layers.cross_entropy import ABSENT, upsample
from fsjax.models.layers.padding import inside
from fsjax.models.prnet.gram import Score, SupportCells, gram_maps, of_classes, support_cells
from fsjax.models.prnet.prototypes import cosine_map
from fsjax.models.variables import Variables

Description = tuple[Float[Array, "h w c"], Bool[Array, "2 h w"]]
"""A photo's features, and which of its cells are the class's and background's."""


class Known(NamedTuple):
    """What is known of background and each way."""

    centres: Centres  # [N + 1, clusters]
    supports: SupportCells
    present: Bool[Array, " classes"]  # which have a cell


@dataclass(frozen=True)
class FSSDINO:
    """FSSDINO over any backbone, whose deep features it compares. Nothing of it is trained.

    Attributes:
      backbone: the feature extractor.
      scale: of the scores before a softmax, of which FSSDINO knows none; it decides no argmax.
      clustering: how the cells of a class become prototypes.
    """

    backbone: Backbone
    scale: float = 20.0
    clustering: Clustering = field(default_factory=Clustering)

    frozen: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = ("prototypes", "fssdino")
    plain: ClassVar[str] = "prototypes"
    final: ClassVar[str] = "fssdino"

    def suited(self, settings: Any) -> "FSSDINO":
        """Returns it with the clustering that is to be segmented with."""
        return replace(self, clustering=settings)

    def init(self, rng: jax.Array) -> Variables:
        """Returns a freshly drawn backbone."""
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
        """Returns the deep features of photos.

        Args:
          variables: of the method.
          images: RGB, 0 to 255, each in the top-left rectangle of its array.
          sizes: the rectangles' heights and widths, in pixels.
        """
        return self.backbone.embed(variables["backbone"], images, sizes)[DEEP]

    def deep(self, features: Features) -> Features:
        """Returns the features, all of which are deep."""
        return features

    def describe(
        self, variables: Variables, features: Features, mask: UInt8[Array, "H W"], size: Int[Array, "2"]
    ) -> Description:
        """Returns a photo's features, and which of its cells are the class's and background's.

        A cell is what one pixel of the mask is (`nearest_labels`); void and padding are neither. An object
        too small for the grid may have no cell.

        Args:
          variables: unused, the head has none.
          features: of the photo.
          mask: 1 the class, 0 background, 255 all else.
          size: the mask's valid height and width, in pixels.
        """
        del variables
        labels = nearest_labels(mask, size, features.map.shape[:2], features.sizes)
        valid = inside(labels.shape, features.sizes)
        return features.map, jnp.stack([(labels == 1) & valid, (labels == 0) & valid])

    def fit(
        self,
        variables: Variables,
        descriptions: tuple[Float[Array, "N K h w c"], Bool[Array, "N K 2 h w"]],
        present: Bool[Array, "N K"],
    ) -> Known:
        """Returns the prototypes and the cells of each class, those of all its shots together.

        Args:
          variables: unused, the head has none.
          descriptions: of `describe`, [N, K, ...].
          present: which of them are there.
        """
        del variables
        features, shown = descriptions
        members = of_classes(shown, present)
        centres = cluster(features.reshape(-1, features.shape[-1]), members, self.clustering)
        return Known(centres, support_cells(features, members.astype(jnp.float32)), members.any(1))

    def segment(
        self,
        variables: Variables,
        fitted: Known,
        queries: Features,
        shape: tuple[int, int],
        sizes: Int[Array, "T 2"],
        settings: Clustering,
    ) -> dict[str, Float[Array, "T H W classes"]]:
        """Returns the logits of every pixel by the prototypes alone, and by the Gram map, too.

        All maps are brought to the labels' pixels first; a class's score is the largest of its maps times
        their mean.

        Args:
          variables: unused, the head has none.
          fitted: of `fit`.
          queries: features of the queries, [T, h, w, C].
          shape: height and width of the arrays that the masks lie in, in pixels.
          sizes: the masks' valid heights and widths.
          settings: the clustering, which `fit` has done.

        Returns:
          "prototypes" and "fssdino": scaled scores.
        """
        del variables, settings
        classes, clusters = fitted.centres.known.shape

        def add(score: Score, prototypes: Centres) -> tuple[Score, None]:
            maps = jax.vmap(cosine_map, (0, None))(queries.map, prototypes.vectors)
            return score.add(upsample(maps, shape, queries.sizes, sizes), prototypes.known), None

        by_number = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), fitted.centres)
        begin = Score.begin((len(queries.map), *shape, classes))
        score, _ = jax.lax.scan(add, begin, by_number, length=clusters)
        gram = gram_maps(queries.map, queries.sizes, fitted.supports)
        refined = score.add(upsample(gram, shape, queries.sizes, sizes), fitted.present)

        def logits(value: Array) -> Array:
            return jnp.where(fitted.present[None, None, None], self.scale * value, ABSENT)

        return {"prototypes": logits(score.value), "fssdino": logits(refined.value)}


def nearest_labels(
    mask: UInt8[Array, "H W"], size: Int[Array, "2"], shape: tuple[int, ...], cells: Int[Array, "2"]
) -> UInt8[Array, "h w"]:
    """Returns a mask on the grid of the features: of H pixels and h cells, cell i has pixel floor(i H / h).

    Args:
      mask: labels.
      size: its valid height and width, in pixels.
      shape: height and width of the grid, padding included.
      cells: its valid height and width; what lies beyond means nothing.
    """
    rows, columns = (
        jnp.minimum(jnp.arange(shape[axis]) * size[axis] // jnp.maximum(cells[axis], 1), size[axis] - 1)
        for axis in (0, 1)
    )
    return mask[rows][:, columns]
