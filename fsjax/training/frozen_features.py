"""A frozen backbone run once for each photo and its mirror image, its features kept on disk."""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float16

from fsjax.data.images import InputSettings, load_photo
from fsjax.data.resizing import mirror
from fsjax.data.source import Source
from fsjax.data.store import Store
from fsjax.errors import InputError
from fsjax.files import make_writable, replacing
from fsjax.leftovers import clear_temporaries
from fsjax.progress import Progress

LOG = logging.getLogger(__name__)

_AGE = 3600.0
"""Seconds after which nobody is writing a photo's features any more; other processes may share the folder."""

Shape = tuple[int, int, int]
Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StoredFeatures:
    """Reads features in place of photos: a `fsjax.data.images.FeatureReader` that can be pickled."""

    store: Store
    ids: tuple[str, ...]  # the id of the photo at each position
    shape: Shape  # h, w and C of one photo's features

    def key(self, position: int, flipped: bool) -> str:
        """Returns the key of a photo's features, or of its mirror image's."""
        return self.ids[position] + (" mirrored" if flipped else "")

    def read(self, position: int, flipped: bool) -> Float16[np.ndarray, "h w C"]:
        """Returns the features of a photo, or of its mirror image.

        Raises:
          InputError: they are missing or damaged.
        """
        key = self.key(position, flipped)
        arrays = self.store.get(key)
        if arrays is None:
            raise InputError(
                f"The stored features of image '{key}' are missing or damaged: "
                "run the command again, and they are computed anew."
            )
        return arrays["map"]


class FrozenFeatures:
    """The features of a data set's photos under a frozen backbone.

    Their folder is named after all that they depend on.

    Attributes:
      reader: of what `fill` has written, for `load_episode`.
    """

    def __init__(
        self,
        folder: str | Path,
        source: Source,
        embed: Embed,
        description: str,
        settings: InputSettings,
        *,
        shape: Shape,
    ):
        """Names the folder; nothing is computed or written.

        Args:
          folder: of all features, in which theirs is made.
          source: the photos.
          embed: returns features float16 [D, 1, h, w, C] of images uint8 [D, 1, S, S, 3] and their sizes
            int32 [D, 1, 2], in pixels, on D local devices.
          description: of the backbone: its settings and the hash of its weights.
          settings: how photos are resized.
          shape: h, w and C of one photo's features.
        """
        self._source, self._embed, self._settings = source, embed, settings
        self._described = {
            "data_set": source.name,
            "version": source.version,
            "split": source.split,
            "ids_sha256": hashlib.sha256(json.dumps(list(source.ids)).encode()).hexdigest(),
            "backbone": description,
            "size": settings.size,
            "input": settings.input,
            "shape": list(shape),
        }
        sha256 = hashlib.sha256(json.dumps(self._described).encode()).hexdigest()
        self._folder = Path(folder) / f"features_{source.split}_{settings.size}_{sha256[:16]}"
        store = Store(self._folder, layout={"map": (shape, "float16")})
        self.reader = StoredFeatures(store, tuple(source.ids), shape)

    def fill(self, positions: Sequence[int], *, mirrored: bool) -> None:
        """Computes and writes the features that are missing or damaged, on all local devices.

        Args:
          positions: of the photos in the source.
          mirrored: whether their mirror images' are also needed.

        Raises:
          InputError: the disk has no room for all of them (nothing is computed then) or fills up, or a value
            is not finite in float16.
        """
        views = [(position, flipped) for flipped in (False, True)[: 1 + mirrored] for position in positions]
        missing = self._missing(views)
        if not missing:
            return
        self._reserve(len(missing))
        devices = jax.local_device_count()
        with Progress("frozen features", len(missing), "view") as progress:
            for start in range(0, len(missing), devices):
                batch = missing[start : start + devices]
                self._fill_batch(batch, spare=devices - len(batch))
                progress.update(len(batch))

    def _missing(self, views: Sequence[tuple[int, bool]]) -> list[tuple[int, bool]]:
        if not self._folder.is_dir():
            return list(views)
        missing = []
        with Progress("checking stored features", len(views), "view") as progress:
            for view in views:
                if self.reader.key(*view) not in self.reader.store:
                    missing.append(view)
                progress.update()
        return missing

    def _reserve(self, views: int) -> None:
        """Makes the folder and its description, after making sure of the room for so many views."""
        make_writable(self._folder)
        clear_temporaries(self._folder, _AGE)
        needed = views * math.prod(self.reader.shape) * np.dtype(np.float16).itemsize
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise InputError(
                f"The features of {views} views need {needed / 1e9:.1f} GB and '{self._folder}' has "
                f"{free / 1e9:.1f} GB left: make room, or name a folder on another disk."
            )
        LOG.info("Features of %d views are written to %s: %.1f GB.", views, self._folder, needed / 1e9)
        with replacing(self._folder / "description.json") as temporary:
            temporary.write_text(json.dumps(self._described, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def _fill_batch(self, views: Sequence[tuple[int, bool]], spare: int) -> None:
        photos = [self._photo(*view) for view in views]
        images, sizes = zip(*photos, *[photos[-1]] * spare, strict=True)
        features = self._embed(np.stack(images)[:, None], np.stack(sizes)[:, None])
        for view, array in zip(views, features[: len(views), 0], strict=True):
            key = self.reader.key(*view)
            if not np.isfinite(array).all():
                raise InputError(
                    f"The features of image '{key}' are not finite in float16 (beyond 65504, or no numbers): "
                    "train without cached features, or check the weights of the backbone."
                )
            self.reader.store.put(key, {"map": array})

    def _photo(self, position: int, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
        image, size = load_photo(self._source, position, self._settings)
        return (mirror(image, size) if flipped else image), size
