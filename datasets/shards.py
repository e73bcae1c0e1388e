"""Records in files of the array_record format, described as TFDS does, so that its data sources read them."""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.naming import ShardedFileTemplate
from tensorflow_datasets.core.splits import SplitInfo

from datasets import records
from datasets.prepared import FORMAT, PHOTOS

PER_SHARD = 4096

LAYOUT = "group_size:1,uncompressed"
"""One record is read at a time, and photos and masks are compressed already; hashes are kept all the same."""


def write(encoded: Iterator[bytes], folder: Path, title: str, about: Callable[[], Mapping[str, Any]]) -> None:
    """Writes a data set into an empty folder.

    Args:
        encoded: the records, see `datasets.records.encode`.
        folder: for the files.
        title: what the data set is, in words.
        about: returns what it says of itself, which JSON can hold, when all records are written.

    Raises:
        OSError: the disk refuses.
    """
    template = ShardedFileTemplate(
        data_dir=folder, dataset_name=PHOTOS, split=PHOTOS, filetype_suffix="array_record",
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}",
    )  # fmt: skip
    lengths, total = [], 0
    for shard in itertools.count():
        if (first := next(encoded, None)) is None:
            break
        path = template.sharded_filepath(shard_index=shard, num_shards=None)
        count, size = _write_shard(
            itertools.chain([first], itertools.islice(encoded, PER_SHARD - 1)), Path(path)
        )
        lengths.append(count)
        total += size
    _describe(SplitInfo(PHOTOS, lengths, total, template), folder, title, about())


def _write_shard(encoded: Iterator[bytes], path: Path) -> tuple[int, int]:
    """Writes one file and returns how many records and bytes of records it holds."""
    count = size = 0
    stopped = False
    with _refusing():
        writer = ArrayRecordWriter(str(path), LAYOUT)
    try:
        for record in encoded:
            with _refusing():
                writer.write(record)
            if stopped := not writer.ok():
                break
            count, size = count + 1, size + len(record)
    finally:
        with _refusing():  # a full disk is told here
            writer.close()
    if stopped:
        raise OSError(f"{path.name} could not be written")
    return count, size


def _describe(split: SplitInfo, folder: Path, title: str, about: Mapping[str, Any]) -> None:
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=PHOTOS, version=FORMAT, data_dir=str(folder), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=title,
        features=records.features(),
        disable_shuffling=True,
        metadata=tfds.core.MetadataDict(json.loads(json.dumps(about))),
    )
    info.set_file_format("array_record")
    info.set_splits(tfds.core.splits.SplitDict([split]))
    info.write_to_directory(folder)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turns what the C++ of array_record says of a disk into Python's own error."""
    try:
        yield
    except RuntimeError as error:
        said = re.search(r"failed: ([^;]+);", str(error))
        raise OSError(said[1] if said else str(error)) from error
