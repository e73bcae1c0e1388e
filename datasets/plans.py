"""What a kind of data set tells `prepare`: its photos, how each is read, what it should come to."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets.records import Labelled
from fsjax.errors import InputError

Folds = Sequence[Sequence[int]]
"""The class ids that each fold holds out."""

Listed = str | tuple[str, tuple[int, ...]]
"""A photo's id, or with it the only class ids for which the list has it (OSLSM's pairs)."""


@dataclass(frozen=True)
class Count:
    """Something that was counted, beside what is known of it.

    Attributes:
        what: it is, in words.
        found: how many there are.
        known: how many there should be, None where nobody says.
    """

    what: str
    found: int
    known: int | None = None


Derived = tuple[Mapping[str, Sequence[Listed]], Sequence[Count]]
"""Lists by name, and what was counted on the way to them."""


@dataclass(frozen=True)
class Plan:
    """A data set that is to be prepared.

    Attributes:
        kind: of data set, the module's name.
        title: what reports call the data.
        version: changes whenever a label or a list does, and with the photos as far as the kind looks at them
            before the build: at every byte (folders, a piece of COCO), at the CRC-32 in zips, or at the size
            (COCO whole), or at the size alone (pascal5i).
        class_names: the name of each class id, from 1 on.
        folds: tables of folds by name, the first being the usual one; none are drawn.
        ids: of the photos.
        tasks: what `read` is given for each photo; small, because it is sent to other processes.
        read: returns a photo with its labels; picklable.
        lists: of photos, by name.
        usual: the names of the lists that are trained and tested on where nobody says.
        counts: what prepare prints.
        derive: returns further lists when all photos have been read; it is given, by the photos' ids, the
            class ids that OSLSM's rule keeps. Where a name is among `lists`, too, the list there is taken.
    """

    kind: str
    title: str
    version: str
    class_names: Sequence[str]
    folds: Mapping[str, Folds]
    ids: Sequence[str]
    tasks: Sequence[Any]
    read: Callable[[Any], Labelled]
    lists: Mapping[str, Sequence[Listed]]
    usual: tuple[str, str]
    counts: Sequence[Count] = field(default=())
    derive: Callable[[Mapping[str, Sequence[int]]], Derived] | None = None


def digest(*parts: Any) -> str:
    """Returns a short name for values that JSON can hold: the first 12 digits of their sha256.

    Raises:
        InputError: a text among them, as a file's name, cannot be written in UTF-8.

    >>> digest("a", 1) == digest("a", 1) != digest("a", 2)
    True
    """
    sha256 = hashlib.sha256()
    for part in parts:
        text = json.dumps(part, sort_keys=True, ensure_ascii=False)
        try:
            sha256.update(text.encode() + b"\n")
        except UnicodeEncodeError as error:
            name = text[text.rfind('"', 0, error.start) + 1 : text.find('"', error.end)]
            raise InputError(f"The name {name!a} is not in UTF-8: rename it.") from error
    return sha256.hexdigest()[:12]


def held_out(ids: Sequence[str], share: float) -> dict[str, list[str]]:
    """Splits ids into the lists "train" and "test".

    Args:
        ids: of photos.
        share: of the test; it is chosen by a hash of each id, so that a photo is in the same list whatever
            the others are.
    """
    test = {id for id in ids if int(hashlib.sha256(id.encode()).hexdigest()[:8], 16) < share * 2**32}
    return {"train": [id for id in ids if id not in test], "test": [id for id in ids if id in test]}


def list_counts(lists: Mapping[str, Sequence[Listed]]) -> list[Count]:
    """Returns the number of photos in each list."""
    return [Count(f"list {name}: photos", len(photos)) for name, photos in lists.items()]
