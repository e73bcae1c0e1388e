"""Orbax checkpoints of a run: its latest and its best state, and the configuration they were made with."""

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from fsjax.config import Found, store, upgrade
from fsjax.errors import InputError
from fsjax.files import unwritable
from fsjax.models.variables import Variables
from fsjax.training.step import TrainState

DIGESTS = "sha256"
"""Beside the configuration: the digest of every leaf of the state."""


class Checkpoints:
    """The checkpoints in `workdir/checkpoints`; a context manager, because saving goes on in the background.

    Each is written under a temporary name first, so that a killed run leaves the previous one whole. Nothing
    is made before the first one is saved.
    """

    def __init__(self, workdir: str | Path, keep: Collection[int] = (), step: int | None = None):
        """Opens them.

        Args:
          workdir: the run's folder.
          keep: steps whose checkpoints stay; of the others the last two do, and the one that is selected.
          step: which one is read; the latest by default.
        """
        self.workdir, self._step = Path(workdir), step
        self._dir = self.workdir.absolute() / "checkpoints"
        self._best = _Best()
        self._manager = ocp.CheckpointManager(
            self._dir,
            options=ocp.CheckpointManagerOptions(preservation_policy=_kept(keep, self._best), create=False),
            item_handlers={"state": ocp.PyTreeCheckpointHandler(), "config": ocp.JsonCheckpointHandler()},
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _to_disk(self.workdir):
            self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step of the latest whole checkpoint, None where there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState, config: ConfigDict, found: Found) -> None:
        """Saves a state that is not replicated, its configuration and what the run found out.

        The checkpoint that is selected by then stays; one that was before is deleted when this one is whole.

        Raises:
          InputError: this checkpoint, or the one before, does not fit on the disk; earlier ones stay.
        """
        step = int(state.step)
        if step != self.latest_step:
            arrays = jax.tree.map(_as_array, state._asdict())
            stored = {**store(config, found), DIGESTS: _sha256(arrays)}
            items = ocp.args.Composite(state=ocp.args.PyTreeSave(arrays), config=ocp.args.JsonSave(stored))
            self._best.step = found["selection"]["step"] if "selection" in found else None
            with _to_disk(self.workdir):
                self._dir.mkdir(parents=True, exist_ok=True)
                if disk_usage(self._dir).free < sum(array.nbytes for array in jax.tree.leaves(arrays)):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))  # Orbax would fill the disk, and the terminal
                self._manager.save(step, args=items)

    def stored(self) -> tuple[ConfigDict, Found]:
        """Returns the configuration of the checkpoint, brought up to date, and what the run found out.

        Raises:
          InputError: where there is no checkpoint, a damaged one, or one of a newer fsjax.
        """
        stored = self._stored(self.chosen())
        return upgrade({name: value for name, value in stored.items() if name != DIGESTS})

    def _stored(self, step: int) -> dict[str, Any]:
        items = ocp.args.Composite(config=ocp.args.JsonRestore())
        with self._reading(step):
            return dict(self._manager.restore(step, args=items).config)

    def restore(self, like: TrainState) -> TrainState:
        """Returns the state.

        Args:
          like: a state, or its shapes, of the method that the configuration describes.

        Raises:
          InputError: where there is no checkpoint, a damaged one (its bytes are not those that were saved,
            where the checkpoint tells), or one of another architecture.
        """
        return TrainState(**self._restore(like._asdict()))

    def variables(self, like: Variables) -> Variables:
        """Returns the state's variables alone, without the optimiser's state.

        Args:
          like: variables, or their shapes, of the method that is to use them.

        Raises:
          InputError: as `restore`.
        """
        variables = self._restore({"variables": like})["variables"]
        broken = [name for name, leaf in _leaves(variables).items() if not np.isfinite(leaf).all()]
        if broken:
            raise self._damaged(self.chosen(), f"{broken[0]} is not finite")
        return variables

    def _restore(self, like: dict[str, Any]) -> dict[str, Any]:
        step = self.chosen()
        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
        with self._reading(step):
            stored = self._manager.item_metadata(step).state.tree
        self._check_architecture(wanted, {name: stored[name] for name in wanted}, step)
        arguments = ocp.args.PyTreeRestore(
            wanted, ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True
        )
        with self._reading(step):
            restored = self._manager.restore(step, args=ocp.args.Composite(state=arguments)).state
        self._check_bytes(restored, step)
        return restored

    def _check_bytes(self, restored: dict[str, Any], step: int) -> None:
        """Makes sure that the leaves are those that were saved; the file system need not tell."""
        saved = self._stored(step).get(DIGESTS)
        if saved is None:  # an older fsjax did not write them down
            return
        for name, sha256 in _sha256(restored).items():
            if saved.get(name) != sha256:
                raise self._damaged(step, f"{name} is not what was saved")

    @contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Turns what Orbax, TensorStore and JSON say of damaged files into a sentence."""
        try:
            yield
        except Exception as error:
            raise self._damaged(step, type(error).__name__) from error

    def _damaged(self, step: int, why: str) -> InputError:
        cure = f"delete the folder checkpoints/{step} in it, and use the one before"
        if step != self.latest_step:
            cure = "name another step"
        return InputError(f"Checkpoint {step} in {self.workdir} is damaged ({why}): {cure}.")

    def chosen(self) -> int:
        """Returns the step of the checkpoint that is read.

        Raises:
          InputError: where there is none, or none of the step that was asked for.
        """
        if self._step is not None:
            there = sorted(self._manager.all_steps())
            if self._step not in there:
                raise InputError(
                    f"There is no checkpoint {self._step} in {self.workdir}, only {there}: name one "
                    "of these, or train with train.keep."
                )
            return self._step
        if self.latest_step is None:
            raise InputError(
                f"There is no checkpoint in {self.workdir}: train first, or name another --workdir."
            )
        return self.latest_step

    def _check_architecture(self, wanted: Any, stored: Any, step: int) -> None:
        here, there = _shapes(wanted), _shapes(stored)
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"Checkpoint {step} in {self.workdir} is of another architecture: {name} is "
                    f"{there.get(name, 'absent')} there and {here.get(name, 'absent')} in the configuration; "
                    "use the configuration it was trained with, or another --workdir."
                )


class _Best:
    """A policy of Orbax's: the checkpoint of one step stays, which is another one as training goes on."""

    step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Says of each checkpoint whether it stays."""
        return [checkpoint.step == self.step for checkpoint in checkpoints]


def _kept(steps: Collection[int], best: _Best) -> Any:
    policies = ocp.checkpoint_managers.preservation_policy
    return policies.AnyPreservationPolicy([policies.LatestN(2), policies.CustomSteps(sorted(steps)), best])


@contextmanager
def _to_disk(workdir: Path) -> Iterator[None]:
    """Turns what the disk refuses into a sentence; TensorStore wraps the system's error in one of its own."""
    what = f"A checkpoint in {workdir}"
    try:
        yield
    except OSError as error:
        raise unwritable(what, error.strerror) from error
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if not code:
            raise
        raise unwritable(what, os.strerror(int(code[1]))) from error


def _as_array(leaf: Any) -> np.ndarray:
    return np.asarray(leaf)


def _sha256(tree: Any) -> dict[str, str]:
    """Returns of each leaf the sha256 of its type, shape and bytes."""
    arrays = {name: np.asarray(leaf) for name, leaf in _leaves(tree).items()}
    return {
        name: hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()
        for name, array in arrays.items()
    }


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in _leaves(tree).items()}


def _leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    return {".".join(_key(part) for part in path): leaf for path, leaf in leaves}


def _key(part: Any) -> str:
    return str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part))))
