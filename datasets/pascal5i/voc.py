"""PASCAL VOC's files, in its folder or its tar, and the masks that others made of more of its photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from datasets import archives
from fsjax.errors import InputError

CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's classes, alphabetically: their ids are 1 to 20."""

TAR = "VOCtrainval_11-May-2012.tar"
IN_TAR = "VOCdevkit/VOC2012/"
FOLDERS = ("", "VOC2012", "VOCdevkit/VOC2012")
AUGMENTED = "SegmentationClassAug"


class Place(NamedTuple):
    """A folder of files, which may lie in an archive.

    Attributes:
        path: of a folder or an archive.
        prefix: of the files' names there; it ends in a /, or is empty.
    """

    path: Path
    prefix: str = ""

    def __truediv__(self, folder: str) -> "Place":
        return Place(self.path, f"{self.prefix}{folder}/")

    def exists(self) -> bool:
        """Says whether there is such a folder."""
        if self.path.is_dir():
            return (self.path / self.prefix).is_dir()
        return any(name.startswith(self.prefix) for name in archives.open_files(self.path).names)

    def has(self, name: str) -> bool:
        """Says whether a file of that name is there, and an ordinary one."""
        if self.path.is_dir():
            return (self.path / self.prefix / name).is_file()
        return self.prefix + name in archives.open_files(self.path).names

    def stems(self, ending: str) -> list[str]:
        """Returns the sorted names of the files with an ending, without it."""
        if self.path.is_dir():
            names = [path.name for path in (self.path / self.prefix).iterdir()]
        else:
            names = [
                name.removeprefix(self.prefix)
                for name in archives.open_files(self.path).names
                if name.startswith(self.prefix)
            ]
        return sorted(
            name.removesuffix(ending) for name in names if name.endswith(ending) and "/" not in name
        )

    def read(self, name: str) -> bytes:
        """Returns a file's bytes, see `archives.read`."""
        return archives.read(self.path, self.prefix + name)

    def size(self, name: str) -> int:
        """Returns how many bytes a file has."""
        return archives.open_files(self.path).size(self.prefix + name)

    def where(self, name: str) -> str:
        """Returns what a file is called in sentences."""
        return str(self.path / self.prefix / name)


@dataclass(frozen=True)
class Voc:
    """Where VOC's files lie.

    Attributes:
        photos: JPEGImages.
        own: SegmentationClass, if it is there.
        augmented: SegmentationClassAug, if it is there.
        sets: ImageSets, if it is there.
    """

    photos: Place
    own: Place | None
    augmented: Place | None
    sets: Place | None

    def mask(self, photo: str) -> tuple[Place, str] | None:
        """Returns where the mask of a photo is; VOC's own wins."""
        name = f"{photo}.png"
        for masks in (self.own, self.augmented):
            if masks and masks.has(name):
                return masks, name
        return None


def find(folder: Path) -> Voc:
    """Finds VOC's files in a folder: unpacked, as the tar, and SegmentationClassAug as a folder or a zip.

    Raises:
        InputError: there are none, those of another year, or the archives are damaged.
    """
    root = _unpacked(folder) or _packed(folder)
    own, sets = root / "SegmentationClass", root / "ImageSets"
    return Voc(
        photos=root / "JPEGImages",
        own=own if own.exists() else None,
        augmented=_with_masks(_augmented(folder, root)),
        sets=sets if sets.exists() else None,
    )


def is_there(folder: Path) -> bool:
    """Says whether a folder has VOC's photos, or the tar with them."""
    return _unpacked(folder) is not None or (folder / TAR).exists()


def is_augmented(folder: Path) -> bool:
    """Says whether a folder has SegmentationClassAug, or a zip of it."""
    roots = [folder, *(folder / inner for inner in FOLDERS)]
    return any((root / name).exists() for root in roots for name in (AUGMENTED, f"{AUGMENTED}.zip"))


def _unpacked(folder: Path) -> Place | None:
    roots = (Place(folder / inner) for inner in FOLDERS if (folder / inner).is_dir())
    return next((root for root in roots if (root / "JPEGImages").exists()), None)


def _packed(folder: Path) -> Place:
    if not (folder / TAR).exists():
        others = sorted(folder.glob("VOCtrainval*"))
        if others:
            raise InputError(f"{others[0]} is not VOC 2012's archive: put {TAR} there, as it was downloaded.")
        raise InputError(
            f"{folder} holds no VOC 2012: put {TAR} (from host.robots.ox.ac.uk/pascal/VOC/voc2012) and SBD's "
            "benchmark.tgz (from home.bharathh.info/pubs/codes/SBD) there as downloaded, or have them "
            "fetched with --download, or put a folder with JPEGImages and SegmentationClassAug there."
        )
    root = Place(folder / TAR, IN_TAR)
    if not (root / "JPEGImages").exists():
        raise InputError(
            f"{root.path} holds no {IN_TAR}JPEGImages, so it is of another year or another archive: put VOC "
            "2012's there."
        )
    return root


def _with_masks(masks: Place | None) -> Place | None:
    """Returns masks that others made, after making sure that there are some right there, not below."""
    if masks is not None and not masks.stems(".png"):
        raise InputError(f"{masks.where('')} holds no masks NAME.png: put them there, or take it away.")
    return masks


def _augmented(folder: Path, root: Place) -> Place | None:
    for masks in (root / AUGMENTED, Place(folder) / AUGMENTED):
        if masks.exists():
            return masks
    places = [folder, root.path] if root.path.is_dir() else [folder]
    archive = next((path for place in places if (path := place / f"{AUGMENTED}.zip").exists()), None)
    if archive is None:
        return None
    masks = Place(archive) / AUGMENTED
    return masks if masks.exists() else Place(archive)
