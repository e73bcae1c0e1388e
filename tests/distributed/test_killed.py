"""One of two processes is killed in mid-run: the other stops with a sentence; started again, both go on.

python -m pytest -n 0 -m slow tests/distributed/test_killed.py
"""

import signal
import time

import pytest

from fsjax.distributed import partners
from fsjax.exit_codes import PREEMPTED
from fsjax.training.curves import read_metrics
from tests.commands.conftest import write_folder
from tests.distributed.pairs import WITHIN, ended, last_line, start_pair

FLAGS = (
    "--config.batch_size=3", "--config.train.steps=150", "--config.train.checkpoint_every=50",
    "--config.eval.pictures=0", "--config.eval.rows=rgb",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos, and a configuration."""
    return write_folder(tmp_path_factory.mktemp("killed"))


def begun(place, name):
    """The two processes of a run, which have just been started."""
    compiled = f"--config.compilation_cache={place}/compiled"
    return start_pair("train.py", f"--config={place}/mini.py", f"--workdir={place}/{name}", *FLAGS, compiled)


@pytest.fixture(scope="module")
def whole(place):
    """The folder of a run that nobody disturbed."""
    assert [code for code, _, _ in ended(begun(place, "whole"))] == [0, 0]
    return place / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_is_killed(victim, place, whole):
    run, pair = place / f"killed{victim}", begun(place, f"killed{victim}")
    while not (run / "checkpoints" / "50").is_dir():
        assert all(process.poll() is None for process in pair)
        time.sleep(0.02)
    pair[victim].kill()
    killed = time.monotonic()
    found = ended(pair)
    assert time.monotonic() - killed < min(WITHIN, 4 * partners.HEARTBEAT)
    assert found[victim][0] == -signal.SIGKILL
    code, _, err = found[1 - victim]
    assert code == PREEMPTED
    assert last_line(err) == f"error: {partners.LOST}"
    assert len(read_metrics(run)) < 150
    assert [code for code, _, _ in ended(begun(place, f"killed{victim}"))] == [0, 0]
    assert (run / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"100", "150"}
