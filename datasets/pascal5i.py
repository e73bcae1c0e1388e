"""PASCAL-5i: a folder of photos in PASCAL VOC's layout, its 20 classes in 4 folds of 5."""

import contextlib
import difflib
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from datasets import opened
from fsjax.episode import IGNORED
from fsjax.errors import InputError

FOLDS = (
    ("aeroplane", "bicycle", "bird", "boat", "bottle"),
    ("bus", "car", "cat", "chair", "cow"),
    ("diningtable", "dog", "horse", "motorbike", "person"),
    ("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes that each fold of PASCAL-5i holds out."""

CLASS_NAMES = tuple(name for fold in FOLDS for name in fold)
"""VOC's classes, alphabetically: their ids are 1 to 20."""


class Pascal5i(tfds.core.GeneratorBasedBuilder):
    """Copies a VOC folder's photos and class ids into records, after checking every one."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing is downloaded

    def __init__(self, folder: Path, ids: dict[str, list[str]], *, data_dir: Path):
        """Takes a VOC folder and the ids of the photos of the splits "train" and "test"."""
        self._folder = folder
        self._ids = ids
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        return opened.info(self, "Photos in PASCAL VOC's layout.", len(CLASS_NAMES))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager
        self.info.metadata["ids"] = self._ids
        return {split: self._generate_examples(ids) for split, ids in self._ids.items()}

    def _generate_examples(self, ids: list[str]) -> Iterator[tuple[int, dict]]:
        for i, name in enumerate(ids):
            jpeg, labels = _read(_photo(self._folder, name), _mask(self._folder, name))
            yield i, opened.example(name, jpeg, labels, len(CLASS_NAMES))


def load(
    tfds_dir: Path,
    folder: Path,
    *,
    train_list: str,
    test_list: str,
    folds: Sequence[Sequence[str]] | None = None,
) -> dict[str, opened.OpenedSplit]:
    """Opens a VOC folder's photos, built in `tfds_dir` at first use.

    Args:
        tfds_dir: the folder for built data sets.
        folder: has JPEGImages/ID.jpg and SegmentationClassAug/ID.png (or SegmentationClass/ID.png). A mask's
            palette indices are its class ids: 0 background, 1 to 20 as in `CLASS_NAMES`, 255 void.
        train_list: the list of the split "train": a name, for ImageSets/Segmentation/NAME.txt or NAME.txt in
            the folder, or a path. A line holds an id or a photo's path; what follows a space is ignored, and
            so is a class behind two underscores, as in the pairs of OSLSM's lists.
        test_list: the list of the split "test".
        folds: the class names that each fold holds out; PASCAL-5i's where there are none.

    Returns:
        The splits "train" and "test".

    Raises:
        InputError: a file is missing or damaged, a mask does not fit its photo or holds another value, or a
            class is not one of VOC's.
    """
    fold_ids = [[_class_id(name) for name in fold] for fold in folds or FOLDS]
    folder = folder.resolve()
    if not (folder / "JPEGImages").is_dir():
        raise InputError(f"There is no folder {folder / 'JPEGImages'}: set config.data.dir to a VOC folder.")
    ids = {"train": _read_list(folder, train_list), "test": _read_list(folder, test_list)}
    photos = hashlib.sha256(repr(ids).encode()).hexdigest()
    place = hashlib.sha256(f"{folder} {photos} {_stamps(folder, ids)}".encode()).hexdigest()
    # Keyed by the folder, the lists and the files' times, so that no records are mixed up or out of date.
    built = tfds_dir / f"voc_{place[:16]}"
    with opened.reading(built):
        builder = Pascal5i(folder, ids, data_dir=built)
    try:
        return opened.splits(
            builder,
            version=f"{builder.version}-{photos[:8]}",
            title=_title(folds or FOLDS),
            class_names=CLASS_NAMES,
            folds=fold_ids,
        )
    except Exception:
        _remove_empty(built)
        raise


def _remove_empty(folder: Path) -> None:
    """Removes the folders without a file that a failed build has made, the innermost first."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with contextlib.suppress(OSError):  # of a file, or of a folder that holds one
            path.rmdir()


def _title(folds: Sequence[Sequence[str]]) -> str:
    """Returns what reports call the data: only with its own four folds is it PASCAL-5i."""
    if [sorted(fold) for fold in folds] == [sorted(fold) for fold in FOLDS]:
        return "PASCAL-5i"
    count = len({name for fold in folds for name in fold})
    return f"VOC folder: {count} class{'es' * (count != 1)}"


def _stamps(folder: Path, ids: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Returns the size and time of every photo and mask that is there."""
    files = (
        path
        for split in ids.values()
        for name in split
        for path in (_photo(folder, name), _mask(folder, name))
    )
    return [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in files if path.is_file())]


def _photo(folder: Path, name: str) -> Path:
    return folder / "JPEGImages" / f"{name}.jpg"


def _mask(folder: Path, name: str) -> Path:
    masks = folder / "SegmentationClassAug"
    return (masks if masks.is_dir() else folder / "SegmentationClass") / f"{name}.png"


def _class_id(name: str) -> int:
    if name not in CLASS_NAMES:
        nearest = difflib.get_close_matches(name, CLASS_NAMES, 1, cutoff=0)[0]
        raise InputError(f"config.data.folds has the class {name!r}, which VOC does not: is it {nearest!r}?")
    return CLASS_NAMES.index(name) + 1


def _read_list(folder: Path, name: str) -> list[str]:
    """Returns the ids in a list file, each once, in their order."""
    places = (
        folder / "ImageSets" / "Segmentation" / f"{name}.txt",
        folder / f"{name}.txt",
        Path(name).expanduser(),
    )
    path = next((place for place in places if place.exists() and not place.is_dir()), None)
    if path is None:
        raise InputError(f"There is no list {name!r}: neither {places[0]} nor {places[1]} nor a file {name}.")
    lines = _read_text(path).splitlines()
    photos = [line.split()[0].split("__")[0] for line in lines if line.strip()]
    if not photos:
        raise InputError(f"The list {path} is empty: write the id of a photo on each of its lines.")
    return list(dict.fromkeys(Path(photo).name.removesuffix(".jpg") for photo in photos))


def _read_text(path: Path) -> str:
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"The list {path} is no ordinary file: name a text file.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"The list {path} is no text in UTF-8: save it as such, with an id on each line.")
    return text


def _read(photo: Path, mask: Path) -> tuple[bytes, np.ndarray]:
    """Returns a photo's bytes and its class ids, uint8 [H, W]."""
    jpeg, image = _load(photo)
    _, indices = _load(mask)
    if indices.mode not in ("P", "L"):
        raise InputError(f"{mask} holds colours: save it as a PNG with a palette, or grey, of class ids.")
    labels = np.asarray(indices)
    if indices.size != image.size:
        raise InputError(
            f"{mask} is {indices.size[0]}x{indices.size[1]} and its photo {image.size[0]}x{image.size[1]} "
            "pixels: make them equal."
        )
    wrong = labels[(labels > len(CLASS_NAMES)) & (labels != IGNORED)]
    if wrong.size:
        raise InputError(f"{mask} holds the value {wrong[0]}: allowed are 0 to {len(CLASS_NAMES)} and 255.")
    return jpeg, labels


def _load(path: Path) -> tuple[bytes, Image.Image]:
    """Returns a picture's bytes and the picture, decoded to its last row."""
    if not path.is_file():  # a pipe would be waited for
        what = f"{path} is no ordinary file" if path.exists() else f"There is no file {path}"
        raise InputError(f"{what}, which a list names: add it, or take it off the list.")
    encoded = path.read_bytes()
    try:
        image = Image.open(io.BytesIO(encoded))
        image.load()
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is damaged: fetch it again, or take it off the list.") from error
    return encoded, image
