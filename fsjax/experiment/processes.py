"""What the processes of a training make sure of before its first step: that they are of one run."""

import jax
from ml_collections import ConfigDict

from fsjax import __version__, distributed
from fsjax.config import Found
from fsjax.config.checking import flatten
from fsjax.data import manifest
from fsjax.data.source import Source
from fsjax.experiment.settings import digest_of_ids
from fsjax.training import frozen
from fsjax.training.plan import Plan
from fsjax.training.step import TrainState

OF_A_MACHINE = ("compilation_cache", "data.tfds_dir", "data.feature_dir", "data.threads", "data.workers")
"""Fields that may differ between the machines of a run."""

EPISODES = 8
"""So many, from the first step on, are drawn and compared."""


def check_same(config: ConfigDict, source: Source, plan: Plan, state: TrainState, found: Found) -> None:
    """Makes sure that all processes train the same on the same data.

    Args:
      config: of the training.
      source: the data.
      plan: of the training.
      state: that it goes on from.
      found: what the run has found out so far.

    Raises:
      InputError: in every process, naming what differs.
    """
    if not distributed.several():
        return
    start = int(state.step)
    specs = [plan.sampler(start * plan.batch_size + number) for number in range(EPISODES)]
    fields = {name: value for name, value in flatten(config).items() if name not in OF_A_MACHINE}
    distributed.agree(
        {
            "fsjax": __version__,
            "jax": jax.__version__,
            **fields,
            **found,
            "train_ids_sha256": digest_of_ids(source),
            "the step to go on from": start,
            "the hash of its variables": frozen.digest(state.variables),
            "the hash of its next episodes": manifest.digest(specs, source.ids),
            "the number of devices": jax.local_device_count(),
        }
    )
