"""Batches of episodes: who loads which, in parallel, and onto the devices ahead of time."""

import contextlib
import gc
import math
import re
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from absl import flags, logging

from fsjax import preemption
from fsjax.data.images import FeatureReader, InputSettings, empty_episode, load_episode, stacked
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.devices import spread
from fsjax.episode import Episode
from fsjax.errors import InputError
from fsjax.processes import begin_loading

# What Grain says with an older JAX (its processes cannot be profiled) and with protobuf 6 (its messages were
# made for 5) no user can mend.
_LOGGER = logging.get_absl_logger()
_LEVEL = _LOGGER.level
_LOGGER.setLevel("ERROR")
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Protobuf gencode version", UserWarning)
    import grain
_LOGGER.setLevel(_LEVEL)

SMALL = 2048
"""Bytes from which on an array of a batch goes through shared memory; smaller ones are sent."""


@dataclass(frozen=True)
class Slots:
    """The places for episodes in a global batch, and this process's share of them.

    A batch has process_count x devices x per_device slots, numbered process by process and device by
    device. The first batch_size of them hold episodes, the spare ones fillings of weight 0.

    Raises:
        InputError: batch_size is not between 1 and the number of slots.
    """

    devices: int  # local devices of each process
    per_device: int
    batch_size: int  # episodes of the global batch
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        if not 1 <= self.batch_size <= self.local * self.process_count:
            raise InputError(
                f"batch_size={self.batch_size} does not fit {self.local * self.process_count} slots "
                f"({self.process_count} processes x {self.devices} devices x per_device={self.per_device}); "
                "give 1 or more, or raise per_device."
            )

    @property
    def local(self) -> int:
        """The number of this process's slots in a batch."""
        return self.devices * self.per_device

    def episode(self, element: int) -> int | None:
        """Returns the number of the episode in this process's slot `element`, None for a spare slot.

        Args:
            element: the slot, counted through all batches: batch x local + slot.
        """
        batch, slot = divmod(element, self.local)
        slot += self.process_index * self.local
        return batch * self.batch_size + slot if slot < self.batch_size else None


def batches(
    source: Source,
    spec_of: Callable[[int], EpisodeSpec],
    settings: InputSettings,
    slots: Slots,
    *,
    seed: int,
    start: int = 0,
    stop: int,
    threads: int = 2,
    workers: int = 0,
    features: FeatureReader | None = None,
) -> Iterator[Episode]:
    """Yields this process's share of the batches start..stop - 1, always the same ones.

    Slot s of batch b holds episode b x batch_size + s, whatever the number of threads, workers,
    processes and devices; training resumes with `start` at its step.

    Args:
        source: the photos and labels.
        spec_of: returns the spec of episode i, e.g. an `EpisodeSampler`; picklable when workers > 0.
        settings: how photos become arrays.
        slots: the places of a batch.
        seed: decides the flips, crops and rotations.
        start: the first batch.
        stop: the batch to stop before.
        threads: threads that load episodes, in each process that loads.
        workers: processes that load episodes; with 0 this process does.
        features: what takes the place of the photos (see `load_episode`); picklable when workers > 0.

    Yields:
        Episodes of NumPy arrays with [devices, per_device] in front of every field.
    """
    load = _Load(source, spec_of, settings, slots, seed, stop * slots.batch_size, features)
    return _read(load, start, stop, threads, workers)


def evaluation_batches(
    source: Source,
    specs: Sequence[EpisodeSpec],
    settings: InputSettings,
    devices: int,
    per_device: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
    workers: int = 0,
    features: FeatureReader | None = None,
) -> Iterator[Episode]:
    """Yields this process's share of all the episodes of `specs`, in order and never augmented.

    The last batch is filled up with weight 0. The arguments are those of `batches` and `Slots`.

    Yields:
        Episodes of NumPy arrays with [devices, per_device] in front of every field.
    """
    slots = Slots(devices, per_device, devices * per_device * process_count, process_index, process_count)
    plain = replace(settings, flip=False, crop=1.0, rotate=0.0)
    load = _Load(source, specs.__getitem__, plain, slots, 0, len(specs), features)
    return _read(load, 0, math.ceil(len(specs) / slots.batch_size), threads, workers)


@dataclass(frozen=True)
class _Load:
    """Loads a batch; a class, so that worker processes can be sent one."""

    source: Source
    spec_of: Callable[[int], EpisodeSpec]
    settings: InputSettings
    slots: Slots
    seed: int
    end: int  # the number of episodes
    features: FeatureReader | None

    def __call__(self, batch: int) -> Episode:
        first, lead = batch * self.slots.local, (self.slots.devices, self.slots.per_device)
        episodes = [self._slot(element) for element in range(first, first + self.slots.local)]
        fields = [stacked(field) for field in zip(*episodes, strict=True)]
        return Episode(*(field.reshape(*lead, *field.shape[1:]) for field in fields))

    def _slot(self, element: int) -> Episode:
        number = self.slots.episode(element)
        if number is None or number >= self.end:
            any_spec = self.spec_of(0)  # only its shape counts
            return empty_episode(self.source, any_spec, self.settings, self.features)
        return load_episode(self.source, self.spec_of(number), self.settings, self.seed, self.features)


def _read(load: _Load, start: int, stop: int, threads: int, workers: int) -> Iterator[Episode]:
    """Yields the batches start..stop - 1.

    Grain's elements are whole batches: so they are the same for every number of workers, are put together
    where they are loaded, and cross from there in few pieces.
    """
    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
    read = grain.MapDataset.range(start, stop).map(load).to_iter_dataset(ahead)
    if workers:
        if not flags.FLAGS.is_parsed():  # Grain reads its own flags, also in a notebook
            flags.FLAGS.mark_as_parsed()
        read = grain.experimental.WithOptionsIterDataset(
            read, grain.experimental.DatasetOptions(min_shm_size=SMALL)
        )
        read = read.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers), begin_loading)
    iterator = iter(read)
    try:
        with _deaths():
            for batch in iterator:
                # Out of the shared memory, of which there may be little, and a file is open for each array.
                yield Episode(*map(np.array, batch)) if workers else batch
    finally:
        iterator.close()
        if workers:  # Grain's iterators refer to themselves, and keep the last batches in shared memory
            del iterator
            gc.collect()


@contextlib.contextmanager
def _deaths() -> Iterator[None]:
    """Turns what Grain says of a worker process that was ended from outside into a sentence.

    SIGTERM may have ended one that was only starting, and could not ignore it yet.
    """
    try:
        yield
    except RuntimeError as error:
        ended = re.search(r"terminated unexpectedly with exit code (-?\d+)", str(error))
        if ended is None:
            raise
        if preemption.asked() and int(ended[1]) == -signal.SIGTERM:
            raise preemption.Preempted from error
        raise InputError(
            f"A worker process of the loader has died (exit code {ended[1]}), as by a lack of memory, or of "
            "room in /dev/shm: lower data.workers or data.threads, and start the same command again."
        ) from error


def prefetch(iterator: Iterator[Episode], depth: int = 2) -> Iterator[Episode]:
    """Yields the batches on the local devices, `depth` of them on their way while one is used.

    The leading axis is split over the first local devices, as pmap wants it: nothing is copied again.
    Closing this iterator closes that of the batches.
    """
    waiting: deque[Episode] = deque()
    try:
        for batch in iterator:
            waiting.append(spread(batch))
            if len(waiting) > depth:
                yield waiting.popleft()
        yield from waiting
    finally:
        if hasattr(iterator, "close"):
            iterator.close()
