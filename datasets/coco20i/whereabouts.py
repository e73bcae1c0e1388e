"""Where a folder has COCO's annotations and photos: of one year, or one file of its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import archives
from datasets.coco20i import coco_json
from datasets.coco20i.coco_json import Annotated
from fsjax.errors import InputError

YEARS = (2014, 2017)
PARTS = ("train", "val")


@dataclass(frozen=True)
class Part:
    """One annotation file with the places where its photos may be, and what goes before their names there."""

    name: str
    annotated: Annotated
    places: Sequence[tuple[Path, str]]


def year_of(folder: Path, year: int | None) -> int | None:
    """Returns the year whose benchmark a folder holds, None where it holds another file of annotations."""
    if year is not None:
        if year not in YEARS:
            raise InputError(f"--year is {year}: give 2014 or 2017.")
        return year
    years = [y for y in YEARS if any(annotations_of(folder, y, part) for part in PARTS)]
    if len(years) > 1:
        raise InputError(f"{folder} holds COCO of 2014 and of 2017: say which with --year.")
    return years[0] if years else None


def year_of_photos(folder: Path) -> int:
    """Returns the one year of which a folder has photos."""
    years = [
        y for y in YEARS if any(p.exists() for part in PARTS for p, _ in places_of(folder, f"{part}{y}"))
    ]
    if len(years) != 1:
        raise InputError("COCO of which year is to be fetched? Say it with --year=2014 or --year=2017.")
    return years[0]


def benchmark(folder: Path, year: int, part: str) -> Part:
    """Returns one of the two parts of a year."""
    found = annotations_of(folder, year, part)
    if found is None:
        raise InputError(
            f"{folder} has no annotations of {part}{year}: put annotations_trainval{year}.zip there, from "
            "COCO's download page."
        )
    return Part(part, coco_json.read(*found), places_of(folder, f"{part}{year}"))


def places_of(folder: Path, name: str) -> list[tuple[Path, str]]:
    """Returns where photos of a part and year may be, and what goes before their names there."""
    archive = folder / f"{name}.zip"
    return [(folder / name, ""), (folder / "images" / name, ""), (archive, f"{name}/"), (archive, "")]


def annotations_of(folder: Path, year: int, part: str) -> tuple[Path, str] | None:
    """Returns the folder or zip with the annotation file of a part and year, and its name there."""
    name = f"instances_{part}{year}.json"
    for place in (folder / "annotations" / name, folder / name):
        if place.exists():
            return place.parent, name
    archive = folder / f"annotations_trainval{year}.zip"
    return (archive, f"annotations/{name}") if archive.exists() else None


def only_file(folder: Path) -> Part:
    """Returns the one annotation file of a folder with its photos."""
    files = sorted(path.name for path in folder.glob("*.json"))
    if len(files) != 1:
        raise InputError(
            f"{folder} holds no COCO: put train2017.zip, val2017.zip and annotations_trainval2017.zip there "
            "(or 2014's), from COCO's download page or with --download; or one annotation file beside a "
            "folder images."
        )
    archive = folder / "images.zip"
    places = [(folder / "images", ""), (archive, "images/"), (archive, ""), (folder, "")]
    return Part("all", coco_json.read(folder, files[0]), places)


def place_of(part: Part, file: str) -> tuple[Path, str]:
    """Returns the place that holds a photo, and what goes before its name there; else any that is there."""
    there = [(place, prefix) for place, prefix in part.places if place.exists()]
    if not there:
        (place, _), *_ = part.places
        raise InputError(f"There is neither a folder {place} nor a zip {place.name}.zip: put it there.")
    return next((p for p in there if p[1] + file in archives.open_files(p[0]).names), there[0])
