"""A method with its variables as one value that anybody can call, with photos in and masks out.

fitted = Segmenter.load("runs/prnet_shapes_fold0").fit([photo], [mask])
(found,) = fitted.segment([another_photo])
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import compiled
from fsjax.config import check
from fsjax.data.images import InputSettings, input_size, mask_of_way
from fsjax.data.own_photos import Images, checked_photo, checked_photos, checked_supports, presence
from fsjax.data.resizing import padded, resize_image, resize_mask
from fsjax.devices import replicate
from fsjax.errors import InputError
from fsjax.models import build
from fsjax.models.method import Explainable, Segmenting, Shape
from fsjax.models.scales import ONE_SCALE, Scales
from fsjax.models.variables import Variables
from fsjax.training.runs import Run

ROUNDED = 64
"""Masks are made in arrays whose sides are multiples of this, so that few sizes of photos compile anew."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A method, its variables, and how photos are shown to it.

    `fit` and `segment` take photos as they are. The batched calls beneath them, which an evaluation shares,
    take and return arrays whose first axis is that of the devices they run on.

    Attributes:
      method: what segments.
      variables: of the method, not replicated.
      settings: of the method's segmentation.
      inputs: how photos are resized.
      scales: at which queries are segmented.

    >>> from fsjax.models.backbones.filters import RawRGB
    >>> from fsjax.models.backbones.hand_made import HandMade
    >>> from fsjax.models.prnet.fusion import FusionSettings
    >>> from fsjax.models.prnet.prnet import PRNet
    >>> method, nothing = PRNet(HandMade(RawRGB())), {"backbone": {"params": {}}, "head": {}}
    >>> segmenter = Segmenter(method, nothing, FusionSettings(), InputSettings(size=32))

    >>> photo = np.zeros((32, 48, 3), np.uint8)
    >>> photo[8:24, 8:24] = 255, 0, 0
    >>> (found,) = segmenter.fit([photo], [photo[..., 0] > 0]).segment([photo[:, ::-1]])
    >>> found[::8, ::4]
    array([[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """

    method: Segmenting
    variables: Variables = field(repr=False)
    settings: Any
    inputs: InputSettings
    scales: Scales = ONE_SCALE
    _copies: dict[int, Variables] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(cls, folder: str | Path) -> "Segmenter":
        """Returns the segmenter of a run's latest checkpoint, or of the best where it selects one.

        The settings are those of its evaluation.

        Raises:
          InputError: where there is no run, or it is damaged.
        """
        run = Run.open(folder)
        method = build.method(run.config.model)
        return cls.configured(run.config, method, run.variables(method))

    @classmethod
    def configured(cls, config: ConfigDict, method: Segmenting, variables: Variables) -> "Segmenter":
        """Returns the segmenter that a configuration's `eval` describes.

        Raises:
          InputError: for a configuration that is not sound.
        """
        check(config)
        return cls(
            method,
            variables,
            build.segment_settings(config),
            InputSettings(size=config.eval.size, input=config.eval.input),
            Scales(tuple(config.eval.scales), config.eval.scale_average),
        )

    def with_settings(self, settings: Any) -> "Segmenter":
        """Returns it with other settings; both share the variables, also on the devices."""
        changed = replace(self, settings=settings)
        object.__setattr__(changed, "_copies", self._copies)
        return changed

    def describes_as(self, other: "Segmenter") -> bool:
        """Says whether another segmenter sees the same in supports, whatever the settings of both."""
        return self.method == other.method and self.variables is other.variables

    @property
    def joint(self) -> bool:
        """Whether queries that are segmented together also refine one another (PRNet Eq. 7 for T > 1)."""
        return getattr(self.settings, "joint", False)

    def fit(
        self,
        images: Images,
        masks: Images,
        ways: Sequence[int] | np.ndarray | None = None,
    ) -> "Fitted":
        """Returns a segmenter of what some photos show.

        Args:
          images: photos, uint8 RGB [H, W, 3] each, of any sizes.
          masks: of each photo, [H, W]: 0 (or False) background, 1 (or True) to N the classes, 255 pixels to
            ignore.
          ways: of each photo the one class that it is a support of; by default of all that it shows. Its
            other classes are then neither that class nor background.

        Raises:
          InputError: for photos and masks that do not fit one another, or show nothing.
        """
        shown = checked_supports(images, masks, ways)
        present = presence([mask for _, mask in shown], ways)
        N = len(present)
        described = []
        for image, mask in shown:
            photo, size = self._as_input(image)
            small = resize_mask(mask, *size.tolist())
            side = self.inputs.size
            by_way = np.stack([padded(mask_of_way(small, n), side, side) for n in range(1, N + 1)])
            features = self.embed(photo[None, None], size[None, None])
            described.append(self.describe(features, by_way[None, None], np.tile(size, (1, 1, N, 1))))
        cells = jax.tree.map(lambda *x: np.stack([np.stack(x, 2)] * N, 2), *(d[0] for d in described))
        shown_by_way = jax.tree.map(lambda *x: np.stack(x, 3), *(d[1] for d in described))
        descriptions = jax.tree.map(lambda x: x[:, :, None], (cells, shown_by_way))
        return Fitted(self, self.fit_described(descriptions, present[None, None, None]))

    def embed(self, images: Any, sizes: Any, factor: float = 1.0) -> Any:
        """Returns the features of photos.

        Args:
          images: uint8 [D, b, S, S, 3].
          sizes: int32 [D, b, 2].
          factor: of the photos' size.
        """
        return compiled.embed(self.method)(self._placed(len(sizes)), images, sizes, factor)

    def describe(self, features: Any, masks: Any, sizes: Any) -> tuple[Any, Any]:
        """Returns what photos show under M masks each: (cells [D, b, ...], shown [D, b, M, ...]).

        Args:
          features: of `embed`.
          masks: uint8 [D, b, M, H, W]: 1 the class, 0 background, 255 all else.
          sizes: int32 [D, b, M, 2], the masks' valid sizes in pixels.
        """
        return compiled.describe(self.method)(self._placed(len(sizes)), features, masks, sizes)

    def fit_described(self, descriptions: tuple[Any, Any], present: Any) -> Any:
        """Returns what segmenting needs of the supports of E episodes for each of q groups of queries.

        Args:
          descriptions: gathered from `describe`, leaves [D, q, E, N, K, ...].
          present: bool [D, q, E, N, K], which of them are there.
        """
        return compiled.fit(self.method)(self._placed(len(present)), descriptions, present)

    def segment_features(
        self, fitted: Any, queries: Sequence[Any], shape: Shape, sizes: Any
    ) -> dict[str, jax.Array]:
        """Returns the logits of every output, [D, q, E, T, height, width, N + 1].

        Args:
          fitted: of `fit_described`.
          queries: their features at each scale, leaves [D, q, T, ...].
          shape: height and width of the arrays that the masks lie in, in pixels.
          sizes: int32 [D, q, T, 2], the masks' valid sizes in pixels.
        """
        segment = compiled.segment(self.method, self.settings, self.scales.average)
        return segment(self._placed(len(sizes)), fitted, tuple(queries), shape, sizes)

    def _as_input(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = input_size(image.shape[0], image.shape[1], self.inputs)
        resized = padded(resize_image(image, height, width), self.inputs.size, self.inputs.size)
        return resized, np.array([height, width], np.int32)

    def _placed(self, devices: int) -> Variables:
        if devices not in self._copies:
            self._copies[devices] = replicate(self.variables, devices)
        return self._copies[devices]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A segmenter that knows what to look for; of `Segmenter.fit`.

    Attributes:
      segmenter: it.
      fitted: of its `fit_described`, for one episode.
    """

    segmenter: Segmenter
    fitted: Any = field(repr=False)

    def segment(self, images: Images, output: str | None = None) -> list[np.ndarray]:
        """Returns the masks of photos at their own sizes, uint8 [H, W]: 0 background, 1 to N the classes.

        Args:
          images: photos, uint8 RGB [H, W, 3] each, of any sizes.
          output: which of the method's results; its final one by default.

        Raises:
          InputError: for an array that is no photo, or an output that the method does not have.
        """
        method = self.segmenter.method
        if output is not None and output not in method.outputs:
            raise InputError(f"There is no output {output!r}: choose from {', '.join(method.outputs)}.")
        return [
            logits[output or method.final].argmax(-1).astype(np.uint8)
            for group in self._groups(images)
            for logits in self._together(group)
        ]

    def logits(self, images: Images) -> list[dict[str, np.ndarray]]:
        """Returns the logits of every output for photos at their own sizes, float32 [H, W, N + 1] each.

        Args:
          images: as in `segment`.
        """
        return [logits for group in self._groups(images) for logits in self._together(group)]

    def explain(self, image: np.ndarray, others: Images = ()) -> Any:
        """Returns how a method comes to its answer in a photo, None of a method that cannot say.

        Args:
          image: as in `segment`.
          others: the photos that are segmented together with it; of no account unless `Segmenter.joint`.

        Returns:
          A `FusionExplanation` (PRNet Figure 1) or an `Explanation` (DPNet Figure 3).
        """
        segmenter, image = self.segmenter, checked_photo(1, image)
        if not isinstance(segmenter.method, Explainable):
            return None
        together = [image, *checked_photos(others)] if segmenter.joint else [image]
        (queries,) = self._features(together, [1.0])
        fitted, queries = jax.tree.map(np.asarray, (self.fitted, queries))
        explained = compiled.explain(segmenter.method, segmenter.settings)(
            segmenter.variables,
            jax.tree.map(lambda x: x[0, 0, 0], fitted),
            jax.tree.map(lambda x: x[0, 0], queries),
        )
        return jax.tree.map(np.asarray, explained)

    def _features(self, images: Sequence[np.ndarray], factors: Sequence[float]) -> list[Any]:
        """Returns the features of T photos at each scale, leaves [1, 1, T, ...]."""
        photos, sizes = zip(*(self.segmenter._as_input(image) for image in images), strict=True)
        batch = np.stack(photos)[None], np.stack(sizes)[None]
        return [
            jax.tree.map(lambda x: x[:, None], self.segmenter.embed(*batch, factor)) for factor in factors
        ]

    def _groups(self, images: Images) -> list[list[np.ndarray]]:
        """Returns the photos that are segmented together."""
        photos = checked_photos(images)
        if self.segmenter.joint:
            return [photos] if photos else []
        return [[photo] for photo in photos]

    def _together(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        queries = self._features(images, self.segmenter.scales.factors)
        sizes = np.array([image.shape[:2] for image in images], np.int32)
        height, width = (-(-int(side) // ROUNDED) * ROUNDED for side in sizes.max(0))
        found = self.segmenter.segment_features(self.fitted, queries, (height, width), sizes[None, None])
        arrays = {name: np.asarray(logits)[0, 0, 0] for name, logits in found.items()}
        return [
            {name: array[t, : size[0], : size[1]] for name, array in arrays.items()}
            for t, size in enumerate(sizes)
        ]
