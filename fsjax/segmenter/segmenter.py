"""A method with its variables, and the same fitted to photos that show what to look for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import compiled
from fsjax.config import check
from fsjax.data.images import InputSettings
from fsjax.devices import replicate
from fsjax.errors import InputError
from fsjax.models import build
from fsjax.models.method import Adaptable, Explainable, Segmenting, Shape, check_output, suited
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.scales import ONE_SCALE, Scales
from fsjax.models.variables import Variables
from fsjax.segmenter import loading, presence, reading
from fsjax.segmenter.batches import as_input, shape_of, together, working_size
from fsjax.segmenter.reading import Picture, Pictures
from fsjax.segmenter.segmentation import Segmentation, segmentation
from fsjax.segmenter.supports import Sample, Supports, by_way, of_ways


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A method, its variables, and how photos are shown to it.

    `fit` and `segment` take photos as they are. The batched calls beneath them, which an evaluation shares,
    take and return arrays whose first axis is that of the devices they run on.

    Attributes:
      method: what segments; whichever is given, it is one that suits the settings.
      variables: of the method, not replicated.
      settings: of the method's segmentation.
      inputs: how photos are resized.
      scales: at which queries are segmented.
    """

    method: Segmenting
    variables: Variables = field(repr=False)
    settings: Any
    inputs: InputSettings
    scales: Scales = ONE_SCALE
    _copies: dict[int, Variables] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Makes the method suit the settings."""
        object.__setattr__(self, "method", suited(self.method, self.settings))

    @classmethod
    def load(cls, source: str | Path | None = None, config: ConfigDict | None = None) -> "Segmenter":
        """Returns a segmenter of trained or pretrained weights; see `fsjax.segmenter.loading.load`."""
        return cls.configured(*loading.load(source, config))

    @classmethod
    def configured(cls, config: ConfigDict, method: Segmenting, variables: Variables) -> "Segmenter":
        """Returns the segmenter that a configuration's `eval` describes.

        Raises:
          InputError: for a configuration that is not sound.
        """
        check(config)
        inputs = InputSettings(size=config.eval.size, input=config.eval.input)
        scales = Scales(tuple(config.eval.scales), config.eval.scale_average)
        return cls(method, variables, build.segment_settings(config), inputs, scales)

    def with_settings(self, settings: Any) -> "Segmenter":
        """Returns it with other settings; both share the variables, also on the devices."""
        changed = replace(self, settings=settings)
        object.__setattr__(changed, "_copies", self._copies)
        return changed

    def describes_as(self, other: "Segmenter") -> bool:
        """Says whether another segmenter sees the same in supports."""
        return self.method == other.method and self.variables is other.variables

    @property
    def joint(self) -> bool:
        """Whether queries that are segmented together also refine one another (PRNet Eq. 7 for T > 1)."""
        return getattr(self.settings, "joint", False)

    def fit(
        self,
        images: Pictures,
        masks: Pictures,
        ways: Sequence[int] | np.ndarray | None = None,
        *,
        classes: Sequence[str] | None = None,
        adapt: AdaptSettings | None = None,
    ) -> "Fitted":
        """Returns a segmenter of what some photos show; this one stays as it is.

        Args:
          images: a photo or several, of any sizes; see `fsjax.segmenter.reading` for what they may be.
          masks: of each photo, as large: 0 (or False) background, 1 (or True) to N the classes, 255 pixels to
            ignore; or the object in 255.
          ways: of each photo the one class that it is a support of; by default of all that it shows. Its
            other classes are then neither that class nor background.
          classes: the names of classes 1 to N.
          adapt: how the weights are tuned to these photos first (PRNet Eq. 6); by default they are not.

        Raises:
          InputError: for photos and masks that do not fit one another, or show nothing, and for a method
            that cannot be adapted.
        """
        shown = reading.supports(images, masks, ways)
        present = reading.presence([mask for _, mask in shown], ways)
        samples = [Sample.of(image, mask, self.inputs) for image, mask in shown]
        names = reading.class_names(classes, len(present))
        segmenter = self if adapt is None else self._adapted(samples, present, adapt)
        supports = segmenter._supports(samples, [mask for _, mask in shown], present)
        return Fitted(
            segmenter,
            segmenter.fit_described(supports.descriptions, present[None, None, None]),
            names,
            supports,
        )

    def _supports(
        self, samples: Sequence[Sample], masks: Sequence[np.ndarray], present: np.ndarray
    ) -> Supports:
        """Returns what photos show, as each is described by itself."""
        N = len(present)
        features, described = [], []
        for sample in samples:
            features.append(self.embed(sample.image[None, None], sample.size[None, None]))
            sizes = np.tile(sample.size, (1, 1, N, 1))
            described.append(self.describe(features[-1], of_ways(sample.mask, N)[None, None], sizes))
        cells = jax.tree.map(lambda *x: np.stack([np.stack(x, 2)] * N, 2), *(d[0] for d in described))
        shown = jax.tree.map(lambda *x: np.stack(x, 3), *(d[1] for d in described))
        together = jax.tree.map(lambda *x: np.concatenate(x, 1), *features)
        descriptions = jax.tree.map(lambda x: x[:, :, None], (cells, shown))
        of_classes = np.stack([of_ways(sample.mask, N) for sample in samples], 1)
        sizes = np.stack([sample.size for sample in samples])
        known = presence.of_supports(self.method, together, of_classes, sizes, present)
        return Supports(masks, present, together, descriptions, known)

    def _adapted(
        self, samples: Sequence[Sample], present: np.ndarray, settings: AdaptSettings
    ) -> "Segmenter":
        """Returns it with weights that are tuned to supports."""
        if not isinstance(self.method, Adaptable):
            raise InputError("This method cannot be adapted to supports: PRNet can.")
        variables = compiled.adapt(self.method, settings)(self.variables, *by_way(samples, present))
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables)):
            raise InputError("Adapting gives values that are not finite: lower its learning rate.")
        return replace(self, variables=variables)

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

    def features(self, photos: Sequence[np.ndarray], least: int = 1) -> list[Any]:
        """Returns the features of T photos at each scale, leaves [1, 1, T, ...].

        Args:
          photos: uint8 [H, W, 3] each.
          least: T, where there are fewer photos; the last one then fills up, so that nothing compiles anew.
        """
        filled = [*photos, *[photos[-1]] * (least - len(photos))]
        images, sizes = map(np.stack, zip(*(as_input(photo, self.inputs) for photo in filled), strict=True))
        return [
            jax.tree.map(lambda x: x[:, None], self.embed(images[None], sizes[None], factor))
            for factor in self.scales.factors
        ]

    def _placed(self, devices: int) -> Variables:
        if devices not in self._copies:
            self._copies[devices] = replicate(self.variables, devices)
        return self._copies[devices]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A segmenter that knows what to look for; of `Segmenter.fit`.

    Attributes:
      segmenter: it; if it was adapted, its weights are the tuned ones.
      fitted: of its `fit_described`, for one episode.
      classes: the names of classes 1 to N.
      supports: what it was fitted to.
    """

    segmenter: Segmenter
    fitted: Any = field(repr=False)
    classes: tuple[str, ...]
    supports: Supports = field(repr=False)

    def segment(
        self,
        images: Pictures,
        output: str | None = None,
        *,
        threshold: float | None = None,
        min_presence: float = 0.0,
        batch: int = 1,
    ) -> Any:
        """Returns what is found in photos.

        Args:
          images: a photo, a list of them, or any other iterable, of any sizes; see
            `fsjax.segmenter.reading` for what they may be.
          output: which of the method's results; its final one by default.
          threshold: the probability from which on a pixel belongs to its likeliest class, 0 to 1; by default
            background is a candidate as the classes are.
          min_presence: the presence below which a class counts as not there, 0 to 1.
          batch: how many photos are segmented at a time; more than one pays on an accelerator.

        Returns:
          A `Segmentation` for a photo, a list of them for a list or a stack, and for anything else a
          generator that holds no more than one batch. With `Segmenter.joint` all photos are one batch.

        Raises:
          InputError: for what is no photo, an output that the method does not have, or a number out of its
            range.
        """
        check_output(self.segmenter.method, output)
        reading.check_batch(batch)
        reading.check_share("threshold", threshold)
        reading.check_share("min_presence", min_presence)
        found = (
            one.at_least(min_presence)
            for group in together(reading.photos(reading.each(images)), batch, self.segmenter.joint)
            for one in self.found(group, self.segmenter.features(group, batch), output, threshold)
        )
        if reading.is_one(images):
            return next(found)
        return list(found) if isinstance(images, list | tuple | np.ndarray) else found

    def logits(self, images: Pictures) -> list[dict[str, np.ndarray]]:
        """Returns the logits of every output for photos at their own sizes, float32 [H, W, N + 1] each.

        Args:
          images: as in `segment`.
        """
        groups = together(reading.photos(reading.each(images)), 1, self.segmenter.joint)
        return [
            {name: array[: len(photo), : photo.shape[1]] for name, array in zip(found, arrays, strict=True)}
            for group in groups
            for found in [self.answers(self.segmenter.features(group), [p.shape[:2] for p in group])]
            for photo, *arrays in zip(group, *map(np.asarray, found.values()), strict=True)
        ]

    def explain(self, image: Picture, others: Pictures = ()) -> Any:
        """Returns how a method comes to its answer in a photo, None of a method that cannot say.

        Args:
          image: as in `segment`.
          others: the photos that are segmented together with it; of no account unless `Segmenter.joint`.

        Returns:
          A `FusionExplanation` (PRNet Figure 1) or an `Explanation` (DPNet Figure 3).
        """
        segmenter = self.segmenter
        together = [reading.photo(1, image)]
        if not isinstance(segmenter.method, Explainable):
            return None
        if segmenter.joint:
            together += reading.photos(reading.each(others))
        queries = segmenter.features(together)[segmenter.scales.unscaled]
        fitted, queries = jax.tree.map(np.asarray, (self.fitted, queries))
        explained = compiled.explain(segmenter.method, segmenter.settings)(
            segmenter.variables,
            jax.tree.map(lambda x: x[0, 0, 0], fitted),
            jax.tree.map(lambda x: x[0, 0], queries),
        )
        return jax.tree.map(np.asarray, explained)

    def answers(self, queries: Sequence[Any], sizes: Sequence[Shape]) -> dict[str, jax.Array]:
        """Returns the logits of every output of T photos, [T, height, width, N + 1].

        Args:
          queries: the photos' features at each scale, leaves [1, 1, T, ...].
          sizes: of the masks, which lie at the top left of the results.
        """
        valid = np.array(sizes, np.int32)[None, None]
        found = self.segmenter.segment_features(self.fitted, queries, shape_of(sizes), valid)
        return {name: logits[0, 0, 0] for name, logits in found.items()}

    def found(
        self,
        photos: Sequence[np.ndarray],
        queries: Sequence[Any],
        output: str | None = None,
        threshold: float | None = None,
    ) -> Sequence[Segmentation]:
        """Returns what is found in photos whose features are at hand; see `segment`.

        Args:
          photos: uint8 [H, W, 3] each.
          queries: the features of T photos, of which these are the first, at each scale: of `features`.
          output: which of the method's results; its final one by default.
          threshold: as in `segment`.
        """
        T = len(jax.tree.leaves(queries[0])[0][0, 0])
        sizes = [working_size(photo.shape[:2]) for photo in photos]
        filled = [*sizes, *[sizes[-1]] * (T - len(sizes))]
        logits = np.asarray(self.answers(queries, filled)[output or self.segmenter.method.final])
        found = [
            segmentation(photo, values[:height, :width], self.classes, threshold)
            for photo, values, (height, width) in zip(photos, logits, sizes, strict=False)
        ]
        unscaled = queries[self.segmenter.scales.unscaled]
        return presence.judged(self.segmenter.method, self.supports.known, unscaled, found)
