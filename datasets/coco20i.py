"""COCO-20i: MS COCO's 80 categories in 4 folds of 20, of 2014 or 2017, or any annotation file of its kind."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from datasets import archives, coco_json, pictures
from datasets.coco_json import Annotated, Packed
from datasets.plans import Count, Plan, digest
from datasets.records import Labelled
from fsjax.errors import InputError

Crowd = Literal["skip", "include", "void"]
"""What annotations of crowds (iscrowd) are: background, objects like others, or pixels of no account."""

YEARS = (2014, 2017)
PARTS = ("train", "val")

CLASS_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's categories in the order of their ids, which are 1 to 90 with ten left out: class ids are 1 to 80."""

INTERLEAVED = tuple(tuple(range(fold + 1, 81, 4)) for fold in range(4))
"""The classes that each fold holds out in FWB's split, also PFENet's and DPNet's."""

CONTIGUOUS = tuple(tuple(range(20 * fold + 1, 20 * fold + 21)) for fold in range(4))
"""The classes that each fold holds out in PANet's split."""

KNOWN = {
    (2014, "train"): {"photos that show something": 82_081},
    (2014, "val"): {"photos that show something": 40_137},
    (2017, "train"): {"photos": 118_287, "annotations": 860_001, "photos that show something": 117_266},
    (2017, "val"): {"photos": 5_000, "annotations": 36_781},
}
"""What each part of COCO is known to hold."""


class Task(NamedTuple):
    """What is needed to read one photo."""

    images: Path
    name: str
    size: tuple[int, int]
    crowd: Crowd
    objects: tuple[tuple[int, bool, Packed], ...]  # class id, whether it is a crowd, outline


@dataclass(frozen=True)
class _Part:
    """One annotation file with its photos."""

    name: str
    annotated: Annotated
    images: Path
    prefix: str


def plan(manual_dir: Path, *, year: int | None = None, crowd: Crowd = "skip", holdout: float = 0.3) -> Plan:
    """Returns the plan of a folder with COCO, or of a piece of it.

    Args:
        manual_dir: has, for one year, train2017.zip and val2017.zip (or folders of these names), and
            annotations_trainval2017.zip, or annotations/instances_train2017.json and so on. Or it has one
            annotation file (*.json) and a folder, or zip, `images`.
        year: 2014 or 2017, where the folder has both.
        crowd: what becomes of annotations with `iscrowd`.
        holdout: of a piece of COCO, the share of photos, chosen by a hash of their ids, that are the list
            "test"; the others are the list "train".

    Raises:
        InputError: for files that are missing, or not what they should be.
    """
    parts = list(_benchmark(manual_dir, year)) or [_piece(manual_dir)]
    names = _names(parts, manual_dir)
    tasks = {part.name: list(_tasks(part, crowd)) for part in parts}
    ids = {part: [_id(task.name) for task in of_part] for part, of_part in tasks.items()}
    whole = len(parts) == len(PARTS)
    lists = ids if whole else _held_out(ids[parts[0].name], holdout)
    every = [id for of_part in ids.values() for id in of_part]
    content = digest(names, every, lists, crowd, _outlines(tasks))
    return Plan(
        kind="coco20i",
        title=f"COCO-20i ({_year(parts)})" if whole else f"COCO annotations: {len(every)} photos",
        version=content,
        class_names=names,
        folds={"interleaved": INTERLEAVED, "contiguous": CONTIGUOUS} if tuple(names) == CLASS_NAMES else {},
        ids=every,
        tasks=[task for of_part in tasks.values() for task in of_part],
        read=labelled,
        lists=lists,
        usual=("train", "val") if whole else ("train", "test"),
        counts=[*_counts(parts, tasks), *(() if whole else _list_counts(lists))],
    )


def labelled(task: Task) -> Labelled:
    """Returns a photo with a mask for every category: the union of its objects' outlines.

    Raises:
        InputError: the photo is missing, damaged, or of another size than its annotations.
    """
    where = f"{task.images / task.name}"
    photo = archives.read(task.images, task.name)
    size = pictures.size_of_whole(photo, where)
    if size != task.size:
        raise InputError(
            f"{where} is {size[0]}x{size[1]} and its annotations are of {task.size[0]}x{task.size[1]} pixels "
            "(height x width): fetch both again, of one year."
        )
    taken = [
        (class_id, outline) for class_id, crowd, outline in task.objects if _counts_as_object(crowd, task)
    ]
    outlines: dict[int, list[Packed]] = {}
    for class_id, outline in taken:
        outlines.setdefault(class_id, []).append(outline)
    masks = {class_id: coco_json.union(parts, size) for class_id, parts in outlines.items()}
    crowds = [outline for _, crowd, outline in task.objects if crowd]
    void = coco_json.union(crowds, size) if crowds and task.crowd == "void" else None
    return Labelled(_id(task.name), photo, size, masks, void)


def _counts_as_object(crowd: bool, task: Task) -> bool:
    return not crowd or task.crowd == "include"


def _benchmark(folder: Path, year: int | None) -> Iterator[_Part]:
    """Yields the parts of the one year that a folder holds."""
    years = [y for y in YEARS if _annotations(folder, y, "train") or _annotations(folder, y, "val")]
    if year is not None:
        years = [year]
    if len(years) > 1:
        raise InputError(f"{folder} holds COCO of 2014 and of 2017: say which with --year.")
    for chosen in years:
        for part in PARTS:
            found = _annotations(folder, chosen, part)
            if found is None:
                raise InputError(
                    f"{folder} has no annotations of {part}{chosen}: put annotations_trainval{chosen}.zip "
                    "there, from COCO's download page."
                )
            images, prefix = _images(folder, f"{part}{chosen}")
            yield _Part(part, coco_json.read(*found), images, prefix)


def _annotations(folder: Path, year: int, part: str) -> tuple[Path, str] | None:
    name = f"instances_{part}{year}.json"
    for place in (folder / "annotations" / name, folder / name):
        if place.exists():
            return place.parent, name
    archive = folder / f"annotations_trainval{year}.zip"
    return (archive, f"annotations/{name}") if archive.exists() else None


def _images(folder: Path, name: str) -> tuple[Path, str]:
    """Returns where the photos of a part lie, and what goes before their names there."""
    for place in (folder / name, folder / "images" / name):
        if place.is_dir():
            return place, ""
    if (folder / f"{name}.zip").exists():
        return folder / f"{name}.zip", f"{name}/"
    raise InputError(f"{folder} has neither {name}.zip nor a folder {name}: put COCO's photos there.")


def _piece(folder: Path) -> _Part:
    """Returns the one annotation file of a folder with its photos."""
    files = sorted(path.name for path in folder.glob("*.json"))
    if len(files) != 1:
        raise InputError(
            f"{folder} holds no COCO: put train2017.zip, val2017.zip and annotations_trainval2017.zip there "
            "(or 2014's), from COCO's download page; or one annotation file beside a folder images."
        )
    annotated = coco_json.read(folder, files[0])
    if (folder / "images.zip").exists():
        return _Part("all", annotated, folder / "images.zip", "")
    return _Part("all", annotated, folder / "images" if (folder / "images").is_dir() else folder, "")


def _names(parts: Sequence[_Part], folder: Path) -> list[str]:
    tables = [list(part.annotated.names.values()) for part in parts]
    if any(names != tables[0] for names in tables):
        raise InputError(
            f"The annotation files in {folder} have different categories: take those of one year."
        )
    if len(parts) == len(PARTS) and tuple(tables[0]) != CLASS_NAMES:
        raise InputError(f"The annotations in {folder} do not have COCO's 80 categories: fetch them again.")
    return tables[0]


def _tasks(part: _Part, crowd: Crowd) -> Iterator[Task]:
    """Yields the photos on which something is to be seen."""
    class_ids = {category: number for number, category in enumerate(part.annotated.names, 1)}
    for photo in part.annotated.photos:
        objects = tuple(
            (class_ids[annotation.category], annotation.crowd, annotation.outline)
            for annotation in photo.annotations
            if annotation.outline
        )
        if any(crowd == "include" or not is_crowd for _, is_crowd, _ in objects):
            yield Task(part.images, part.prefix + photo.file, photo.size, crowd, objects)


def _id(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _held_out(ids: Sequence[str], share: float) -> dict[str, list[str]]:
    """Splits ids by their hash, so that a photo is in the same part whatever the others are."""
    test = {id for id in ids if int(hashlib.sha256(id.encode()).hexdigest()[:8], 16) < share * 2**32}
    return {"train": [id for id in ids if id not in test], "test": [id for id in ids if id in test]}


def _outlines(tasks: Mapping[str, Sequence[Task]]) -> str:
    """Returns the sha256 of all that is drawn."""
    sha256 = hashlib.sha256()
    for of_part in tasks.values():
        for task in of_part:
            sha256.update(f"{task.name} {task.size}".encode())
            for class_id, crowd, outline in task.objects:
                sha256.update(f"{class_id} {crowd}".encode())
                packed = (outline,) if isinstance(outline, bytes | str) else outline
                for piece in packed:
                    sha256.update(piece if isinstance(piece, bytes) else piece.encode())
    return sha256.hexdigest()


def _year(parts: Sequence[_Part]) -> str:
    return parts[0].images.name.removesuffix(".zip")[-4:]


def _counts(parts: Sequence[_Part], tasks: Mapping[str, Sequence[Task]]) -> Iterator[Count]:
    whole = len(parts) == len(PARTS)
    for part in parts:
        annotations = [a for photo in part.annotated.photos for a in photo.annotations]
        found = {
            "photos": len(part.annotated.photos),
            "annotations": len(annotations),
            "crowds": sum(annotation.crowd for annotation in annotations),
            "photos that show something": len(tasks[part.name]),
        }
        known = KNOWN[int(_year(parts)), part.name] if whole else {}
        for what, count in found.items():
            yield Count(f"{part.name}: {what}", count, known.get(what))


def _list_counts(lists: Mapping[str, Sequence[str]]) -> Iterator[Count]:
    for name, ids in lists.items():
        yield Count(f"list {name}: photos", len(ids))
