"""Prepared data sets: whose pixel it is where objects overlap; each record read once; nothing damaged."""

import io
import json
import os
import pickle
import threading
from collections import Counter
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from datasets.building import build
from datasets.plans import Plan
from datasets.prepared import KeptRecords, PreparedList, about_of, place_of, sealed
from datasets.records import Labelled
from fsjax.data.index import build_index
from fsjax.data.source import LISTED, SHRINKS, Source
from fsjax.errors import InputError

CLASSES = 6
PHOTOS = 8


def photo(n):
    """Returns a photo with overlapping classes and, each second time, with void pixels."""
    rng = np.random.default_rng(n)
    height, width = 20 + 5 * n, 30
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
    masks = {}
    for class_id in rng.permutation(np.arange(1, CLASSES + 1))[:4].tolist():
        top, left = rng.integers(0, 15, 2)
        masks[class_id] = np.zeros((height, width), bool)
        masks[class_id][top : top + 3 + 3 * class_id, left : left + 2 + 2 * class_id] = True
    void = rng.random((height, width)) < 0.3 if n % 2 else None
    return Labelled(f"photo{n}", file.getvalue(), (height, width), masks, void)


PICTURES = [photo(n) for n in range(PHOTOS)]


def plan(pictures, **changes):
    ids = [labelled.id for labelled in pictures]
    made = Plan(
        kind="made", title="Made", version="1", class_names=list("abcdef"), folds={}, ids=ids,
        tasks=pictures, read=lambda labelled: labelled, lists={"train": ids[:2], "test": ids},
        usual=("train", "test"),
    )  # fmt: skip
    return replace(made, **changes)


def opened(place, name="test"):
    return PreparedList(place, about_of(place), name, [[1, 2, 3], [4, 5, 6]])


@pytest.fixture
def place(tmp_path):
    return build(plan(PICTURES), "made", tmp_path, workers=0)


@pytest.fixture
def source(place):
    return opened(place)


def label(labelled, class_ids, way, y, x):
    """Returns the label of one pixel, as `Source.mask` has it in words."""
    here = [n for n, c in enumerate(class_ids, 1) if c in labelled.masks and labelled.masks[c][y, x]]
    if way in here:
        return way
    if here:
        return min(here, key=lambda n: (labelled.masks[class_ids[n - 1]].sum(), class_ids[n - 1]))
    return 255 if labelled.void is not None and labelled.void[y, x] else 0


@pytest.mark.parametrize("n", range(PHOTOS))
@pytest.mark.parametrize("class_ids", [(3,), (1, 4), (6, 2), (5, 1, 6, 3), (1, 2, 3, 4, 5, 6)])
def test_a_pixel_of_several_objects(source, n, class_ids):
    labelled = PICTURES[n]
    height, width = labelled.size
    for way in (None, *range(1, len(class_ids) + 1)):
        expected = [[label(labelled, class_ids, way, y, x) for x in range(width)] for y in range(height)]
        np.testing.assert_array_equal(source.mask(n, class_ids, way), expected)


def test_objects_do_overlap():
    overlaps = [sum(mask.astype(int) for mask in labelled.masks.values()) > 1 for labelled in PICTURES]
    assert all(overlap.any() for overlap in overlaps)


def test_of_two_as_small_the_order_does_not_choose(tmp_path):
    masks = {c: np.zeros((8, 8), bool) for c in (2, 4, 5)}
    for n, mask in enumerate(masks.values()):
        mask[n : n + 4] = True
    labelled = Labelled("one", PICTURES[0].photo, (8, 8), masks)
    source = opened(build(plan([labelled]), "made", tmp_path, workers=0))
    for class_ids in permutations(masks):
        classes = np.array([0, *class_ids])[source.mask(0, class_ids, None)]
        assert classes[:, 0].tolist() == [2, 2, 2, 2, 4, 5, 0, 0]


def test_what_is_stored(source):
    assert isinstance(source, Source)
    for n, labelled in enumerate(PICTURES):
        pixels = np.asarray(Image.open(io.BytesIO(labelled.photo)))
        np.testing.assert_array_equal(source.image(n), pixels)
        assert source.size(n) == labelled.size == pixels.shape[:2]
        areas = [labelled.masks[c].sum() if c in labelled.masks else 0 for c in range(1, CLASSES + 1)]
        assert source.areas(n).tolist() == areas
        assert source.areas(n).dtype == np.int32


def test_eligible_says_what_the_list_and_the_size_allow(tmp_path):
    masks = {2: np.ones((320, 320), bool), 5: np.zeros((320, 320), bool)}
    masks[5][:32, :64] = True  # two cells of 32x32: no more than 2
    labelled = [Labelled(f"photo{n}", b"", (320, 320), masks) for n in range(2)]
    lists = {"train": [("photo1", (2, 3))], "test": ["photo0"]}
    place = build(plan(labelled, lists=lists), "made", tmp_path, workers=0)
    listed = opened(place, "train").eligible(0)
    assert listed.dtype == np.uint8
    assert listed.tolist() == [0, LISTED | SHRINKS, LISTED, 0, 0, 0]
    assert opened(place, "test").eligible(0).tolist() == [1, LISTED | SHRINKS, 1, 1, 1, 1]


@pytest.fixture
def large(monkeypatch):
    """Every data set is one of which not all records are kept."""
    monkeypatch.setattr(KeptRecords, "SMALL", 0)


@pytest.fixture
def reads(source, monkeypatch):
    """Counts how often each record of the source is read from the disk."""
    counts, files = Counter(), type(source._records._records)
    plain = files.__getitem__

    def counted(records, position):
        counts[position] += 1
        return plain(records, position)

    monkeypatch.setattr(files, "__getitem__", counted)
    return counts


def test_one_record_is_read_once(source, reads):
    for position in (3, 5):
        source.image(position)
        source.mask(position, (1, 2), None)
        source.mask(position, (4,), 1)
        source.size(position)
        source.areas(position)
        source.eligible(position)
    source.image(3)  # two ways' supports, or an episode's support and query, in turns
    assert reads == {3: 1, 5: 1}


def test_an_index_reads_each_record_once(source, reads):
    build_index(source)
    assert reads == dict.fromkeys(range(PHOTOS), 1)


def test_of_a_small_data_set_each_record_is_read_once(source, reads):
    for position in (*range(PHOTOS), *range(PHOTOS)):
        source.size(position)
    assert reads == dict.fromkeys(range(PHOTOS), 1)


@pytest.mark.usefixtures("large")
def test_of_a_large_one_only_the_last_few_records_are_kept(source, reads):
    count = KeptRecords.RECENT + 1
    for position in (*range(count), count - 1, 0):
        source.size(position)
    assert reads == {0: 2} | dict.fromkeys(range(1, count), 1)


def test_what_is_large_is_told_by_the_files(place, source, monkeypatch):
    size = sum(file.stat().st_size for file in place.glob("*array_record*"))
    assert source._records._size == size > 0


@pytest.mark.usefixtures("large")
def test_threads_do_not_share_records_of_a_large_one(source, reads):
    seen = []

    def ask():
        seen.append(source.mask(2, (4,), None))
        source.areas(2)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == {2: 3}
    assert all(np.array_equal(seen[0], mask) for mask in seen)


def test_what_is_kept_is_not_sent_to_other_processes(source):
    source.image(0)
    before = len(pickle.dumps(source))
    for position in range(PHOTOS):
        source.image(position)
    sent = pickle.dumps(source)
    assert len(sent) == before < 10_000
    sent = pickle.loads(sent)
    np.testing.assert_array_equal(sent.image(1), source.image(1))


def test_what_a_caller_changes_is_not_what_the_next_one_gets(source):
    areas = source.areas(0)
    expected = areas.copy()
    areas += 1
    source.mask(0, (1,), None)[:] = 9
    source.image(0)[:] = 9
    np.testing.assert_array_equal(source.areas(0), expected)
    assert 9 not in source.mask(0, (1,), None)
    assert source.image(0).max() > 9


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\0b", "what?"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(InputError, match="is no name for a data set"):
        place_of(tmp_path, name)


@pytest.mark.parametrize("name", ["dataset_info.json", "metadata.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 5}'])
def test_a_damaged_description(place, name, content):
    (place / name).write_text(content)
    with pytest.raises(
        InputError, match=rf"{name}.* in {place} is damaged \(\w+\): make it anew with python .*datasets"
    ):
        opened(place)


def test_a_description_that_was_changed(place):
    about = json.loads((place / "metadata.json").read_text())
    about["lists"]["train"][0][0] = 5
    (place / "metadata.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="is damaged"):
        about_of(place)


@pytest.mark.parametrize("part", [*np.linspace(0.05, 0.9, 12)])
def test_no_changed_byte_is_used(place, part):
    """Either all records are as they were, or reading them ends in a sentence."""
    (file,) = place.glob("*.array_record*")
    content = bytearray(file.read_bytes())
    content[int(part * len(content))] ^= 0x10
    file.write_bytes(content)
    try:
        source = opened(place)
        for n, labelled in enumerate(PICTURES):
            np.testing.assert_array_equal(source.image(n), Image.open(io.BytesIO(labelled.photo)))
            for class_id, mask in labelled.masks.items():
                np.testing.assert_array_equal(source.mask(n, (class_id,), 1) == 1, mask)
    except InputError as error:
        found = str(error)
    else:
        found = ": make it anew with"  # the byte is of no account
    assert found.count(": make it anew with") == 1
    assert "\n" not in found


def test_a_file_that_is_missing_or_was_cut_short(place):
    (file,) = place.glob("*.array_record*")
    content = file.read_bytes()
    for damage in (file.unlink, *(lambda n=n: file.write_bytes(content[:n]) for n in (0, 1000, -1, -5000))):
        damage()
        with pytest.raises(InputError, match=rf"{file.name} in .*: make it anew with") as caught:
            opened(place).image(PHOTOS - 1)
        assert "\n" not in str(caught.value)


def test_a_file_of_another_data_set(tmp_path, place):
    other = build(plan(PICTURES[::-1]), "other", tmp_path, workers=0)
    for file in other.glob("*.array_record*"):
        (place / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"damaged \(image photo0 is not where it should be\)"):
        opened(place).mask(0, (1,), None)


@pytest.mark.parametrize("damage", ["description", "record", "missing", "pipe"])
def test_preparing_again_makes_what_is_damaged_anew(tmp_path, place, damage, caplog):
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    path = place / ("metadata.json" if damage == "description" else "photos-photos.array_record-00000")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    elif damage != "missing":
        path.write_bytes(content)
    build(plan(PICTURES), "made", tmp_path, workers=0)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == whole
    assert "It is made anew." in caplog.text
    caplog.clear()
    build(plan(PICTURES), "made", tmp_path, workers=0)
    assert "is damaged" not in caplog.text


def test_what_fsjax_0_5_wrote_opens(place):
    about = {key: value for key, value in about_of(place).items() if key not in ("files", "sha256")}
    (place / "metadata.json").write_text(json.dumps(sealed(about)))
    assert opened(place).size(1) == PICTURES[1].size
