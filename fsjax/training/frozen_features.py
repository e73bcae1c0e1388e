"""A frozen extractor run once per image, its features kept on disk."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax.data.feature_cache import FeatureCache
from fsjax.data.images import InputSettings, input_size, padded, resize_image
from fsjax.data.source import Source
from fsjax.devices import replicate, spread
from fsjax.errors import InputError
from fsjax.models.method import Method
from fsjax.models.variables import Variables
from fsjax.progress import Progress
from fsjax.training.frozen import digest

LOG = logging.getLogger(__name__)


class FrozenFeatures:
    """The features of a data set's photos under a frozen extractor.

    Attributes:
      cache: what `fill` has written; a reader for episodes.
    """

    def __init__(
        self,
        folder: str | Path,
        source: Source,
        method: Method,
        variables: Variables,
        model: ConfigDict,
        settings: InputSettings,
    ):
        """Opens the cache of this extractor, data set and input size; nothing is computed.

        Args:
          folder: of the caches.
          source: the photos.
          method: whose features.
          variables: of the method; only the extractor's are used.
          model: config.model, for the extractor's settings.
          settings: how photos are resized.

        Raises:
          InputError: where the method's extractor is trained, or the folder cannot be used.
        """
        if not method.frozen:
            raise InputError(
                "The extractor of this method is trained, so that its features change: cache no features."
            )
        self._source, self._settings = source, settings
        self._frozen = {"backbone": variables["backbone"]}

        def extract(variables, images, sizes):
            return method.embed(variables, images, sizes)[0].map.astype("float16")

        self._extract = jax.pmap(extract)
        side = settings.size
        blank = np.zeros((1, side, side, 3), np.uint8), np.full((1, 2), side, np.int32)
        self.cache = FeatureCache.open(
            Path(folder),
            source,
            backbone=_extractor_key(model, variables),
            size=side,
            shape=jax.eval_shape(extract, self._frozen, *blank).shape[1:],
            input=settings.input,
        )

    def fill(self, positions: Sequence[int], *, mirrored: bool) -> None:
        """Computes and writes those features that are not there yet, on all local devices.

        Args:
          positions: of the photos in the source.
          mirrored: whether their mirror images' are also needed.

        Raises:
          InputError: where the disk has no room for all of them; nothing is then computed.
        """
        missing = {
            flipped: self.cache.missing(positions, flipped) for flipped in (False, True)[: 1 + mirrored]
        }
        count = sum(map(len, missing.values()))
        self.cache.reserve(count)
        if count:
            size = count * math.prod(self.cache.shape) * np.dtype(np.float16).itemsize / 1e9
            LOG.info("Features of %d views are written to %s: %.1f GB.", count, self.cache.path, size)
        for flipped, of_view in missing.items():
            if of_view:
                self._fill_view(of_view, flipped)

    def _fill_view(self, missing: Sequence[int], flipped: bool) -> None:
        devices = jax.local_device_count()
        stacked = replicate(self._frozen)
        label = "features of mirror images" if flipped else "features"
        with Progress(label, len(missing), "image") as progress:
            for start in range(0, len(missing), devices):
                now = missing[start : start + devices]
                filled = now + [now[-1]] * (devices - len(now))
                images, sizes = zip(*(self._photo(position, flipped) for position in filled), strict=True)
                batch = spread((np.stack(images)[:, None], np.stack(sizes)[:, None]))
                features = np.asarray(self._extract(stacked, *batch))[: len(now), 0]
                self.cache.write(now, flipped, features)
                progress.update(len(now))

    def _photo(self, position: int, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        image = self._source.image(position)
        height, width = input_size(*image.shape[:2], self._settings)
        image = resize_image(image, height, width)
        return padded(image[:, ::-1] if flipped else image, self._settings.size), np.int32([height, width])


def _extractor_key(model: ConfigDict, variables: Variables) -> str:
    """Returns the sha256 of an extractor's weights and settings."""
    settings = [model.backbone, model.backbone_options.to_dict(), model.compute_dtype]
    described = json.dumps([*settings, digest(variables["backbone"])], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()
