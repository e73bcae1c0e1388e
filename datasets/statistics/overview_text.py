"""The overview of a data set in words and numbers."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from datasets.statistics.counting import PFENET_AREA, Counted, Overlaps
from datasets.statistics.known_counts import compared
from datasets.statistics.tables import WIDTH, percent, table

SHOWN = 12
"""Classes that are printed at either end; the others are in a file."""

_ALL_SHOWN = 30
_ONE_SHOT = 2


def overview(
    about: Mapping[str, Any], counted: Sequence[Counted], found: Overlaps, classes_file: str
) -> Iterator[str]:
    """Yields the lines of an overview.

    Args:
        about: what the data set says of itself.
        counted: its lists.
        found: where classes overlap.
        classes_file: what is told to hold all classes.
    """
    names, tables = about["class_names"], about["folds"]
    yield from (*_lists(about, counted), "", *_sizes(counted), "")
    yield from (*_folds(tables, counted), "", *_classes(names, tables, counted, classes_file))
    yield from (*_few(names, about["usual"], counted), "", *_overlaps(names, found))
    yield from _known(about, counted)


def _lists(about: Mapping[str, Any], counted: Sequence[Counted]) -> Iterator[str]:
    yield f"{about['title']}; {len(about['class_names']):,} classes, version {about['version']}"
    training, test = about["usual"]
    rows = []
    for one in counted:
        use = [what for what, name in (("training", training), ("test", test)) if name == one.name]
        sides = one.sizes if len(one.sizes) else np.zeros((1, 2), int)
        rows.append([
            one.name, " and ".join(use), f"{len(one.ids):,}", f"{len(one.classes):,}",
            f"{np.count_nonzero(one.per_class):,}", _share(one.per_photo > 1),
            _by(np.median(sides, axis=0)), _by(sides.max(axis=0)),
        ])  # fmt: skip
    heads = (
        "list", "usual for", "photos", "pairs", "classes\nshown", "with several\nclasses",
        "height x width\nmedian", "largest",
    )  # fmt: skip
    yield from table(heads, rows, left=(0, 1))


def _by(sides: Sequence[float]) -> str:
    return "x".join(f"{side:.0f}" for side in sides)


def _sizes(counted: Sequence[Counted]) -> Iterator[str]:
    yield "Object sizes. An object is all of one class in one photo, which is one pair."
    rows = []
    for one in counted:
        quartiles = np.quantile(one.shares, (0.25, 0.5, 0.75)) if len(one.shares) else np.full(3, np.nan)
        small = (one.shares < 0.01, one.areas < PFENET_AREA, ~one.shrinks)
        rows.append([one.name, *map(percent, quartiles), *map(_share, small)])
    heads = (
        "list", "a quarter is\nsmaller than", "half is\nsmaller than", "three quarters\nsmaller than",
        "under 1%\nof a photo", f"under\n{PFENET_AREA:,} px", "too small\nfor OSLSM",
    )  # fmt: skip
    yield from table(heads, rows)


def _share(flags: Bool[np.ndarray, " n"]) -> str:
    return percent(float(flags.mean()) if len(flags) else np.nan)


def _folds(tables: Mapping[str, Any], counted: Sequence[Counted]) -> Iterator[str]:
    if not tables:
        yield "Folds are drawn when training starts: --config.data.fold_count, --config.data.fold_seed."
        return
    yield "Pairs of each fold's classes. Training on a fold takes those of the other folds."
    rows = [
        [f"{name} {fold}", f"{len(ids):,}", *(f"{_pairs_of(one, ids):,}" for one in counted)]
        for name, folds in tables.items()
        for fold, ids in enumerate(folds)
    ]
    yield from table(("fold", "classes", *(one.name for one in counted)), rows)


def _pairs_of(counted: Counted, class_ids: Sequence[int]) -> int:
    return int(counted.per_class[np.array(class_ids, int) - 1].sum())


def class_rows(
    names: Sequence[str], tables: Mapping[str, Any], counted: Sequence[Counted]
) -> list[list[str]]:
    """Returns of each class its id, name, fold in each table, median share, and pairs in each list."""
    fold_of = {
        name: {c: str(fold) for fold, ids in enumerate(folds) for c in ids} for name, folds in tables.items()
    }
    per_class = [one.per_class for one in counted]
    shares, classes = (
        np.concatenate([getattr(one, name) for one in counted]) for name in ("shares", "classes")
    )
    order = np.argsort(classes, kind="stable")
    of_class = np.split(shares[order], np.searchsorted(classes[order], np.arange(2, len(names) + 1)))
    return [
        [
            str(c), name, *(folds.get(c, "-") for folds in fold_of.values()),
            percent(np.median(of_class[c - 1]) if len(of_class[c - 1]) else np.nan),
            *(str(pairs[c - 1]) for pairs in per_class),
        ]
        for c, name in enumerate(names, 1)
    ]  # fmt: skip


def class_headings(tables: Mapping[str, Any], counted: Sequence[Counted]) -> list[str]:
    """Returns what the columns of `class_rows` are called."""
    return ["id", "class", *tables, "median size", *(one.name for one in counted)]


def _classes(
    names: Sequence[str], tables: Mapping[str, Any], counted: Sequence[Counted], classes_file: str
) -> Iterator[str]:
    rows = class_rows(names, tables, counted)
    order = ranked(counted)
    shown = [rows[c] for c in order]
    told = f"Classes, with the photos that show them; the most frequent of {counted[0].name} first."
    if len(rows) > _ALL_SHOWN:
        told = (
            f"Classes, with the photos that show them: the {SHOWN} most and the {SHOWN} least frequent of "
            f"{counted[0].name}. All {len(rows):,} are in {classes_file}."
        )
        between = ["", f"({len(rows) - 2 * SHOWN:,} others)", *[""] * (len(rows[0]) - 2)]
        shown = [*shown[:SHOWN], between, *shown[-SHOWN:]]
    yield from textwrap.wrap(told, WIDTH)
    heads = [heading.replace(" ", "\n") for heading in class_headings(tables, counted)]
    yield from table(heads, shown, left=(1,))


def ranked(counted: Sequence[Counted]) -> list[int]:
    """Returns the places of the classes in their table, by the first list's pairs and then the others'."""
    per_class = np.stack([one.per_class for one in counted])
    return np.lexsort([np.arange(per_class.shape[1]), *-per_class[::-1]]).tolist()


def _few(names: Sequence[str], usual: Sequence[str], counted: Sequence[Counted]) -> Iterator[str]:
    """Yields which classes no episode can be drawn of, and what leaves them out."""
    of_list = {one.name: one.per_class for one in counted}
    least = np.min([of_list[name] for name in usual], axis=0)
    few = [names[c] for c in np.flatnonzero(least < _ONE_SHOT)]
    if not few:
        return
    lists = " or ".join(dict.fromkeys(usual))
    yield (
        f"With under {_ONE_SHOT} photos in {lists}, too few for a support and a query: {len(few):,} of "
        f"{len(names):,} classes."
    )
    if len(names) - len(few) < _ONE_SHOT:
        return
    yield "These are left out by:"
    yield from _flag(few)


def _flag(names: Sequence[str]) -> list[str]:
    """Returns the flag that leaves classes out, broken so that a shell reads it as one."""
    pieces = textwrap.wrap(",".join(name.replace(" ", "\0") for name in names).replace(",", ", "), WIDTH - 2)
    lines = [piece.replace(", ", ",").replace("\0", " ") for piece in pieces]
    text = "\\\n".join(lines)
    return f'--config.data.leave_out="\\\n{text}"'.split("\n")


def _overlaps(names: Sequence[str], found: Overlaps) -> Iterator[str]:
    if not found.several:
        yield "No photo shows several classes, so that nothing overlaps."
        return
    which = f"all {found.several:,} photos that show several classes"
    if found.looked_at < found.several:
        which = (
            f"{found.looked_at:,} of the {found.several:,} photos that show several classes, drawn at random"
        )
    yield f"Overlaps, counted in {which}."
    if not found.photos:
        yield "  No pixel has two classes."
        return
    counts = {
        "photos where classes overlap": (found.photos, found.looked_at),
        "pixels of several classes": (found.shared, found.labelled),
        "meetings that overlap": (found.decided, found.meetings),
        "pixels that they share": (found.decided_pixels, found.meeting_pixels),
    }
    rows = [[what, f"{part:,}", percent(part / all)] for what, (part, all) in counts.items()]
    yield from table(("", "count", "of all"), rows)
    most = ", ".join(f"{names[a - 1]} and {names[b - 1]} ({count:,})" for (a, b), count in found.most)
    told = (
        "A meeting is two classes in one photo. A query of both gives the shared pixels to the smaller "
        f"object; a query of one class is not concerned. The most frequent are {most}."
    )
    yield from textwrap.wrap(told, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _known(about: Mapping[str, Any], counted: Sequence[Counted]) -> Iterator[str]:
    rows = []
    for one in counted:
        for count in compared(about, one):
            differs = count.found - (count.known or 0)
            verdict = f"{differs:+,}" if differs else "as known"
            rows.append([one.name, count.what, f"{count.found:,}", f"{count.known:,}", verdict])
    if rows:
        yield ""
        yield f"Compared with what is known of {about['title']}."
        yield from table(("list", "what", "found", "known", "differs by"), rows, left=(0, 1))
