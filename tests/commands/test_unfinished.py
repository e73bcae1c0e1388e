"""eval.py that is killed goes on, and eval.py as two processes gives what one gives."""

import os
import signal
import subprocess
import sys
import time

import jax
import pytest

import eval as evaluation
from fsjax import distributed
from fsjax.evaluation import report
from fsjax.evaluation.parts import Finished
from fsjax.evaluation.results import read_records
from fsjax.files import claimed
from tests.commands.programs import files, results, start
from tests.distributed.pairs import REPOSITORY, WITHIN, ended, start_pair

ROWS = "fusion0,fusion2,adapted"
SETTINGS = f"--config.eval.rows={ROWS}", "--config.eval.seed=7", "--config.eval.pictures=0"


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """Results of one process on eight devices."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert start(evaluation, f"--workdir={trained}/run", f"--out={out}", *SETTINGS) == 0
    return out


def assert_same_results(out, expected):
    found, others = ({**results(folder)} for folder in (out, expected))
    for told in (found, others):
        assert told.pop("sha256") == report.seal(told)
        told["provenance"].pop("devices")
        told["config"]["eval"].pop("pictures")
        for row in told["rows"]:
            assert row.pop("seconds") > 0
    assert found == others
    assert (out / "episodes.jsonl").read_bytes() == (expected / "episodes.jsonl").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in expected.iterdir())


def kept(out):
    """The lines of each file that an evaluation has kept so far."""
    return [path.read_bytes().count(b"\n") for path in (out / ".unfinished").glob("*.jsonl")]


def killed(arguments, when, number):
    """Starts a slow evaluation on one device, and sends it a signal as soon as it has kept enough."""
    places = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_COMPILATION_CACHE_DIR": str(os.path.abspath(jax.config.jax_compilation_cache_dir)),
    }
    command = [sys.executable, "-m", "tests.commands.slowly", *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | places) as process:
        until = time.monotonic() + WITHIN
        while not when() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
    return process.returncode


@pytest.mark.slow
def test_an_evaluation_that_is_killed_goes_on_with_other_devices(trained, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = f"--workdir={trained}/run", f"--out={out}", *SETTINGS
    # In the second of its passes: of adapted episodes, and of the rest.
    assert killed(arguments, lambda: len(kept(out)) == 2, signal.SIGKILL) == -signal.SIGKILL
    assert not (out / "results.json").exists()
    before, added, add = sum(kept(out)), [], Finished.add

    def noted(self, of_units):
        of_units = list(of_units)
        added.extend(of_units)
        add(self, of_units)

    monkeypatch.setattr(Finished, "add", noted)
    assert start(evaluation, *arguments) == 0
    assert_same_results(out, undisturbed)
    photos, episodes = set(asked(undisturbed, "fusion0")), asked(undisturbed, "fusion2_adapt5")
    assert before + len(added) == len(photos) + len(episodes)


def asked(out, name):
    """The queries of a row."""
    return [r["query"][0] for r in read_records(out / "episodes.jsonl") if r["row"] == name]


@pytest.mark.slow
def test_two_processes_of_two_devices_give_the_results_of_one(trained, undisturbed, tmp_path):
    out = tmp_path / "out"
    arguments = f"--workdir={trained}/run", f"--out={out}", *SETTINGS, "--config.eval.pictures=1"
    (code, table, said), (other, silent, quiet) = ended(start_pair(REPOSITORY / "eval.py", *arguments))
    assert (code, other) == (0, 0), said + quiet
    assert "fusion2_adapt5" in table
    assert "fusion2_adapt5" not in silent
    pictures = [path for path in out.iterdir() if path.suffix == ".png"]
    assert len(pictures) == 3
    for path in pictures:
        path.unlink()
    assert_same_results(out, undisturbed)


def test_another_evaluation_into_the_same_folder_waits_or_starts_anew(trained, tmp_path, refusal):
    arguments = f"--workdir={trained}/run", f"--out={tmp_path}", "--config.eval.rows=rgb"
    with claimed(tmp_path):
        assert "Another process is at work" in refusal(evaluation, *arguments)
    left = tmp_path / ".unfinished" / "0123-4567-0-89ab.jsonl"
    left.parent.mkdir()
    left.write_text("of another evaluation\n")
    assert start(evaluation, *arguments, "--config.eval.pictures=0") == 0
    assert not left.parent.exists()


def test_what_a_kill_leaves_of_written_files_is_cleared(trained, tmp_path):
    for name in (".results.json.4711.0123abcd", ".episodes.png.4711.0123abcd"):
        (tmp_path / name).touch()
    mine = tmp_path / ".notes.json"
    mine.touch()
    arguments = f"--workdir={trained}/run", f"--out={tmp_path}", "--config.eval.rows=rgb"
    assert start(evaluation, *arguments, "--config.eval.pictures=0") == 0
    hidden = [path.name for path in files(tmp_path) if path.name.startswith(".")]
    assert hidden == [".claimed", mine.name]


def test_masks_of_another_program_are_scored_by_one_process(monkeypatch, tmp_path, refusal):
    monkeypatch.setattr(distributed, "several", lambda: True)
    arguments = f"--predictions={tmp_path}", f"--episodes={tmp_path}/a.jsonl", f"--out={tmp_path}/out"
    assert "--predictions is scored by one process" in refusal(evaluation, *arguments)
