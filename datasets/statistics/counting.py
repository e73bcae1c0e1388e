"""What the lists of a data set hold, counted: photos, pairs of a photo and a class, sizes, overlaps."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from fsjax.data.index import MinArea, build_index
from fsjax.data.source import SHRINKS, Source
from fsjax.progress import Progress

PFENET_AREA = 2048
"""Pixels from which on PFENet takes an object."""

SAMPLE = 1000
"""Photos whose masks are read to count overlaps; of larger data sets they are drawn at random."""


@dataclass(frozen=True)
class Counted:
    """One list of photos. A pair is a photo with one of its classes, and runs alongside the other pairs.

    Attributes:
        name: of the list.
        ids: of its photos.
        sizes: of each photo, height and width in pixels.
        photos: of each pair the photo's position.
        classes: of each pair the class id.
        areas: of each pair the class's pixels.
        shrinks: whether a pair is large enough for OSLSM's lists.
        C: how many classes the data set has.
    """

    name: str
    ids: Sequence[str]
    sizes: Int32[np.ndarray, "n 2"]
    photos: Int[np.ndarray, " m"]
    classes: Int[np.ndarray, " m"]
    areas: Int[np.ndarray, " m"]
    shrinks: Bool[np.ndarray, " m"]
    C: int

    @property
    def per_class(self) -> Int[np.ndarray, " C"]:
        """Pairs of class ids 1..C."""
        return np.bincount(self.classes - 1, minlength=self.C)

    @property
    def per_photo(self) -> Int[np.ndarray, " n"]:
        """Pairs of each photo, which are the classes that it shows."""
        return np.bincount(self.photos, minlength=len(self.ids))

    @property
    def shares(self) -> Float[np.ndarray, " m"]:
        """Of each pair the class's share of its photo, above 0 up to 1."""
        return self.areas / self.sizes.astype(np.int64).prod(axis=1)[self.photos]

    def by_rule(self, rule: MinArea) -> "Counted":
        """Returns the list with the pairs that are large enough: see `fsjax.data.index.MinArea`."""
        kept = self.shrinks if rule == "oslsm" else self.areas >= rule
        pairs = (self.photos[kept], self.classes[kept], self.areas[kept], self.shrinks[kept])
        return Counted(self.name, self.ids, self.sizes, *pairs, self.C)


def count(source: Source) -> Counted:
    """Counts a list by its class index, which training will need, too, decoding neither photos nor masks."""
    index = build_index(source)
    photos, columns = np.nonzero(index.counts(1))
    return Counted(
        name=source.split,
        ids=source.ids,
        sizes=index.sizes,
        photos=photos,
        classes=columns + 1,
        areas=index.areas[photos, columns],
        shrinks=index.flags[photos, columns] & SHRINKS > 0,
        C=len(source.class_names),
    )


@dataclass(frozen=True)
class Overlaps:
    """What was found in photos that show several classes.

    Attributes:
        several: how many such photos there are.
        looked_at: how many of them had their masks read.
        photos: how many of these have a pixel of two classes.
        labelled: pixels of any class.
        shared: pixels of two classes or more.
        meetings: pairs of classes that are in one photo.
        decided: how many of these share a pixel, which a query of both gives to the smaller object.
        decided_pixels: the pixels that they share, counted for each.
        meeting_pixels: the pixels of either class, counted for each meeting.
        most: class ids that overlap in the most photos, with how many.
    """

    several: int
    looked_at: int
    photos: int
    labelled: int
    shared: int
    meetings: int
    decided: int
    decided_pixels: int
    meeting_pixels: int
    most: Sequence[tuple[tuple[int, int], int]]


def overlaps(sources: Iterable[Source], counted: Iterable[Counted], most: int = SAMPLE) -> Overlaps:
    """Counts overlaps in all photos that show several classes, or in a sample of them.

    Args:
        sources: the lists; a photo that is on several counts once.
        counted: of each what `count` has found.
        most: photos that are looked at; more are drawn from by a fixed seed.
    """
    places = {}
    for source, found in zip(sources, counted, strict=True):
        for position in np.flatnonzero(found.per_photo > 1).tolist():
            places.setdefault(source.ids[position], (source, position))
    several = list(places.values())
    chosen = np.arange(len(several))
    if len(several) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(several), most, replace=False))
    sums: Counter[str] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    with Progress("counting overlaps", len(chosen), "photo") as progress:
        for number in chosen.tolist():
            _add(*several[number], sums, pairs)
            progress.update()
    names = ("photos", "labelled", "shared", "meetings", "decided", "decided_pixels", "meeting_pixels")
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return Overlaps(len(several), len(chosen), **{name: sums[name] for name in names}, most=ranked[:3])


def _add(source: Source, position: int, sums: Counter[str], pairs: Counter[tuple[int, int]]) -> None:
    """Adds what one photo's masks hold to the sums."""
    masks = {c: source.mask(position, [c], None) == 1 for c in classes_of(source, position)}
    layers = np.sum(list(masks.values()), axis=0)
    shared = int((layers > 1).sum())
    sums.update(photos=shared > 0, shared=shared, labelled=int((layers > 0).sum()))
    for one, other in combinations(masks, 2):
        both = int((masks[one] & masks[other]).sum())
        sums.update(meetings=1, decided=both > 0, decided_pixels=both)
        sums["meeting_pixels"] += int((masks[one] | masks[other]).sum())
        if both:
            pairs[one, other] += 1


def classes_of(source: Source, position: int) -> list[int]:
    """Returns the ids of the classes that a photo shows, ascending, whatever its list has them for."""
    return (np.flatnonzero(source.areas(position)) + 1).tolist()
