"""Whether two configurations describe one run, or one task."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from fsjax.errors import InputError

CHANGES_NO_STEP = ("eval.", "data.tfds_dir", "data.dir", "data.feature_dir", "data.threads", "data.workers",
                   "model.weights", "model.backbone_sha256", "train.log_every",
                   "train.checkpoint_every")  # fmt: skip
"""Fields that may differ when a run goes on. The weights' values are in its checkpoint already."""

DECIDES_THE_TASK = ("fold", "data.name", "data.folds", "data.drop_novel_images")
"""Fields that decide which classes are novel; with others a network might be tested on what it learned."""


def check_same_run(stored: ConfigDict, config: ConfigDict, workdir: str | Path) -> None:
    """Makes sure that the run in a folder goes on with the configuration that it began with.

    Raises:
      InputError: naming the first field that differs and matters.
    """
    _check(stored, config, workdir, lambda name: not name.startswith(CHANGES_NO_STEP))


def check_same_task(stored: ConfigDict, config: ConfigDict, workdir: str | Path) -> None:
    """Makes sure that a checkpoint is evaluated on the classes that its training left out.

    Raises:
      InputError: naming the first field that differs and matters.
    """
    _check(stored, config, workdir, lambda name: name in DECIDES_THE_TASK)


def check_same_extractor(stored: ConfigDict, config: ConfigDict, workdir: str | Path) -> None:
    """Makes sure that a run's extractor is the one that another run is to start from.

    Raises:
      InputError: naming the first field that differs.
    """

    def matters(name: str) -> bool:
        return name.startswith("model.backbone") and not name.endswith("sha256")

    _check(stored, config, workdir, matters)


def _check(
    stored: ConfigDict, config: ConfigDict, workdir: str | Path, matters: Callable[[str], bool]
) -> None:
    before, now = (_flat(json.loads(c.to_json_best_effort())) for c in (stored, config))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and matters(name):
            raise InputError(
                f"The run in {workdir} began with {name}={before.get(name)}, not {now.get(name)}: "
                "keep its configuration, or name another folder."
            )


def _flat(config: Mapping, prefix: str = "") -> dict[str, object]:
    flat = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
