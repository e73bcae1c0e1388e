"""A checkpoint that does not fit on the disk ends in a sentence, and the one before it stays."""

import errno
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from fsjax import config
from fsjax.errors import InputError
from fsjax.training import checkpoints as module
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.step import TrainState

REPOSITORY = Path(__file__).parents[2]

SCRIPT = """
import resource, sys
from pathlib import Path

import jax

jax.config.update("jax_platforms", "cpu")

from fsjax import config
from fsjax.errors import InputError
from fsjax.training.checkpoints import Checkpoints
from tests.training.test_full_disk import make_state

try:
    with Checkpoints(Path(sys.argv[1])) as checkpoints:
        checkpoints.save(make_state(1, 1000), config.default(), {})
        checkpoints._manager.wait_until_finished()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # no file may grow beyond this
        checkpoints.save(make_state(2, 1_000_000), config.default(), {})
except InputError as error:
    print(error)
    sys.exit(2)
"""


def make_state(step, values):
    weights = np.random.default_rng(step).random(values, np.float32)
    return TrainState(np.int32(step), {"backbone": {"params": {"w": weights}}}, ())


def test_the_last_checkpoint_that_fits_stays(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    sentence = f"A checkpoint in {tmp_path} cannot be written (File too large): make room on the disk"
    assert done.stdout.startswith(sentence)
    assert done.stdout.count("\n") == 1
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 1
        restored = checkpoints.restore(make_state(1, 1000))
    whole = make_state(1, 1000)
    np.testing.assert_array_equal(
        restored.variables["backbone"]["params"]["w"], whole.variables["backbone"]["params"]["w"]
    )


def test_nothing_is_begun_where_the_disk_has_no_room(tmp_path, monkeypatch):
    state, room = make_state(2, 1_000_000), namedtuple("Usage", "free")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(1, 1000), config.default(), {})
    monkeypatch.setattr(module, "disk_usage", lambda folder: room(4_000_000))  # four bytes less than it takes
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(InputError, match=os.strerror(errno.ENOSPC)):
            checkpoints.save(state, config.default(), {})
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
        monkeypatch.setattr(module, "disk_usage", lambda folder: room(4_000_004))
        checkpoints.save(state, config.default(), {})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 2
