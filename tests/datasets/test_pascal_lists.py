"""PASCAL-5i's lists by their rules, at their real sizes, and lists as the field publishes them."""

import os

import pytest

from datasets.pascal5i import CLASS_NAMES, FOLDS, list_files, pascal_lists
from datasets.pascal5i.pascal_lists import OF_CLASS, PAIRS, PHOTOS, TRAINAUG, VAL, VAL_BY_RULE
from fsjax.errors import InputError


def ids(prefix, count):
    return [f"{prefix}_{number:05d}" for number in range(count)]


@pytest.fixture(scope="module")
def sets():
    """Ids in the numbers of the real lists: VOC's train and val, SBD's, and VOC's list for classification."""
    train, val = ids("train", 1464), ids("val", 1449)
    # 1,134 of SBD's 5,623 in Main/train are in VOC's train; 9,118 of all its 11,355 are in neither list.
    in_main = [*train[:1134], *ids("sbd", 5623 - 1134)]
    others = ids("other", 9118 - (5623 - 1134))
    in_voc = [*train[1134:1400], *val[: 11355 - 9118 - 1400]]
    return train, val, [*in_main, *others, *in_voc], [*in_main, *ids("unlabelled", 5717 - 5623)]


def test_trainaug_has_its_known_size_and_nothing_of_val(sets):
    train, val, sbd, _ = sets
    assert len(sbd) == len(set(sbd)) == 11_355
    photos = pascal_lists.trainaug(train, val, sbd)
    assert len(photos) == len(set(photos)) == PHOTOS[TRAINAUG]
    assert photos[:1464] == train
    assert not set(photos) & set(val)


def test_pfenets_list_has_its_known_size(sets):
    train, val, sbd, main = sets
    name, photos, counts = pascal_lists.pfenet(train, val, sbd, main, is_sbd=True)
    assert (name, len(photos), len(set(photos))) == ("pfenet", 5_953, 5_953)
    assert [(count.found, count.known) for count in counts] == [(5717, 5717), (5623, 5623), (1134, 1134)]
    assert photos[1464:] == ids("sbd", 5623 - 1134)


def test_pfenets_list_follows_from_segmentation_class_aug_as_well(sets):
    train, val, sbd, main = sets
    augmented = sorted({*train, *val, *sbd})
    assert len(augmented) == 12_031
    expected = pascal_lists.pfenet(train, val, sbd, main, is_sbd=True)
    assert pascal_lists.pfenet(train, val, augmented, main, is_sbd=False)[:2] == expected[:2]


@pytest.mark.parametrize("number", [0, 2000])
def test_where_a_photo_is_lacking_pfenets_list_is_called_derived(sets, number):
    train, val, sbd, main = sets
    name, _, counts = pascal_lists.pfenet(train, val, sbd[:number] + sbd[number + 1 :], main, is_sbd=True)
    assert name == "pfenet_derived"
    assert counts[1].found == 5622


def shrinking(photos, of_class, shown):
    """Deals pairs to as many of the photos as `shown`, in the classes' known numbers; a pair only once."""
    found = {id: set() for id in photos}
    turn = 0
    for class_id, number in enumerate(of_class, 1):
        for _ in range(number):
            found[photos[turn % shown]].add(class_id)
            turn += 1
    return {id: sorted(classes) for id, classes in found.items()}


@pytest.fixture(scope="module")
def kept():
    """Which classes OSLSM's rule keeps, in all their known numbers."""
    train, val = ids("photo", PHOTOS[TRAINAUG]), ids("val", PHOTOS[VAL])
    of_train = shrinking(train, OF_CLASS[TRAINAUG], PHOTOS["oslsm"])
    return train, val, of_train | shrinking(val, OF_CLASS[VAL], VAL_BY_RULE[0])


def test_the_known_counts_agree_with_each_other():
    assert sum(OF_CLASS[TRAINAUG]) == PAIRS == 13_680
    assert sum(OF_CLASS[VAL]) == VAL_BY_RULE[1]
    assert [sum(OF_CLASS[TRAINAUG][c - 1] for c in fold) for fold in FOLDS] == [2286, 3425, 5883, 2086]
    assert [sum(OF_CLASS[VAL][c - 1] for c in fold) for fold in FOLDS] == [346, 451, 725, 346]
    assert [PAIRS - sum(OF_CLASS[TRAINAUG][c - 1] for c in fold) for fold in FOLDS] == [
        11394, 10255, 7797, 11594,
    ]  # fmt: skip
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)


def test_oslsms_list_is_called_so_where_every_count_is_as_known(kept):
    lists, counts = pascal_lists.by_oslsm_rule(*kept)
    assert list(lists) == ["oslsm"]
    assert list_files.size(lists["oslsm"]) == (10_092, 13_680)
    assert [(c.found, c.known) for c in counts] == [
        (10_092, 10_092), (13_680, 13_680), (20, 20), (1_381, 1_381), (1_868, 1_868), (20, 20),
    ]  # fmt: skip


@pytest.mark.parametrize("part", [0, 1])
def test_where_one_count_of_one_class_differs_it_is_called_derived(kept, part):
    train, val, classes = kept
    id = next(id for id in (train, val)[part] if 5 in classes[id] and 6 not in classes[id])
    changed = classes | {id: sorted({*classes[id], 6} - {5})}
    lists, counts = pascal_lists.by_oslsm_rule(train, val, changed)
    assert list(lists) == ["oslsm_derived"]
    different = [(count.what, count.found - count.known) for count in counts if count.found != count.known]
    rule = ("list oslsm_derived", "val by OSLSM's rule")[part]
    assert different == [
        (f"{rule}: classes with as many photos as known", -2),
        (f"{rule}: photos of bottle", -1),
        (f"{rule}: photos of bus", 1),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2007_000032\n\n2007_000039\n2007_000032\n", ["2007_000032", "2007_000039"]),
        ("/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\r\n", ["2007_000032"]),
        ("JPEGImages/b.jpg SegmentationClassAug/b.png\nJPEGImages/a.jpg x/a.png", ["b", "a"]),
        ("2011_1__15\n2007_2__07\n2011_1__05\n", [("2011_1", (5, 15)), ("2007_2", (7,))]),
        ("a.b_c", ["a.b_c"]),
    ],
)
def test_lists_are_read_as_they_are_published(tmp_path, text, expected):
    (tmp_path / "some.txt").write_text(text, newline="")
    assert list_files.read(tmp_path, 20) == {"some": expected}


def test_a_list_may_be_in_one_file_a_fold(tmp_path):
    for part, fold, text in (("trn", 0, "a__01\nb__02"), ("trn", 1, "a__06"), ("val", 0, "c__03")):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / f"fold{fold}.txt").write_text(text)
    (tmp_path / "plain.txt").write_text("d")
    assert list_files.read(tmp_path, 20) == {
        "plain": ["d"], "trn": [("a", (1, 6)), ("b", (2,))], "val": [("c", (3,))],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\n \n", r"The list .*some\.txt is empty: write the id"),
        ("2007_00000é".encode("latin-1"), r"some\.txt is no text in UTF-8: save it as such"),
        (b"\x89PNG\r\n\xff", "is no text in UTF-8"),
        (b"2007\0", "is no text in UTF-8"),
        ("2007_000032\n".encode("utf-16"), "is no text in UTF-8"),
        (b"a\nb c d", r"Line 2 of the list .*some\.txt holds 'b' and 'c': write each photo on a line"),
        (b"a.jpg b.png", "holds 'a.jpg' and 'b.png'"),
        (b"a 1", "holds 'a' and '1'"),
        (b"a__1\nb__21\n", r"Line 2 of the list .*some\.txt has the class '21': write 1 to 20"),
        (b"a__0\n", "has the class '0'"),
        (b"a__cat\n", "has the class 'cat'"),
        (b"a__01\nb\n", "has lines with a class and lines without"),
    ],
)
def test_a_bad_list_is_named(tmp_path, content, sentence):
    (tmp_path / "some.txt").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        list_files.read(tmp_path, 20)


def test_a_folder_without_lists_and_a_pipe_are_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no list: put text files NAME\.txt there"):
        list_files.read(tmp_path, 20)
    with pytest.raises(InputError, match=r"There is no folder .*nowhere: see --lists"):
        list_files.read(tmp_path / "nowhere", 20)
    os.mkfifo(tmp_path / "val.txt")
    with pytest.raises(InputError, match=r"val\.txt is no ordinary file"):
        list_files.read(tmp_path, 20)


def of_size(photos, pairs):
    if pairs is None:
        return ids("photo", photos)
    return [(id, (1, 2) if number < pairs - photos else (1,)) for number, id in enumerate(ids("p", photos))]


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ((10_582, None), (1_449, None), True),
        ((10_092, 13_680), (1_381, 1_868), True),
        ((5_953, None), (1_449, None), True),
        ((5_952, None), (1_449, None), False),
        ((10_092, 13_679), (1_449, None), False),
        ((5_953, None), (445, None), False),
    ],
)
def test_only_lists_of_the_known_sizes_are_pascal5i(train, test, expected):
    assert pascal_lists.is_benchmark({"a": of_size(*train), "b": of_size(*test)}) is expected


def test_known_sizes_stand_beside_pascals_lists_alone():
    counts = {c.what: (c.found, c.known) for c in pascal_lists.counts({"train": ["a"], "val": ["b", "c"]})}
    assert counts == {"list train: photos": (1, None), "list val: photos": (2, None)}
    counts = {
        c.what: (c.found, c.known)
        for c in pascal_lists.counts({"oslsm": [("a", (1, 2))], "val": ["b"], "pfenet_derived": ["c"]})
    }
    assert counts == {
        "list oslsm: photos": (1, 10_092),
        "list oslsm: pairs of photo and class": (2, 13_680),
        "list val: photos": (1, 1_449),
        "list pfenet_derived: photos": (1, 5_953),
    }


def test_a_list_with_the_mark_that_windows_puts_first(tmp_path):
    (tmp_path / "some.txt").write_text("2007_000032\n", "utf-8-sig")
    assert list_files.read(tmp_path, 20) == {"some": ["2007_000032"]}
