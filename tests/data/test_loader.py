"""Batches: whatever loads them, the same episodes in the same places, and on the right devices."""

import itertools
import threading

import jax
import numpy as np
import pytest

from fsjax.data.images import InputSettings, load_episode
from fsjax.data.index import build_index
from fsjax.data.loader import Slots, batches, evaluation_batches, prefetch
from fsjax.data.sampling import EpisodeSampler
from fsjax.errors import InputError
from tests.toy import ToySource

SETTINGS = InputSettings(12, flip=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return ToySource(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def sampler(source):
    return EpisodeSampler(
        build_index(source), source.class_names, (1, 2, 3, 4), ways=2, shots=1, queries=1, seed=5
    )


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def slot(batch, device, place):
    return jax.tree.map(lambda field: field[device, place], batch)


# ---- slots ----


def test_slots_of_two_processes_partition_every_batch():
    shares = [Slots(3, 2, batch_size=10, process_index=p, process_count=2) for p in (0, 1)]
    for b in range(4):
        numbers = [share.episode(b * 6 + s) for share in shares for s in range(6)]
        assert numbers == [*range(b * 10, b * 10 + 10), None, None]


@pytest.mark.parametrize("batch_size", [0, 7])
def test_a_batch_has_to_fit(batch_size):
    with pytest.raises(InputError, match=rf"batch_size={batch_size} does not fit 6 slots"):
        Slots(3, 2, batch_size)


# ---- training batches ----


def test_batches_hold_the_episodes_in_order(source, sampler):
    slots = Slots(devices=2, per_device=2, batch_size=3)
    found = list(batches(source, sampler, SETTINGS, slots, seed=6, start=2, stop=4))
    assert len(found) == 2
    for b, batch in enumerate(found, start=2):
        for s in range(3):
            expected = load_episode(source, sampler(3 * b + s), SETTINGS, seed=6)
            assert_same(slot(batch, *divmod(s, 2)), expected)
        spare = slot(batch, 1, 1)
        assert spare.weight == 0
        assert (spare.query_sizes == 12).all()
        assert not spare.query_images.any()
        assert all(field.shape[:2] == (2, 2) for field in batch)
        assert batch.weight.dtype == np.float32


def test_resuming_continues(source, sampler):
    slots = Slots(2, 1, 2)
    whole = list(batches(source, sampler, SETTINGS, slots, seed=1, stop=5))
    rest = list(batches(source, sampler, SETTINGS, slots, seed=1, start=3, stop=5))
    assert_same(whole[3:], rest)


@pytest.mark.parametrize(
    ("threads", "workers"), [(0, 0), (1, 0), (5, 0), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_threads_and_workers_change_nothing(source, sampler, threads, workers):
    slots = Slots(2, 2, 3)
    expected = [
        [load_episode(source, sampler(3 * b + s), SETTINGS, seed=2) for s in range(3)] for b in range(3)
    ]
    read = batches(source, sampler, SETTINGS, slots, seed=2, stop=3, threads=threads, workers=workers)
    for b, batch in enumerate(read):
        for s in range(3):
            assert_same(slot(batch, *divmod(s, 2)), expected[b][s])
    assert b == 2


def test_two_processes_load_what_one_would(source, sampler):
    (one,) = batches(source, sampler, SETTINGS, Slots(4, 1, 3), seed=0, stop=1)
    halves = [
        next(batches(source, sampler, SETTINGS, Slots(2, 1, 3, process, 2), seed=0, stop=1))
        for process in (0, 1)
    ]
    assert_same(one, jax.tree.map(lambda *fields: np.concatenate(fields), *halves))


class Broken(ToySource):
    """None of its photos can be read."""

    def image(self, position):
        raise InputError(f"image '{self.ids[position]}' is truncated; get it anew.")


def test_the_users_errors_arrive_as_they_are(sampler):
    with pytest.raises(InputError) as raised:
        next(batches(Broken(), sampler, SETTINGS, Slots(1, 1, 1), seed=0, stop=1))
    position = sampler(0).support[0][0]
    assert str(raised.value) == f"image 'toy_{position:03d}' is truncated; get it anew."


def test_augmented_batches_hold_the_augmented_episodes(source, sampler):
    settings = InputSettings(12, flip=True, crop=1.5, rotate=10.0)
    (batch,) = batches(source, sampler, settings, Slots(2, 1, 2), seed=6, start=7, stop=8)
    for s in range(2):
        assert_same(slot(batch, s, 0), load_episode(source, sampler(14 + s), settings, seed=6))


class PositionFeatures:
    """Features that tell which record they are; not of the photos' size."""

    shape = (2, 3, 2)

    def read(self, position, flipped):
        return np.broadcast_to(np.float16([position, flipped]), self.shape)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_features_pass_through(sampler, workers):
    features, slots = PositionFeatures(), Slots(2, 2, 3)
    source = Broken()  # its photos cannot be read
    read = batches(
        source, sampler, SETTINGS, slots, seed=2, stop=2, threads=1, workers=workers, features=features
    )
    for b, batch in enumerate(read):
        for s in range(3):
            expected = load_episode(source, sampler(3 * b + s), SETTINGS, 2, features)
            assert expected.query_images[0, 0, 0, 0] == sampler(3 * b + s).query[0]
            assert_same(slot(batch, *divmod(s, 2)), expected)
        assert slot(batch, 1, 1).weight == 0
        assert batch.support_images.shape == (2, 2, 2, 1, 2, 3, 2)
        assert batch.support_images.dtype == np.float16
    assert b == 1


# ---- evaluation batches ----


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_covers_all_specs_once(source, sampler, processes):
    specs = [sampler(i) for i in range(20, 31)]
    shares = [
        list(
            evaluation_batches(source, specs, SETTINGS, 2, 2, process_index=process, process_count=processes)
        )
        for process in range(processes)
    ]
    rounds = list(zip(*shares, strict=True))
    assert len(rounds) == (3 if processes == 1 else 2)
    episodes = [
        slot(batch, d, p) for row in rounds for batch in row for d, p in itertools.product(range(2), range(2))
    ]
    assert [int(episode.weight) for episode in episodes] == [1] * 11 + [0] * (len(episodes) - 11)
    plain = InputSettings(12)
    for spec, episode in zip(specs, episodes, strict=False):
        assert_same(episode, load_episode(source, spec, plain))


def test_evaluation_augments_nothing(source, sampler):
    settings = InputSettings(12, flip=True, crop=2.0, rotate=30.0)
    specs = [sampler(i) for i in range(4)]
    (batch,) = evaluation_batches(source, specs, settings, 4, 1)
    for d, spec in enumerate(specs):
        assert_same(slot(batch, d, 0), load_episode(source, spec, InputSettings(12)))


def test_evaluation_of_features_mirrors_none(sampler):
    specs = [sampler(i) for i in range(4)]
    (batch,) = evaluation_batches(Broken(), specs, SETTINGS, 4, 1, features=PositionFeatures())
    assert not batch.query_images[..., 1].any()
    assert batch.query_images[:, 0, 0, 0, 0, 0].tolist() == [spec.query[0] for spec in specs]


def test_nothing_to_evaluate(source):
    assert list(evaluation_batches(source, [], SETTINGS, 2, 2)) == []


# ---- onto the devices ----


def test_prefetched_batches_suit_pmap_as_they_lie(source, sampler):
    slots = Slots(8, 1, 8)
    host = list(batches(source, sampler, SETTINGS, slots, seed=3, stop=4))
    total = jax.pmap(lambda batch: jax.lax.psum(batch.index, "devices"), axis_name="devices")
    for b, (expected, batch) in enumerate(zip(host, prefetch(iter(host)), strict=True)):
        assert_same(expected, batch)
        assert [s.device for s in batch.query_images.addressable_shards] == jax.local_devices()
        with jax.transfer_guard("disallow"):
            sums = total(batch)
        assert sums.tolist() == [[sum(range(8 * b, 8 * b + 8))]] * 8


def test_prefetch_on_fewer_devices(source, sampler):
    (batch,) = prefetch(batches(source, sampler, SETTINGS, Slots(3, 2, 5), seed=3, stop=1))
    assert batch.weight.sharding.device_set == set(jax.local_devices()[:3])


def counted(batch, log, count=10):
    try:
        for i in range(count):
            log.append(i)
            yield batch
    finally:
        log.append("closed")


@pytest.mark.parametrize("depth", [0, 2])
def test_prefetch_reads_ahead_and_closes(source, sampler, depth):
    (batch,) = batches(source, sampler, SETTINGS, Slots(1, 1, 1), seed=3, stop=1)
    log = []
    ahead = prefetch(counted(batch, log), depth)
    next(ahead)
    assert log == list(range(depth + 1))
    ahead.close()
    assert log[-1] == "closed"


def test_prefetch_passes_errors_on(source, sampler):
    broken = batches(Broken(), sampler, SETTINGS, Slots(1, 1, 1), seed=0, stop=9)
    with pytest.raises(InputError, match="truncated"):
        next(prefetch(broken))


def test_closing_early_leaves_no_thread_at_work(source, sampler):
    before = set(threading.enumerate())
    read = prefetch(batches(source, sampler, SETTINGS, Slots(2, 1, 2), seed=0, stop=10_000, threads=3))
    next(read)
    read.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive()
