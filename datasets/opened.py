"""What all data sets have in common once TFDS has written them: how they are stored, and read at random."""

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from fsjax.data.source import Role, relabel
from fsjax.errors import InputError

LOG = logging.getLogger(__name__)


def info(builder: tfds.core.DatasetBuilder, description: str, classes: int) -> tfds.core.DatasetInfo:
    """Describes the records of a data set of a number of classes; its builder adds `metadata["ids"]`."""
    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "areas": tfds.features.Tensor(shape=(classes,), dtype=np.int32),
        }
    )
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=features,
        disable_shuffling=True,
        metadata=tfds.core.MetadataDict(),
    )


def example(name: str, jpeg: bytes, labels: np.ndarray, classes: int) -> dict:
    """Returns the record of a photo (an encoded JPEG) and its class ids, uint8 [H, W]."""
    mask = io.BytesIO()
    Image.fromarray(labels).save(mask, "PNG")
    areas = np.bincount(labels.ravel(), minlength=classes + 1)[1 : classes + 1]
    return {
        "id": name,
        "image": jpeg,
        "mask": mask.getvalue(),
        "size": np.array(labels.shape, np.int32),
        "areas": areas.astype(np.int32),
    }


def splits(
    builder: tfds.core.DatasetBuilder,
    *,
    version: str,
    title: str,
    class_names: Sequence[str],
    folds: Sequence[Sequence[int]],
) -> dict[str, "OpenedSplit"]:
    """Opens the splits "train" and "test" of a data set, writing its records where they are not there yet."""
    folder = Path(builder.data_dir)
    if not _is_built(folder):
        _build(builder)
    about: dict[str, Any] = {"version": version, "title": title, "class_names": class_names, "folds": folds}
    with reading(folder):
        return {split: OpenedSplit(folder, split, **about) for split in ("train", "test")}


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns what TFDS says of damaged descriptions in the folder of a built data set into a sentence."""
    built = folder.is_dir()
    try:
        yield
    except Exception as error:  # the parsers of JSON and of protocol buffers have each their own
        if not built or isinstance(error, PermissionError):
            raise
        raise InputError(
            f"The data set in {folder} is damaged ({type(error).__name__}): delete the folder, and it is "
            "built again."
        ) from error


def _is_built(folder: Path) -> bool:
    return (folder / "dataset_info.json").exists()


def _build(builder: tfds.core.DatasetBuilder) -> None:
    LOG.info("Building the data set %s in %s, once.", builder.name, builder.data_dir)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints about downloads; there are none
            builder.download_and_prepare(file_format="array_record")
    except OSError:
        if not _is_built(Path(builder.data_dir)):  # else another process was faster
            raise


class RecentRecords:
    """Encoded records at random, of which each thread keeps the last few.

    A photo, its mask, its size and its areas are asked for one after another, and its record is read once.
    """

    KEPT = 4

    def __init__(self, records: Sequence[dict[str, Any]]):
        self._records, self._of_thread = records, threading.local()

    def __getitem__(self, position: int) -> dict[str, Any]:
        kept = self._of_thread.__dict__.setdefault("records", {})
        if position not in kept:
            kept[position] = self._records[position]
            if len(kept) > self.KEPT:
                del kept[next(iter(kept))]
        return kept[position]

    def __reduce__(self) -> tuple:
        return RecentRecords, (self._records,)


class OpenedSplit:
    """One split of a data set that has been built: a `fsjax.data.source.Source` that can be pickled."""

    def __init__(
        self,
        folder: Path,
        split: str,
        *,
        version: str,
        title: str,
        class_names: Sequence[str],
        folds: Sequence[Sequence[int]],
    ):
        builder = tfds.builder_from_directory(folder)
        self.name = builder.name
        self.version = version
        self.title = title
        self.split = split
        self.class_names = tuple(class_names)
        self.folds = tuple(tuple(fold) for fold in folds)
        self.ids = tuple(builder.info.metadata["ids"][split])
        self.cache_dir = folder
        skip = tfds.decode.SkipDecoding()
        self._records = RecentRecords(builder.as_data_source(split, decoders={"image": skip, "mask": skip}))

    def image(self, position: int) -> np.ndarray:
        """Returns the photo, uint8 RGB [H, W, 3], its pixels as stored whatever its EXIF tag says.

        Raises:
            InputError: its record is damaged.
        """
        return self._decode(position, "image", "RGB")

    def mask(self, position: int, class_ids: Sequence[int], role: Role) -> np.ndarray:
        """Returns its labels for an episode's classes, see `fsjax.data.source.Source.mask`.

        Raises:
            InputError: its record is damaged.
        """
        del role  # a pixel has one label
        return relabel(self._decode(position, "mask", "L"), class_ids)

    def size(self, position: int) -> tuple[int, int]:
        """Returns the photo's height and width in pixels, without decoding it."""
        height, width = self._record(position)["size"]
        return int(height), int(width)

    def areas(self, position: int) -> np.ndarray:
        """Returns int32 [C]: the pixels of class ids 1..C in the stored labels, not decoding them."""
        return np.array(self._record(position)["areas"], np.int32)

    def _record(self, position: int) -> dict:
        try:
            return self._records[position]
        except Exception as error:  # array_record raises whatever its C++ meets
            raise self._damaged(position) from error

    def _decode(self, position: int, field: str, mode: str) -> np.ndarray:
        encoded = self._record(position)[field]
        try:
            return np.array(Image.open(io.BytesIO(encoded)).convert(mode))
        except (OSError, SyntaxError) as error:
            raise self._damaged(position) from error

    def _damaged(self, position: int) -> InputError:
        return InputError(
            f"Image {self.ids[position]} of {self.name} cannot be read: delete the folder {self.cache_dir}, "
            "and the data set is built again."
        )
