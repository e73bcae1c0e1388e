"""People's own photos: class folders, images and masks, COCO's or LabelMe's annotations, or VOC's layout.

Which layout a folder has is told by what is in it: first VOC's (JPEGImages and SegmentationClass or
SegmentationClassAug), images and masks, or files *.json, LabelMe's (one a photo, with shapes) or one of
COCO's kind; where there is none of these, class folders.

Every photo is in the list "all", which is both trained and tested on unless there are other lists: classes
are learned or tested, never both, and few photos go further so. A photo that shows learned and tested classes
is then seen in training, its tested objects as background, and reports say of how many that is true.
`data.drop_novel_images` keeps such photos out of the training; files train.txt and test.txt, or `holdout`,
keep all tested photos out of it. Beside a file test.txt or val.txt alone all other photos are the list
train.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from datasets.coco20i import Crowd
from datasets.folders import class_folders, coco_file, label_masks, labelme
from datasets.folders.found import Found, check_names
from datasets.folders.pairs import subfolders
from datasets.folders.texts import lists_of
from datasets.plans import Count, Plan, digest, held_out, list_counts
from fsjax.errors import InputError

ALL, TRAIN, TESTS = "all", "train", ("test", "val")

NEEDED = 2
"""Photos of a class that the smallest episode takes: a support and a query."""

NAMED = 20
"""Up to so many classes are counted one by one."""

LAYOUTS = (
    "CLASS/NAME.jpg with CLASS/NAME.png (or CLASS/images and CLASS/masks) for each class; images and masks "
    "with labels by value; one annotation file *.json of COCO's kind with images; NAME.jpg with LabelMe's "
    "NAME.json; or JPEGImages and SegmentationClass"
)

_PARTS = {"images", "masks", "JPEGImages", "SegmentationClass", "SegmentationClassAug"}
"""Folders that are no classes."""

_MARKS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Found]]] = {
    "JPEGImages": (label_masks.is_voc, label_masks.find_voc),
    "images and masks": (label_masks.is_images_and_masks, label_masks.find),
    "LabelMe's annotations": (labelme.looks_so, labelme.find),
    "an annotation file": (coco_file.looks_so, coco_file.find),
}
"""Of each layout but class folders by what it is told, what tells it, and what reads it."""


def plan(manual_dir: Path, *, holdout: float | None = None, crowd: Crowd | None = None) -> Plan:
    """Returns the plan of a folder with people's own photos.

    Args:
        manual_dir: the folder, see `class_folders.find`, `label_masks.find` and `find_voc`, `labelme.find`
            and `coco_file.find`. It may have lists train.txt, test.txt and val.txt with a photo's name a
            line; those for training and for testing share no photo.
        holdout: the share of photos, chosen by a hash of their ids, that are the list "test"; the others are
            the list "train". By default there are no such lists.
        crowd: of an annotation file, what becomes of annotations with `iscrowd`; by default they are skipped.

    Raises:
        InputError: the layout is none of these, or not to be told from another, or files are missing, or
            not what they should be.
    """
    found = _found(manual_dir, crowd)
    if not found.ids:
        raise InputError(f"{manual_dir} has no photos that show anything: see {LAYOUTS}.")
    check_names(manual_dir, found.class_names)
    lists = {ALL: list(found.ids), **_lists(found, manual_dir, holdout)}
    shown = Counter(class_id for ids in found.shown for class_id in ids)
    if max(shown.values()) < NEEDED:
        raise InputError(
            f"No class in {manual_dir} is shown by {NEEDED} photos, and an episode takes a support and a "
            "query: add photos."
        )
    return Plan(
        kind="folders",
        title=f"{found.title}: {len(found.ids):,} photos of {_classes(len(found.class_names))}",
        version=digest(list(found.class_names), list(found.ids), lists, found.content, crowd),
        class_names=found.class_names,
        folds={},
        ids=found.ids,
        tasks=found.tasks,
        read=found.read,
        lists=lists,
        usual=(TRAIN if TRAIN in lists else ALL, next((name for name in TESTS if name in lists), ALL)),
        counts=[*found.counts, *_counts(found, shown), *list_counts(lists)],
    )


def _found(folder: Path, crowd: Crowd | None) -> Found:
    fitting = [mark for mark, (fits, _) in _MARKS.items() if fits(folder)]
    if len(fitting) > 1:
        raise InputError(
            f"{folder} has {' and also '.join(fitting)}, so that its layout is not clear: leave one of them."
        )
    if crowd is not None and fitting != ["an annotation file"]:
        raise InputError(f"{folder} has no annotation file, which --crowd is for: leave it out.")
    if crowd is not None:
        return coco_file.find(folder, crowd)
    if fitting:
        return _MARKS[fitting[0]][1](folder)
    if not class_folders.looks_so(folder) or _PARTS & {path.name for path in subfolders(folder)}:
        raise InputError(f"{folder} has none of the known layouts{_inside(folder)}: {LAYOUTS}.")
    return class_folders.find(folder)


def _inside(folder: Path) -> str:
    """Returns what a sentence says where the one folder in a folder has a layout."""
    within = subfolders(folder)
    known = [fits for fits, _ in _MARKS.values()] + [class_folders.looks_so]
    if len(within) == 1 and any(fits(within[0]) for fits in known):
        return f" (but {within[0]} has: is it that?)"
    return ""


def _lists(found: Found, folder: Path, holdout: float | None) -> Mapping[str, Sequence[str]]:
    if found.lists and holdout is not None:
        raise InputError(f"{next(iter(found.lists.values()))} is a list already: leave --holdout out.")
    if holdout is None:
        return _completed(lists_of(found.lists, found.ids, found.left_out), found)
    lists = held_out(found.ids, holdout)
    for name, ids in lists.items():
        if not ids:
            raise InputError(
                f"--holdout={holdout:g} leaves the list {name} of {len(found.ids)} photos in {folder} empty: "
                "give another share, or none."
            )
    return lists


def _completed(lists: Mapping[str, Sequence[str]], found: Found) -> Mapping[str, Sequence[str]]:
    """Returns lists of files, with a list to train on beside one to test on; they share no photo."""
    if ALL in lists:
        raise InputError(f"{found.lists[ALL]} is called as the list of all photos is: rename it.")
    test = next((name for name in TESTS if name in lists), None)
    if test is None:
        return lists
    tested = set(lists[test])
    if TRAIN not in lists:
        rest = [id for id in found.ids if id not in tested]
        if not rest:
            raise InputError(f"{found.lists[test]} names all photos, and training needs some: take some out.")
        return {TRAIN: rest, **lists}
    shared = next((id for id in lists[TRAIN] if id in tested), None)
    if shared is not None:
        raise InputError(
            f"{found.lists[TRAIN]} and {found.lists[test]} both name {shared!r}: take it out of one of them."
        )
    return lists


def _counts(found: Found, shown: Mapping[int, int]) -> list[Count]:
    """Returns what there is of each class, or of the least and the most shown ones of many."""
    counts = [Count("classes", len(found.class_names)), Count("photos", len(found.ids))]
    if found.left_out:
        counts.append(Count("photos that show no class, left out", len(found.left_out)))
    several = sum(len(ids) > 1 for ids in found.shown)
    counts.append(Count("photos that show several classes", several))
    photos = {name: shown[class_id] for class_id, name in enumerate(found.class_names, 1)}
    by_number = sorted(photos, key=lambda name: photos[name])
    told = dict.fromkeys(photos, "")
    if len(photos) > NAMED:
        told = {by_number[0]: ", which has the fewest", by_number[-1]: ", which has the most"}
    counts += [Count(f"photos of {name}{which}", photos[name]) for name, which in told.items()]
    few = [name for name in by_number if photos[name] < NEEDED]
    if few:
        names = ", ".join(few[:NAMED]) + (" ..." if len(few) > NAMED else "")
        counts.append(Count(f"classes of one photo, for data.leave_out ({names})", len(few)))
    return counts


def _classes(number: int) -> str:
    return f"{number:,} class{'es' * (number != 1)}"
