"""What the lists of the benchmarks are known to hold, and how what was counted compares.

The counts are those of the published lists: of SBD and PASCAL VOC 2012, of OSLSM's pairs as CANet and HSNet
ship them, of COCO's annotated photos, and of HSNet's pairs for COCO, which were drawn from other masks and
may differ by a few in a thousand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.counting import PFENET_AREA, Counted
from datasets.plans import Count

OSLSM_TRAIN = (
    528, 428, 583, 371, 376, 367, 848, 987, 988, 235, 504, 1122, 430, 440, 3387, 358, 277, 487, 488, 476,
)  # fmt: skip
OSLSM_VAL = (80, 57, 86, 58, 65, 69, 96, 115, 102, 69, 74, 125, 76, 72, 378, 58, 49, 90, 82, 67)
"""Pairs of OSLSM's lists for each class of PASCAL VOC."""

COCO_TRAINED_PAIRS = (95476, 133927, 141054, 141016)
"""Pairs of HSNet's list train2014 that the interleaved folds 0 to 3 train on: those of the other folds."""
COCO_VAL_PAIRS = (35783, 17912, 14563, 14315)
"""Pairs of HSNet's list val2014 that the interleaved folds hold out."""


@dataclass(frozen=True)
class Known:
    """What is known of a list.

    Attributes:
        photos: how many it has.
        pairs: of each class; () where nobody says.
        min_area: pixels from which on those pairs count.
        fold_pairs: of each fold's classes in the data set's first table; () where nobody says.
    """

    photos: int | None = None
    pairs: Sequence[int] = ()
    min_area: int = 1
    fold_pairs: Sequence[int] = ()


_HELD_OUT_TRAIN = tuple(sum(COCO_TRAINED_PAIRS) // 3 - trained for trained in COCO_TRAINED_PAIRS)

LISTS: Mapping[tuple[str, str], Known] = {
    ("PASCAL-5i", "trainaug"): Known(10_582),
    ("PASCAL-5i", "val"): Known(1_449),
    ("PASCAL-5i", "train"): Known(1_464),
    ("PASCAL-5i", "pfenet"): Known(5_953),
    ("PASCAL-5i", "oslsm"): Known(10_092, OSLSM_TRAIN),
    ("PASCAL-5i", "oslsm_derived"): Known(10_092, OSLSM_TRAIN),
    ("PASCAL-5i", "oslsm_val"): Known(1_381, OSLSM_VAL),
    ("COCO-20i (2014)", "train"): Known(82_081, (), PFENET_AREA, _HELD_OUT_TRAIN),
    ("COCO-20i (2014)", "val"): Known(40_137, (), PFENET_AREA, COCO_VAL_PAIRS),
    ("COCO-20i (2017)", "train"): Known(117_266),
}


def compared(
    title: str, counted: Counted, class_names: Sequence[str], folds: Sequence[Sequence[int]]
) -> Iterator[Count]:
    """Yields what was counted in a list beside what is known of it, nothing for other data sets.

    Args:
        title: of the data set; another than a benchmark's is compared with nothing.
        counted: the list.
        class_names: of the data set.
        folds: its first table.
    """
    known = LISTS.get((title, counted.name))
    if known is None:
        return
    if known.photos is not None:
        yield Count("photos", len(counted.ids), known.photos)
    found = counted.where(counted.areas >= known.min_area).per_class
    if len(known.pairs) == len(found):
        yield Count("pairs", int(found.sum()), sum(known.pairs))
        same = found == np.array(known.pairs)
        yield Count("classes whose pairs are as known", int(same.sum()), len(same))
        for c in np.flatnonzero(~same).tolist():
            yield Count(f"pairs of {class_names[c]}", int(found[c]), known.pairs[c])
    for fold, (class_ids, pairs) in enumerate(zip(folds, known.fold_pairs, strict=False)):
        in_fold = int(found[np.array(class_ids) - 1].sum())
        yield Count(f"fold {fold}: pairs of {known.min_area:,} px or more", in_fold, pairs)
