"""The overview: its numbers against loops over the masks, and beside what is known of benchmarks."""

import csv
import re
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from datasets import overview
from datasets.pascal5i import pascal_lists
from datasets.prepared import PreparedList, about_of
from datasets.statistics import tables
from datasets.statistics.counting import Counted, count, overlaps
from datasets.statistics.known_counts import compared
from tests.datasets import drawn


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of built data sets, with one in it."""
    folder = tmp_path_factory.mktemp("built")
    drawn.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def lists(built):
    """The two lists, opened."""
    place = built / "drawn" / "2.0.0"
    return [PreparedList(place, about_of(place), name, ()) for name in drawn.LISTS]


def pairs_of(name):
    """Of each pair of a list the photo's number, the class, its mask and the photo's size."""
    found = []
    for listed in drawn.LISTS[name]:
        id, classes = (listed, None) if isinstance(listed, str) else listed
        size, masks = drawn.masks_of(int(id[1:]))
        found += [(id, c, mask, size) for c, mask in masks.items() if classes is None or c in classes]
    return found


def run(capsys, *flags):
    """What the program prints when it succeeds."""
    assert overview.main(["overview", *flags]) == 0
    return capsys.readouterr().out


def numbers(line):
    """The words of a line of a table."""
    return line.split()


def test_lists_are_counted_as_loops_over_their_masks_count(lists):
    for source in lists:
        found, pairs = count(source), pairs_of(source.split)
        assert sorted(found.areas) == sorted(int(mask.sum()) for *_, mask, _ in pairs)
        assert found.per_class.tolist() == [sum(c == wanted for _, c, *_ in pairs) for wanted in (1, 2, 3, 4)]
        assert found.per_photo.sum() == len(pairs)
        shares = [mask.sum() / (size[0] * size[1]) for *_, mask, size in pairs]
        np.testing.assert_allclose(np.sort(found.shares), np.sort(shares))
        assert len(found.by_rule(2048).areas) == sum(mask.sum() >= 2048 for *_, mask, _ in pairs)
        assert found.sizes.tolist() == [list(drawn.masks_of(int(id[1:]))[0]) for id in source.ids]


def test_overlaps_are_those_of_the_masks(lists):
    found = overlaps(lists, [count(source) for source in lists])
    several = [masks for _, masks in map(drawn.masks_of, range(12)) if len(masks) > 1]
    layers = [np.sum(list(masks.values()), axis=0) for masks in several]
    meetings = [(masks[a], masks[b]) for masks in several for a, b in combinations(sorted(masks), 2)]
    both = [int((a & b).sum()) for a, b in meetings]
    assert (found.several, found.looked_at) == (len(several), len(several))
    assert found.photos == sum((layer > 1).any() for layer in layers) > 0
    assert found.labelled == sum((layer > 0).sum() for layer in layers)
    assert found.shared == sum((layer > 1).sum() for layer in layers)
    assert (found.meetings, found.decided) == (len(meetings), sum(n > 0 for n in both))
    assert found.decided_pixels == sum(both)
    assert found.meeting_pixels == sum(int((a | b).sum()) for a, b in meetings)


def test_a_query_of_both_classes_gives_the_shared_pixels_to_the_smaller(lists):
    source = lists[0]
    shared = 0
    for position in range(len(source.ids)):
        _, masks = drawn.masks_of(position)
        for a, b in combinations(sorted(masks), 2):
            small, large = sorted((a, b), key=lambda c: masks[c].sum())
            mask = source.mask(position, [small, large], None)
            assert np.all(mask[masks[small] & masks[large]] == 1)
            shared += int((masks[small] & masks[large]).sum())
    assert shared > 0


def test_of_many_photos_a_sample_is_looked_at(lists):
    counted = [count(source) for source in lists]
    found, again = (overlaps(lists, counted, most=3) for _ in range(2))
    assert (found.several, found.looked_at) == (overlaps(lists, counted).several, 3)
    assert found == again


def test_the_overview_says_what_loops_say(built, tmp_path, capsys):
    out = tmp_path / "out"
    said = run(capsys, "--dataset=drawn", f"--tfds_dir={built}", f"--out={out}")
    lines = said.splitlines()
    assert lines[0] == "drawn photos; 4 classes, version v1"
    assert max(len(line) for line in lines if str(out) not in line) <= 100
    for name in drawn.LISTS:
        pairs = pairs_of(name)
        (row,) = (line for line in lines if re.match(rf"  {name} +(training|test) ", line))
        photos, found, classes, *_ = numbers(row)[2:]
        assert (int(photos), int(found), int(classes)) == (len(drawn.LISTS[name]), len(pairs), 3)
    for fold, ids in enumerate(drawn.FOLDS):
        (row,) = (line for line in lines if line.startswith(f"  halves {fold} "))
        expected = [sum(c in ids for _, c, *_ in pairs_of(name)) for name in drawn.LISTS]
        assert numbers(row)[2:] == ["2", *map(str, expected)]
    assert (
        "With under 2 photos in first or second, too few for a support and a query: 1 of 4 classes." in said
    )
    assert '--config.data.leave_out="\\\ndog"' in said
    with (out / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(drawn.NAMES)
    for c, row in enumerate(rows, 1):
        shares = [m.sum() / m.size for name in drawn.LISTS for _, k, m, _ in pairs_of(name) if k == c]
        assert row["halves"] == str((c - 1) // 2)
        assert row["median size"] == (tables.percent(np.median(shares)) if shares else "-")
        assert int(row["first"]) == sum(k == c for _, k, *_ in pairs_of("first"))
    for picture in ("contact_sheet.png", "sizes.png"):
        with Image.open(out / picture) as image:
            assert min(image.size) > 400
            assert len(np.unique(np.asarray(image.convert("L")))) > 30


def pascal(name, of_class, photos):
    """A list with so many pairs of each class, spread over so many photos, all large."""
    classes = np.repeat(np.arange(1, 21), of_class)
    m = len(classes)
    positions = np.arange(m) % photos
    flags = np.ones(m, bool)
    return Counted(
        name, range(photos), np.ones((photos, 2), np.int32), positions, classes, flags * 5000, flags, 20
    )


ABOUT = {
    "kind": "pascal5i", "title": "PASCAL-5i", "lists": {"trainaug": 0, "val": 0, "oslsm": 0},
    "class_names": [f"class {c}" for c in range(1, 21)], "folds": {},
}  # fmt: skip


def test_pascals_lists_are_compared_with_what_is_known_of_each():
    of_class = np.array(pascal_lists.OF_CLASS["trainaug"])
    assert [int(of_class[5 * f : 5 * f + 5].sum()) for f in range(4)] == [2286, 3425, 5883, 2086]
    counts = list(compared(ABOUT, pascal("oslsm", of_class, 10_092)))
    assert [(one.what, one.found) for one in counts] == [
        ("photos", 10_092), ("pairs", 13_680), ("classes whose pairs are as known", 20),
    ]  # fmt: skip
    assert all(one.found == one.known for one in counts)
    of_class[6] += 3
    differing = [
        one for one in compared(ABOUT, pascal("oslsm_derived", of_class, 10_091)) if one.found != one.known
    ]
    assert [(one.what, one.found, one.known) for one in differing] == [
        ("photos", 10_091, 10_092), ("pairs", 13_683, 13_680), ("classes whose pairs are as known", 19, 20),
        ("pairs of class 7", 851, 848),
    ]  # fmt: skip
    val = list(compared(ABOUT, pascal("val", pascal_lists.OF_CLASS["val"], 1_449)))
    assert ("pairs by OSLSM's rule", 1_868, 1_868) in [(one.what, one.found, one.known) for one in val]
    assert list(compared(ABOUT, pascal("mine", of_class, 10))) == []


def test_cocos_lists_are_compared_fold_by_fold_and_pieces_are_not():
    about = {
        "kind": "coco20i",
        "title": "COCO-20i (2014)",
        "lists": {},
        "folds": {"interleaved": [[1], [2], [3], [4]]},
    }
    classes = np.array([1, 1, 2, 3])
    found = Counted(
        "train", range(2), np.ones((2, 2), np.int32), np.array([0, 1, 0, 1]), classes,
        np.array([2048, 2047, 9999, 3]), np.ones(4, bool), 4,
    )  # fmt: skip
    counts = {one.what: (one.found, one.known) for one in compared(about, found)}
    assert counts["photos"] == (2, 82_081)
    # Each fold is trained on by three of the four, so that its own pairs are the sum's third less its own.
    assert counts["fold 0: pairs of 2,048 px or more"] == (1, 511_473 // 3 - 95_476)
    assert counts["fold 1: pairs of 2,048 px or more"] == (1, 511_473 // 3 - 133_927)
    assert counts["fold 2: pairs of 2,048 px or more"] == (0, 511_473 // 3 - 141_054)
    assert list(compared({**about, "title": "COCO annotations: 2 photos"}, found)) == []
