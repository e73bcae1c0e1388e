"""How a photo and its labels are stored: a record each, with one binary mask for every class in it."""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, UInt8
from PIL import Image
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from fsjax.episode import IGNORED

_SHRUNK = 32
_SHRUNK_AREA = 2


@dataclass(frozen=True)
class Labelled:
    """One photo with all its labels, as a builder hands it over.

    Attributes:
        id: of the photo, unlike any other of the data set.
        photo: its encoded bytes, in one of `fsjax.data.pictures.FORMATS`; as a rule a JPEG or PNG.
        size: height and width in pixels.
        masks: of each class id that it shows the pixels, bool [H, W]; they may overlap.
        void: the pixels that belong to no class and not to the background either, bool [H, W].
    """

    id: str
    photo: bytes
    size: tuple[int, int]
    masks: Mapping[int, np.ndarray]
    void: np.ndarray | None = None


def from_labels(id: str, photo: bytes, labels: UInt8[np.ndarray, "h w"]) -> Labelled:
    """Returns a photo whose pixels have one label each: a class id, 0 background, 255 void."""
    shown = np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORED)[1:IGNORED]) + 1
    masks = {int(c): labels == c for c in shown}
    void = labels == IGNORED
    return Labelled(id, photo, (labels.shape[0], labels.shape[1]), masks, void if void.any() else None)


def shrinks_to_something(mask: Bool[np.ndarray, "h w"]) -> bool:
    """Says whether an object is large enough for OSLSM's lists: resized to 1/32, its mask sums to over 2."""
    height, width = (max(1, round(side / _SHRUNK)) for side in mask.shape)
    shrunk = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return bool(np.asarray(shrunk).sum() > _SHRUNK_AREA)


def features() -> tfds.features.FeaturesDict:
    """Returns what a record holds; `classes`, `areas`, `shrinks` and `masks` run alongside each other."""
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3)),
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "classes": tfds.features.Sequence(np.int32),
            "areas": tfds.features.Sequence(np.int32),
            "shrinks": tfds.features.Sequence(np.int32),
            "masks": tfds.features.Sequence(tfds.features.Text()),
            "void": tfds.features.Text(),
        }
    )


def record(labelled: Labelled) -> dict[str, Any]:
    """Returns the record of a photo, its masks encoded as PNGs of one bit a pixel."""
    masks = {c: labelled.masks[c] for c in sorted(labelled.masks) if labelled.masks[c].any()}
    return {
        "id": labelled.id,
        "image": labelled.photo,
        "size": np.array(labelled.size, np.int32),
        "classes": list(masks),
        "areas": [int(mask.sum()) for mask in masks.values()],
        "shrinks": [int(shrinks_to_something(mask)) for mask in masks.values()],
        "masks": [_png(mask) for mask in masks.values()],
        "void": b"" if labelled.void is None else _png(labelled.void),
    }


def encode(record: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a record, always the same for the same record."""
    kinds, serializer = _serializing()
    example = serializer.get_tf_example(kinds.encode_example(record))
    return example.SerializeToString(deterministic=True)


@functools.cache
def _serializing() -> tuple[tfds.features.FeaturesDict, ExampleSerializer]:
    kinds = features()
    return kinds, ExampleSerializer(kinds.get_serialized_info())


def decode_mask(png: bytes) -> Bool[np.ndarray, "h w"]:
    """Returns the pixels of one of a record's masks."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("1"))


def _png(mask: Bool[np.ndarray, "h w"]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(mask).save(encoded, "PNG", compress_level=4)
    return encoded.getvalue()
