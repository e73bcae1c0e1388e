"""Masks that another program predicted, read from PNGs and counted against the truth.

One PNG an episode and query, named by the episode's index: `000012.png`, or with several queries
`000012_0.png`, `000012_1.png` and so on. A pixel's value is 0 for background, or n for the way
`class_ids[n - 1]`. Palette, grey and one-bit PNGs are read; none is resized.
"""

import hashlib
import io
import logging
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fsjax.data.ahead import ahead
from fsjax.data.images import InputSettings, load_mask, stored_mask
from fsjax.data.opening import by
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation.contents import Content, content_of
from fsjax.evaluation.controls import count_prediction
from fsjax.progress import Progress

LOG = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3
"""Colour types of PNG that have one value a pixel."""

SCALED = {2: 85, 4: 17}
"""What Pillow multiplies grey values of so many bits with."""


@dataclass(frozen=True)
class Counted:
    """What a folder of predictions gave.

    Attributes:
      matrices: of each episode the confusion matrices of its queries, int64 [T, N + 2, N + 1].
      contents: of each episode what its queries show.
      masks: how many PNGs were read.
      sha256: of the lines "SHA256  NAME" of these PNGs in the order of their names, as sha256sum prints them.
    """

    matrices: Sequence[np.ndarray]
    contents: Sequence[Sequence[Content]]
    masks: int
    sha256: str


class _Mask(NamedTuple):
    """A PNG, and whose prediction it is."""

    name: str
    episode: int  # its place among the specs
    query: int


_Photo = tuple[int, tuple[int, ...]]
"""The position of a query photo, and the classes that its episode looks for."""


class _Found(NamedTuple):
    mask: _Mask
    matrix: np.ndarray
    sha256: str


def file_name(index: int, query: int, queries: int) -> str:
    """Returns what the PNG of an episode's query is called.

    Args:
      index: of the episode, as its manifest gives it.
      query: counted from 0.
      queries: of each episode.

    >>> file_name(12, 0, 1), file_name(12, 1, 5)
    ('000012.png', '000012_1.png')
    """
    return f"{index:06d}.png" if queries == 1 else f"{index:06d}_{query}.png"


def count_predictions(
    folder: str | Path,
    specs: Sequence[EpisodeSpec],
    source: Source,
    settings: InputSettings,
    *,
    threads: int = 2,
) -> Counted:
    """Counts a folder of predictions against the truth; each photo's is read once for a choice of classes.

    Args:
      folder: of the PNGs.
      specs: the episodes.
      source: their photos.
      settings: at which size the truth is scored: its size, input and label.
      threads: that decode.

    Raises:
      InputError: the folder or a mask is missing, or a mask is no PNG of one value a pixel, damaged, of
        another size than the truth, or has a value beyond its episode's ways.
    """
    folder, groups = Path(folder), _groups(specs)
    names = {mask.name: specs[mask.episode] for masks in groups.values() for mask in masks}
    _check_all_there(folder, names)

    count = partial(_counted_of_photo, folder, source, settings)
    contents, counted, digests = {}, {}, {}
    found = ahead(count, groups.items(), threads=threads, depth=2 * threads)
    with Progress("predictions", len(names), "mask") as progress, closing(found):
        for photo, content, of_photo in found:
            contents[photo] = content
            for mask, matrix, sha256 in of_photo:
                counted[mask.episode, mask.query], digests[mask.name] = matrix, sha256
            progress.update(len(of_photo))
    matrices = [np.stack([counted[e, t] for t in range(len(spec.query))]) for e, spec in enumerate(specs)]
    shown = [[contents[position, spec.class_ids] for position in spec.query] for spec in specs]
    return Counted(matrices, shown, len(digests), _sha256_of_all(digests))


def truth_of(
    source: Source, position: int, class_ids: Sequence[int], settings: InputSettings
) -> UInt8[np.ndarray, "h w"]:
    """Returns the truth of a query as an evaluation scores it, 0 to N and 255, without padding."""
    if settings.label == "original":
        return stored_mask(source, position, class_ids, None, settings)
    mask, (height, width) = load_mask(source, position, class_ids, None, settings)
    return mask[:height, :width]


def read_mask(
    encoded: bytes, path: Path, shape: tuple[int, int], ways: int, settings: InputSettings
) -> UInt8[np.ndarray, "h w"]:
    """Returns the values of a predicted mask, 0 to N; nothing of another size is decoded.

    Args:
      encoded: the PNG.
      path: where it lies, for sentences.
      shape: height and width of the truth, in pixels.
      ways: N.
      settings: that gave the truth its size, for sentences.

    Raises:
      InputError: as `count_predictions`.
    """
    if encoded[:8] != SIGNATURE or encoded[12:16] != b"IHDR" or len(encoded) < 26:
        raise InputError(f"{path} is no PNG: write a palette or grey PNG, {_values(ways)}.")
    width, height, depth, color = struct.unpack(">IIBB", encoded[16:26])
    if color not in (GREY, PALETTE) or depth > 8:
        raise InputError(
            f"{path} has more than one value of 8 bits a pixel: write a palette or grey PNG (mode P or L of "
            f"Pillow), {_values(ways)}."
        )
    if (height, width) != shape:
        raise _of_another_size(path, (height, width), shape, settings)
    if not _is_whole(encoded):
        raise InputError(f"{path} is damaged or cut short: write it again.")
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG",)) as image:
            values = np.array(image, np.uint8)
    except (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is no sound PNG: write it again.") from error
    values //= SCALED.get(depth, 1) if color == GREY else 1
    largest = int(values.max())
    if largest > ways:
        raise InputError(
            f"{path} has the value {largest}, and its episode has {ways} way{'s' * (ways > 1)}: write "
            f"{_values(ways)}."
        )
    return values


def _is_whole(encoded: bytes) -> bool:
    """Returns whether the checksums of all chunks are right, up to the last; Pillow skips the pixels'."""
    place = len(SIGNATURE)
    while place + 12 <= len(encoded):
        end = place + 8 + int.from_bytes(encoded[place : place + 4])
        if encoded[end : end + 4] != zlib.crc32(encoded[place + 4 : end]).to_bytes(4):
            return False
        if encoded[place + 4 : place + 8] == b"IEND":
            return True
        place = end + 4
    return False


def _groups(specs: Sequence[EpisodeSpec]) -> dict[_Photo, list[_Mask]]:
    """Returns the masks of each query photo and choice of classes, which share a truth."""
    groups: dict[_Photo, list[_Mask]] = {}
    for episode, spec in enumerate(specs):
        for query, position in enumerate(spec.query):
            mask = _Mask(file_name(spec.index, query, len(spec.query)), episode, query)
            groups.setdefault((position, tuple(spec.class_ids)), []).append(mask)
    return groups


def _check_all_there(folder: Path, names: Mapping[str, EpisodeSpec]) -> None:
    """Makes sure that a folder has all masks; says how many PNGs are of no episode."""
    try:
        there = set(os.listdir(folder))
    except OSError as error:
        raise InputError(
            f"The folder of predictions {folder} cannot be read ({error.strerror}): check its path."
        ) from error
    others = sorted(name for name in there - names.keys() if name.lower().endswith(".png"))
    missing = sorted(names.keys() - there)
    if missing:
        also = f"; PNGs with other names are {len(others)}, such as {others[0]}" if others else ""
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(names)} masks, such as {missing[0]} of the episode with "
            f"the index {names[missing[0]].index}{also}: write one PNG for each episode and query."
        )
    if others:
        LOG.warning("Of no episode are %d PNGs in %s, such as %s.", len(others), folder, others[0])


def _counted_of_photo(
    folder: Path, source: Source, settings: InputSettings, group: tuple[_Photo, Sequence[_Mask]]
) -> tuple[_Photo, Content, list[_Found]]:
    """Counts all masks that share a truth, which is read once; returns what it shows, too."""
    (position, class_ids), masks = group
    truth, ways = truth_of(source, position, class_ids, settings), len(class_ids)
    content = content_of(truth, ways, source.areas(position))
    counted = [_counted(folder, mask, truth, ways, settings) for mask in masks]
    return (position, class_ids), content, counted


def _counted(folder: Path, mask: _Mask, truth: np.ndarray, ways: int, settings: InputSettings) -> _Found:
    path = folder / mask.name
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path} is a folder, a pipe or a broken link: put the PNG in its place.")
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give leave to read it.") from error
    values = read_mask(encoded, path, (truth.shape[0], truth.shape[1]), ways, settings)
    matrix = count_prediction(values.astype(np.int64), truth, ways)
    return _Found(mask, matrix, hashlib.sha256(encoded).hexdigest())


def _sha256_of_all(digests: Mapping[str, str]) -> str:
    """Returns the sha256 of what sha256sum prints of files, by name."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _of_another_size(
    path: Path, size: tuple[int, int], shape: tuple[int, int], settings: InputSettings
) -> InputError:
    fields = "eval.label=original says"
    if settings.label == "input":
        fields = f"eval.label=input, eval.input={settings.input} and eval.size={settings.size} say"
    return InputError(
        f"{path} is {by(size)} pixels (height x width) and its truth is {by(shape)}, as {fields}: write "
        "masks of that size, or set these fields to what yours have."
    )


def _values(ways: int) -> str:
    if ways == 1:
        return "0 for background and 1 for the way"
    return f"0 for background and 1 to {ways} for the ways in the order of class_ids"
