"""Orbax checkpoints of a run: its latest and its best state, and the configuration they were made with."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from fsjax import distributed
from fsjax.config import Found, store, upgrade
from fsjax.errors import InputError, NotFiniteError
from fsjax.files import unwritable
from fsjax.models.variables import Variables
from fsjax.training import checkpoint_folders, file_digests
from fsjax.training.checkpoint_folders import Kept
from fsjax.training.digests import differs, dotted, leaves, seal, unsealed
from fsjax.training.step import TrainState

LOG = logging.getLogger(__name__)


class DamagedError(InputError):
    """A checkpoint cannot be read, or is not what was saved.

    Attributes:
      why: in a few words.
    """

    def __init__(self, step: int, workdir: Path, why: str):
        super().__init__(f"Checkpoint {step} in {workdir} is damaged ({why}): name another step.")
        self.why = why


class _Manager(ocp.CheckpointManager):
    """Orbax's manager, which leaves it to the training to ask JAX whether it is to stop.

    Its own thread asks, too, for a step that has been saved: the first process's step is then an earlier one
    for JAX, and the step after which all processes stop may be one that it has already passed.
    """

    def reached_preemption(self, step: int) -> bool:
        """Asks nobody: what is to be saved is decided by who saves."""
        return False


class _Stored(NamedTuple):
    values: dict[str, Any]  # the configuration and what was found, with their digests
    arrays: dict[str, np.ndarray]  # the leaves of the state by name


class Checkpoints:
    """The checkpoints in `workdir/checkpoints`; a context manager, because saving goes on in the background.

    Each is written under a temporary name first, so that a killed run leaves the previous one whole. Nothing
    is made before the first one is saved. All that is read is what was saved, by its hashes; where no step is
    named it is the newest checkpoint that is sound, and what is skipped is told.
    """

    def __init__(self, workdir: str | Path, step: int | None = None):
        """Opens them.

        Args:
          workdir: the run's folder.
          step: which one is read; the newest sound one by default.
        """
        self.workdir, self._step = Path(workdir), step
        self._dir = self.workdir.absolute() / "checkpoints"
        self._kept = Kept()
        self._read: tuple[int, _Stored] | None = None
        self._saving: int | None = None
        self._newest: int | None = None
        checkpoint_folders.check_ordinary(self._dir)
        try:
            self._manager = _Manager(
                self._dir,
                options=ocp.CheckpointManagerOptions(preservation_policy=self._kept, create=False),
                item_handlers={"state": ocp.PyTreeCheckpointHandler(), "config": ocp.JsonCheckpointHandler()},
            )
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(
                f"A file _CHECKPOINT_METADATA in {self._dir} is damaged ({type(error).__name__}): "
                "delete these files, which only say when a checkpoint was written."
            ) from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _to_disk(self.workdir):
            try:
                self._finish()
            finally:
                self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """The step of the newest sound checkpoint, None where there are no checkpoints.

        Raises:
          InputError: all there are are damaged.
        """
        return self._sound() if checkpoint_folders.steps(self._dir) else None

    @property
    def last_saved(self) -> int | None:
        """The step of the last checkpoint that was saved, or is being saved; None where there is none."""
        last: int | None = self._manager.latest_step()
        return last

    def clear(self) -> None:
        """Removes what killed programs have left, and puts damaged checkpoints aside that hide a sound one.

        Of several processes of a run all call it; nobody else trains in the folder.

        Raises:
          InputError: as `latest_step`.
        """
        newest = self.latest_step or 0
        if distributed.is_main():
            checkpoint_folders.clear(self._dir, newest)
        distributed.barrier("cleared")
        self._manager.reload()

    def save(self, state: TrainState, config: ConfigDict, found: Found) -> None:
        """Saves a state that is not replicated, its configuration and what the run found out.

        Of the earlier ones stay the last `train.keep_last`, this one included, those of `train.keep`, and the
        one that is selected by now; the others are deleted when this one is whole.

        Raises:
          InputError: this checkpoint, or the one before, does not fit on the disk; earlier ones stay.
          NotFiniteError: a value is not finite; nothing is written.
        """
        step, self._read, self._newest = int(state.step), None, None
        if step == self.last_saved:
            return
        arrays = jax.tree.map(_as_array, state._asdict())
        named = leaves(arrays)
        if broken := [name for name, array in named.items() if not np.isfinite(array).all()]:
            raise NotFiniteError(step, f"After step {step} {broken[0]} is not finite")
        stored = seal(store(config, found), named)
        items = ocp.args.Composite(state=ocp.args.PyTreeSave(arrays), config=ocp.args.JsonSave(stored))
        best = [found["selection"]["step"]] if "selection" in found else []
        self._kept.steps, self._kept.last = {*config.train.keep, *best}, config.train.keep_last
        with _to_disk(self.workdir):
            self._finish()
            self._dir.mkdir(parents=True, exist_ok=True)
            if disk_usage(self._dir).free < sum(array.nbytes for array in named.values()):
                raise OSError(ENOSPC, os.strerror(ENOSPC))  # Orbax would fill the disk, and the terminal
            self._manager.save(step, args=items)
            self._saving = step

    def finish(self) -> None:
        """Waits until what was saved is whole, with the hashes of its files; all processes of a run call it.

        Raises:
          InputError: it does not fit on the disk.
        """
        with _to_disk(self.workdir):
            self._finish()
        distributed.barrier("finished")

    def _finish(self) -> None:
        """Waits for the checkpoint that is being saved, and writes down the hashes of its files."""
        step, self._saving = self._saving, None
        if step is not None:
            self._manager.wait_until_finished()
            if distributed.is_main():
                file_digests.write(self._dir / str(step))

    def stored(self) -> tuple[ConfigDict, Found]:
        """Returns the configuration of the checkpoint, brought up to date, and what the run found out.

        Raises:
          InputError: where there is no checkpoint, a damaged one, or one of a newer fsjax.
        """
        return upgrade(unsealed(self._stored(self.chosen()).values))

    def restore(self, like: TrainState) -> TrainState:
        """Returns the state.

        Args:
          like: a state, or its shapes, of the method that the configuration describes.

        Raises:
          InputError: where there is no checkpoint, a damaged one, or one of another architecture.
        """
        return TrainState(**self._restore(like._asdict()))

    def variables(self, like: Variables) -> Variables:
        """Returns the state's variables alone, without the optimiser's state.

        Args:
          like: variables, or their shapes, of the method that is to use them.

        Raises:
          InputError: as `restore`.
        """
        variables: Variables = self._restore({"variables": like})["variables"]
        return variables

    def chosen(self) -> int:
        """Returns the step of the checkpoint that is read.

        Raises:
          InputError: where there is none, none that is sound, or none of the step that was asked for.
        """
        there = checkpoint_folders.steps(self._dir)
        if self._step is not None and self._step not in there:
            raise InputError(
                f"There is no checkpoint {self._step} in {self.workdir}, only {there}: name one "
                "of these, or train with train.keep."
            )
        if not there:
            raise InputError(
                f"There is no checkpoint in {self.workdir}: train first, or name another --workdir."
            )
        return self._sound() if self._step is None else self._step

    def _restore(self, like: dict[str, Any]) -> dict[str, Any]:
        step = self.chosen()
        arrays = self._stored(step).arrays
        inside = tuple(f"{name}." for name in like) + tuple(like)
        self._check_architecture(
            like, {name: a for name, a in arrays.items() if name.startswith(inside)}, step
        )

        def placed(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
            return arrays[dotted(path)].astype(leaf.dtype, copy=False)

        return dict(jax.tree_util.tree_map_with_path(placed, like))

    def _sound(self) -> int:
        """Returns the newest sound step, the same one until something is saved."""
        if self._newest is None:
            self._newest = self._newest_sound()
        return self._newest

    def _newest_sound(self) -> int:
        damaged: dict[int, str] = {}
        there = checkpoint_folders.steps(self._dir)
        for step in reversed(there):
            try:
                self._stored(step)
            except DamagedError as error:
                if step in checkpoint_folders.steps(self._dir):
                    damaged[step] = error.why
                continue
            for other, why in damaged.items():
                LOG.warning(
                    "Checkpoint %d in %s is damaged (%s) and skipped: the newest sound one is %d.",
                    other, self.workdir, why, step,
                )  # fmt: skip
            return step
        if checkpoint_folders.steps(self._dir) != there:
            return self._newest_sound()  # a training goes on: what it has deleted meanwhile is not damaged
        which = ", ".join(f"{step} ({why})" for step, why in damaged.items())
        raise InputError(
            f"Every checkpoint in {self.workdir} is damaged, {which}: copy the run's folder anew from where "
            "it is whole, or train in another --workdir."
        )

    def _stored(self, step: int) -> _Stored:
        """Returns a checkpoint, read once and checked.

        Raises:
          DamagedError: it cannot be read, or is not what was saved.
        """
        if self._read is None or self._read[0] != step:
            self._read = None  # two need not be in memory
            self._read = step, self._checked(step)
        return self._read[1]

    def _checked(self, step: int) -> _Stored:
        arguments = ocp.args.Composite(config=ocp.args.JsonRestore())
        with self._reading(step):
            if why := file_digests.differs(self._dir / str(step)):
                raise DamagedError(step, self.workdir, why)
            values = dict(self._manager.restore(step, args=arguments).config)
            tree = self._manager.item_metadata(step).state.tree
            as_numpy = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            wanted = ocp.args.Composite(state=ocp.args.PyTreeRestore(restore_args=as_numpy))
            arrays = leaves(self._manager.restore(step, args=wanted).state)
            if why := differs(values, arrays):
                raise DamagedError(step, self.workdir, why)
        return _Stored(values, arrays)

    @contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Turns what Orbax, TensorStore and JSON say of damaged files into a sentence."""
        try:
            yield
        except (DamagedError, MemoryError, jax.errors.JaxRuntimeError):  # the last: another process is lost
            raise
        except Exception as error:
            raise DamagedError(step, self.workdir, type(error).__name__) from error

    def _check_architecture(self, wanted: Any, stored: Any, step: int) -> None:
        here, there = _shapes(wanted), _shapes(stored)
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"Checkpoint {step} in {self.workdir} is of another architecture: {name} is "
                    f"{there.get(name, 'absent')} there and {here.get(name, 'absent')} in the configuration; "
                    "use the configuration it was trained with, or another --workdir."
                )


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


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in leaves(tree).items()}
