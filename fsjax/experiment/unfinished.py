"""Evaluations that were killed: what of them a second start of the same command may go on from."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import fsjax
from fsjax import distributed
from fsjax.config.checking import flatten
from fsjax.data import manifest
from fsjax.evaluation.parts import Parts
from fsjax.evaluation.provenance import digest_of_code, provenance
from fsjax.evaluation.rows import UNTRAINED, Evaluation
from fsjax.experiment.processes import OF_A_MACHINE
from fsjax.experiment.settings import digest_of_ids
from fsjax.training import frozen

FOLDER = ".unfinished"
"""In the folder of the results, until these are written."""

_NO_MATTER = (
    *OF_A_MACHINE, "train.", "batch_size", "lr_scaling", "eval.memory", "eval.pictures", "eval.protocol",
    "eval.allow_trained_classes",
)  # fmt: skip
"""How fields begin that decide no count of an evaluation, once weights, data and episodes are given."""

_LIBRARIES = ("pillow", "optax")
"""Those that decode photos and adapt, beside what results.json names."""

_ELSEWHERE = ("devices", "python")
"""What may change between two starts."""


@contextmanager
def kept(out: Path, config: ConfigDict, header: manifest.Header, evaluation: Evaluation) -> Iterator[Parts]:
    """Yields where an evaluation keeps what it has finished, without what others have left there.

    If the block ends well, nothing of it stays.

    Args:
      out: the folder of the results, in which no other program is at work.
      config: of the evaluation.
      header: of its episodes.
      evaluation: it.

    Raises:
      InputError: the processes of this run do not evaluate alike.
    """
    decides = _decides(config, header, evaluation)
    if distributed.several():
        distributed.agree({**decides, "the number of devices": jax.local_device_count()})
    text = json.dumps(decides, sort_keys=True, default=str)
    parts = Parts(out / FOLDER, hashlib.sha256(text.encode()).hexdigest())
    if distributed.is_main():
        parts.clear_others()
    yield parts
    if distributed.is_main():
        parts.clear()
    distributed.barrier("evaluated")


def _decides(config: ConfigDict, header: manifest.Header, evaluation: Evaluation) -> dict[str, Any]:
    """Returns all that decides the counts of an evaluation."""
    source, untrained = evaluation.photos.source, UNTRAINED in config.eval.rows
    return {
        **{name: value for name, value in flatten(config).items() if not name.startswith(_NO_MATTER)},
        **{name: value for name, value in provenance().items() if name not in _ELSEWHERE},
        **{name: version(name) for name in _LIBRARIES},
        "the hash of the code": digest_of_code(Path(fsjax.__file__).parent),
        "the data's version": source.version,
        "the hash of the data's ids": digest_of_ids(source),
        "the hash of the episodes": manifest.digest(evaluation.specs, source.ids),
        "the manifest's header": asdict(header),
        "the hash of the weights": frozen.digest(evaluation.segmenter.variables),
        "the hash of the weights before training": frozen.digest(evaluation.untrained()) if untrained else "",
    }
