"""How records are read: each once, in every thread."""

import pickle
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import datasets
from datasets import opened, shapes
from fsjax.data.index import build_index
from fsjax.data.source import Source
from fsjax.errors import InputError


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A benchmark of eight pictures."""
    monkeypatch.setattr(shapes, "SPLITS", {"train": 1, "test": 8})
    return datasets.load(SimpleNamespace(name="shapes", tfds_dir=str(tmp_path / "built")))["test"]


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


def test_it_is_a_source(source):
    assert isinstance(source, Source)


@pytest.mark.parametrize("name", ["dataset_info.json", "metadata.json"])
def test_the_folder_of_a_damaged_description_is_named(source, tmp_path, name):
    (source.cache_dir / name).write_text("{")
    with pytest.raises(
        InputError, match=rf"The data set in {tmp_path}/built/shapes\S* is damaged \(\w+\): delete"
    ):
        datasets.load(SimpleNamespace(name="shapes", tfds_dir=str(tmp_path / "built")))


def test_one_record_is_read_once(source, reads):
    for position in (3, 5):
        source.image(position)
        source.mask(position, (1, 2), "query")
        source.mask(position, (7,), "support")
        source.size(position)
        source.areas(position)
    source.image(3)  # two ways' supports, or an episode's support and query, in turns
    assert reads == {3: 1, 5: 1}


def test_an_index_reads_each_record_once(source, reads):
    build_index(source)
    assert reads == dict.fromkeys(range(8), 1)


def test_only_the_last_few_records_are_kept(source, reads):
    count = opened.RecentRecords.KEPT + 1
    for position in (*range(count), count - 1, 0):
        source.size(position)
    assert reads == {0: 2} | dict.fromkeys(range(1, count), 1)


def test_threads_do_not_share_records(source, reads):
    seen = []

    def ask():
        seen.append(source.mask(2, (4,), "query"))
        source.areas(2)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == {2: 3}
    assert all(np.array_equal(seen[0], mask) for mask in seen)


def test_what_is_kept_is_not_sent_to_other_processes(source):
    photos = sum(source.image(position).size for position in range(4))
    sent = pickle.dumps(source)
    assert len(sent) < 10_000 < photos / 20
    sent = pickle.loads(sent)
    np.testing.assert_array_equal(sent.image(1), source.image(1))


def test_what_a_caller_changes_is_not_what_the_next_one_gets(source):
    areas = source.areas(0)
    expected = areas.copy()
    areas += 1
    source.mask(0, (1,), "query")[:] = 9
    np.testing.assert_array_equal(source.areas(0), expected)
    assert 9 not in source.mask(0, (1,), "query")
