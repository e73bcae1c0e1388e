"""PASCAL-5i's lists: how each follows from VOC's and SBD's, and what each is known to hold."""

from collections.abc import Iterator, Mapping, Sequence

from datasets.pascal5i import list_files
from datasets.pascal5i.voc import CLASS_NAMES
from datasets.plans import Count, Listed

TRAINAUG, VAL, OSLSM, PFENET = "trainaug", "val", "oslsm", "pfenet"

PHOTOS = {"train": 1_464, TRAINAUG: 10_582, OSLSM: 10_092, PFENET: 5_953, VAL: 1_449}
"""The photos that each list is known to have; `train` is VOC's own."""

PAIRS = 13_680
"""The photos of `oslsm`, each as often as it has classes there."""

VAL_BY_RULE = (1_381, 1_868)
"""The photos and pairs of `val` that OSLSM's rule keeps."""

MAIN_TRAIN = 5_717
"""The photos of VOC 2012's list of the same name for classification, ImageSets/Main/train."""

SBD_IN_MAIN, OVERLAP = 5_623, 1_134
"""SBD's photos in it, from which `pfenet` is made, and those of them that VOC's own train has."""

OF_CLASS = {
    TRAINAUG: (
        528, 428, 583, 371, 376, 367, 848, 987, 988, 235, 504, 1122, 430, 440, 3387, 358, 277, 487, 488, 476,
    ),
    VAL: (80, 57, 86, 58, 65, 69, 96, 115, 102, 69, 74, 125, 76, 72, 378, 58, 49, 90, 82, 67),
}  # fmt: skip
"""Of each list the photos that OSLSM's rule keeps for class ids 1 to 20."""

_SIZES_TRAIN = ((PHOTOS[TRAINAUG], None), (PHOTOS[OSLSM], PAIRS), (PHOTOS[PFENET], None))
_SIZES_TEST = ((PHOTOS[VAL], None), VAL_BY_RULE)


def trainaug(train: Sequence[str], val: Sequence[str], more: Sequence[str]) -> list[str]:
    """Returns VOC's own train, and of the photos that others have labelled all but those of val."""
    known = {*train, *val}
    return [*train, *(id for id in sorted(more) if id not in known)]


def pfenet(
    train: Sequence[str], val: Sequence[str], more: Sequence[str], main: Sequence[str], *, is_sbd: bool
) -> tuple[str, list[str], list[Count]]:
    """Returns PFENet's list: VOC's train, and of SBD's photos those in VOC's ImageSets/Main/train.

    Args:
        train: VOC's own.
        val: VOC's own, none of which is taken.
        more: the photos that others have labelled.
        main: ImageSets/Main/train.
        is_sbd: whether `more` are SBD's and no more; a folder SegmentationClassAug has VOC's own, too.

    Returns:
        Its name, which is `pfenet_derived` where something is not as known; its photos; and the counts.
    """
    taken = sorted(set(more) & set(main) - set(val))
    overlap = len(set(taken) & set(train))
    counts = [Count("VOC's Main/train: photos", len(main), MAIN_TRAIN)]
    if is_sbd:
        counts.append(Count("SBD in VOC's Main/train: photos", len(taken), SBD_IN_MAIN))
        counts.append(Count("of these in VOC's train: photos", overlap, OVERLAP))
    photos = trainaug(train, val, taken)
    right = len(photos) == PHOTOS[PFENET] and all(count.found == count.known for count in counts)
    return PFENET if right else f"{PFENET}_derived", photos, counts


def by_oslsm_rule(
    train: Sequence[str], val: Sequence[str], shrinking: Mapping[str, Sequence[int]]
) -> tuple[dict[str, list[Listed]], list[Count]]:
    """Returns OSLSM's list: a photo of `trainaug` is in it for each class whose mask is large enough.

    The mask, resized to 1/32, must sum to over 2.

    Args:
        train: the photos of `trainaug`.
        val: those of `val`, in which the rule's counts are known, too.
        shrinking: of each photo the class ids whose masks are.

    Returns:
        The list by its name, `oslsm_derived` where a count is not as known; and the counts.
    """
    of_train, of_val = _kept(train, shrinking), _kept(val, shrinking)
    sizes = list_files.size(of_train), list_files.size(of_val)
    tallies = {TRAINAUG: _tally(of_train), VAL: _tally(of_val)}
    right = sizes == ((PHOTOS[OSLSM], PAIRS), VAL_BY_RULE) and tallies == OF_CLASS
    name = OSLSM if right else f"{OSLSM}_derived"
    counts = [
        *_compared(f"list {name}", of_train, (PHOTOS[OSLSM], PAIRS), OF_CLASS[TRAINAUG]),
        *_compared("val by OSLSM's rule", of_val, VAL_BY_RULE, OF_CLASS[VAL]),
    ]
    return {name: of_train}, counts


def _kept(photos: Sequence[str], shrinking: Mapping[str, Sequence[int]]) -> list[Listed]:
    return [(id, tuple(shrinking[id])) for id in photos if shrinking[id]]


def _tally(pairs: Sequence[Listed]) -> tuple[int, ...]:
    """Returns the photos of each class id from 1 on."""
    found = [0] * len(CLASS_NAMES)
    for _, class_ids in pairs:
        for class_id in class_ids:
            found[class_id - 1] += 1
    return tuple(found)


def _compared(
    label: str, pairs: Sequence[Listed], known: tuple[int, int], of_class: Sequence[int]
) -> Iterator[Count]:
    """Yields what OSLSM's rule keeps; of the classes only those whose number is not as known."""
    photos, number = list_files.size(pairs)
    yield Count(f"{label}: photos", photos, known[0])
    yield Count(f"{label}: pairs of photo and class", number or 0, known[1])
    both = list(zip(CLASS_NAMES, _tally(pairs), of_class, strict=True))
    equal = sum(found == expected for _, found, expected in both)
    yield Count(f"{label}: classes with as many photos as known", equal, len(both))
    for name, found, expected in both:
        if found != expected:
            yield Count(f"{label}: photos of {name}", found, expected)


def counts(lists: Mapping[str, Sequence[Listed]]) -> Iterator[Count]:
    """Yields the photos and pairs of each list, beside what is known of PASCAL-5i's."""
    is_pascal = bool(lists.keys() & {TRAINAUG, OSLSM, PFENET})
    for name, photos in lists.items():
        number, pairs = list_files.size(photos)
        known = PHOTOS.get(name.removesuffix("_derived")) if is_pascal else None
        if pairs is None:
            yield Count(f"list {name}: photos", number, known)
        else:
            yield Count(f"list {name}: photos", number, known if name == OSLSM else None)
            yield Count(f"list {name}: pairs of photo and class", pairs, PAIRS if name == OSLSM else None)


def is_benchmark(lists: Mapping[str, Sequence[Listed]]) -> bool:
    """Says whether there is a list as large as one that the field trains on, and one that it tests on."""
    sizes = {list_files.size(photos) for photos in lists.values()}
    return not sizes.isdisjoint(_SIZES_TRAIN) and not sizes.isdisjoint(_SIZES_TEST)
