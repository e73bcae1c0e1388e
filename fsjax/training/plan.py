"""The plan of a training: what is drawn, how fast is learned, how long, and on which devices."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import optax

from fsjax.data.images import FeatureReader, InputSettings
from fsjax.data.loader import Slots, batches
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, PairSampler
from fsjax.data.source import Source
from fsjax.episode import Episode
from fsjax.training.optimizer import OptimizerSettings, learning_rate, make_optimizer

LOG = logging.getLogger(__name__)

_TOLD = 4
"""Episodes of a step that a sentence names."""


@dataclass(frozen=True)
class Plan:
    """A training.

    Attributes:
      sampler: of its episodes.
      inputs: how photos are resized and augmented.
      batch_size: episodes in a step, over all devices.
      seed: of the augmentation and of all that the loss draws.
      schedule: the learning rate at each step.
      optimizer: with that rate.
      steps: how many.
      accumulate: in how many parts, at most, a device's batch is computed, one after another.
    """

    sampler: EpisodeSampler
    inputs: InputSettings
    batch_size: int
    seed: int
    schedule: optax.Schedule
    optimizer: optax.GradientTransformation
    steps: int
    accumulate: int = 1

    @classmethod
    def make(
        cls,
        sampler: EpisodeSampler,
        inputs: InputSettings,
        settings: OptimizerSettings,
        *,
        batch_size: int,
        reference_batch_size: int,
        lr_scaling: str,
        steps: int,
        epochs: int,
        seed: int,
        accumulate: int = 1,
    ) -> "Plan":
        """Makes a plan; the arguments are the configuration's fields of those names.

        Raises:
          InputError: for a warm-up as long as the training.
        """
        factor = rate_factor(batch_size, reference_batch_size, lr_scaling)
        if epochs and isinstance(sampler, PairSampler):
            counted = reference_batch_size if lr_scaling == "linear" else batch_size
            steps = round(epochs * sampler.pairs / counted)
        schedule, steps = learning_rate(settings, steps, factor)
        optimizer = make_optimizer(settings, schedule)
        return cls(sampler, inputs, batch_size, seed, schedule, optimizer, steps, accumulate)

    @property
    def parts(self) -> int:
        """In how many equal parts each device's batch is computed."""
        return parts_of(self.batch_size, self.accumulate).number

    def episodes(
        self,
        source: Source,
        start: int,
        *,
        threads: int,
        workers: int,
        features: FeatureReader | None = None,
    ) -> Iterator[Episode]:
        """Yields the batches of the steps from `start` on, read as photos or as cached features."""
        return batches(
            source, self.sampler, self.inputs, self._slots(),
            seed=self.seed, start=start, stop=self.steps, threads=threads, workers=workers, features=features,
        )  # fmt: skip

    def told(self, step: int, ids: Sequence[str]) -> str:
        """Returns, in words, which episodes a step saw: "episode 7 (support a; query b)".

        Args:
          step: counted from 1.
          ids: of the photos.
        """
        indices = range((step - 1) * self.batch_size, step * self.batch_size)
        told = [_in_words(self.sampler(index), ids) for index in indices[:_TOLD]]
        more = [f"{len(indices) - _TOLD} more up to {indices[-1]}"] * (len(indices) > _TOLD)
        return ", ".join([*told, *more])

    def _slots(self) -> Slots:
        """Returns the slots of a batch, and says how many stand idle."""
        slots = slots_of(self.batch_size, self.accumulate)
        places = slots.local * slots.process_count
        if places > self.batch_size:
            LOG.info(
                "batch_size=%d leaves %d of %d device slots idle: --config.batch_size=%d "
                "--config.lr_scaling=linear would use them.",
                self.batch_size, places - self.batch_size, places, places,
            )  # fmt: skip
        return slots


def rate_factor(batch_size: int, reference_batch_size: int, lr_scaling: str) -> float:
    """Returns how many times as large as the reference the batches are, as far as the learning rate goes."""
    return batch_size / reference_batch_size if lr_scaling == "linear" else 1.0


class Parts(NamedTuple):
    """The parts in which each device's batch is computed, one after another."""

    number: int
    episodes: int  # of each, spare slots included


def parts_of(batch_size: int, accumulate: int = 1) -> Parts:
    """Returns the parts of a device's batch.

    They are as large as `accumulate` parts of its share of the episodes need be; where that share is smaller
    or no multiple, there are fewer of them.

    Args:
      batch_size: episodes in a step, over all devices of all hosts.
      accumulate: how many parts there are at most.
    """
    share = math.ceil(batch_size / (jax.local_device_count() * jax.process_count()))
    episodes = math.ceil(share / accumulate)
    return Parts(math.ceil(share / episodes), episodes)


def slots_of(batch_size: int, accumulate: int = 1) -> Slots:
    """Spreads a batch over all devices of all hosts; the arguments are those of `parts_of`."""
    per_device = math.prod(parts_of(batch_size, accumulate))
    return Slots(jax.local_device_count(), per_device, batch_size, jax.process_index(), jax.process_count())


def _in_words(spec: EpisodeSpec, ids: Sequence[str]) -> str:
    supports = ", ".join(ids[position] for way in spec.support for position in way)
    queries = ", ".join(ids[position] for position in spec.query)
    return f"episode {spec.index} (support {supports}; query {queries})"
