"""What the lists of the benchmarks are known to hold, and how what was counted compares.

COCO's photos are those with any annotation, and lists lack those of crowds alone where crowds are skipped;
its pairs are those of HSNet's lists, made of other masks. Both may differ by a few in a thousand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets import coco20i
from datasets.pascal5i import pascal_lists
from datasets.plans import Count
from datasets.statistics.counting import PFENET_AREA, Counted
from fsjax.data.index import MinArea

COCO_TRAINED_PAIRS = (95_476, 133_927, 141_054, 141_016)
"""Pairs of HSNet's list train2014 that the interleaved folds 0 to 3 train on, those of the other folds."""

COCO_VAL_PAIRS = (35_783, 17_912, 14_563, 14_315)
"""Pairs of HSNet's list val2014 that the interleaved folds hold out."""


@dataclass(frozen=True)
class Known:
    """What is known of a list.

    Attributes:
        photos: how many it has; None where nobody says.
        rule: which of its pairs the other counts are of: "oslsm", or pixels from which on they count.
        kept: photos with such pairs.
        of_class: pairs of each class; () where nobody says.
        of_fold: pairs of the classes of each fold in the data set's first table; () where nobody says.
    """

    photos: int | None
    rule: MinArea = 1
    kept: int | None = None
    of_class: Sequence[int] = ()
    of_fold: Sequence[int] = ()


def known(about: Mapping[str, Any], name: str) -> Known | None:
    """Returns what is known of a list, None of lists that nobody published.

    Args:
        about: what the data set says of itself.
        name: of the list.
    """
    name = name.removesuffix("_derived")
    if about["kind"] == "pascal5i" and about["lists"].keys() & {pascal_lists.TRAINAUG, pascal_lists.OSLSM}:
        return _of_pascal(name)
    for year in coco20i.whereabouts.YEARS:
        if about["title"] == f"COCO-20i ({year})" and name in coco20i.whereabouts.PARTS:
            photos = coco20i.KNOWN[year, name].get("photos with annotations")
            pairs = {"train": _held_out(COCO_TRAINED_PAIRS), "val": COCO_VAL_PAIRS}[name]
            return Known(photos, PFENET_AREA, of_fold=pairs if year == 2014 else ())
    return None


def _of_pascal(name: str) -> Known | None:
    train, val = pascal_lists.OF_CLASS[pascal_lists.TRAINAUG], pascal_lists.OF_CLASS[pascal_lists.VAL]
    photos = pascal_lists.PHOTOS.get(name)
    if photos is None:
        return None
    match name:
        case pascal_lists.TRAINAUG:
            return Known(photos, "oslsm", pascal_lists.PHOTOS[pascal_lists.OSLSM], train)
        case pascal_lists.OSLSM:
            return Known(photos, of_class=train)
        case pascal_lists.VAL:
            return Known(photos, "oslsm", pascal_lists.VAL_BY_RULE[0], val)
    return Known(photos)


def _held_out(trained: Sequence[int]) -> tuple[int, ...]:
    """Returns the pairs of each fold's own classes, given those of the others."""
    whole = sum(trained) // (len(trained) - 1)
    return tuple(whole - pairs for pairs in trained)


def _in_words(rule: MinArea) -> str:
    if rule == "oslsm":
        return " by OSLSM's rule"
    return f" of {rule:,} px or more" if rule > 1 else ""


def compared(about: Mapping[str, Any], counted: Counted) -> Iterator[Count]:
    """Yields what was counted in a list beside what is known of it, nothing of a list that nobody published.

    Args:
        about: what the data set says of itself.
        counted: the list.
    """
    what = known(about, counted.name)
    if what is None:
        return
    if what.photos is not None:
        yield Count("photos", len(counted.ids), what.photos)
    kept = counted.by_rule(what.rule)
    rule = _in_words(what.rule)
    if what.kept is not None:
        yield Count(f"photos{rule}", len(np.unique(kept.photos)), what.kept)
    found = kept.per_class
    if what.of_class:
        yield Count(f"pairs{rule}", int(found.sum()), sum(what.of_class))
        same = found == np.array(what.of_class)
        yield Count("classes whose pairs are as known", int(same.sum()), len(same))
        for c in np.flatnonzero(~same).tolist():
            yield Count(f"pairs of {about['class_names'][c]}", int(found[c]), what.of_class[c])
    folds = next(iter(about["folds"].values()), ())
    for fold, (class_ids, pairs) in enumerate(zip(folds, what.of_fold, strict=False)):
        yield Count(f"fold {fold}: pairs{rule}", int(found[np.array(class_ids) - 1].sum()), pairs)
