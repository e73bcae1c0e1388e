"""A sweep does every job once, whoever is killed and however many are at it, and goes round what fails."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import UnidentifiedImageError

from fsjax.errors import InputError
from fsjax.files import ClaimedError, unwritable
from fsjax.preemption import Preempted
from fsjax.reproduction import plan, running, scale
from fsjax.reproduction.jobs import Evaluation, Training, in_order
from fsjax.reproduction.sweep import WAIT, Sweep, results
from tests.reproduction.pretended import TABLES, Programs, leave_results

FOLDS = scale("shapes", "", (), "0,1")
LENT = Training("lent", "configs/a.py")
HEAD = Training("head", "configs/b.py", ("--config.seed=1",), backbone=LENT)
SHOWN = Evaluation("head, 5-shot", HEAD, ("--config.eval.shots=5",))
OTHER = Training("other", "configs/a.py", ("--config.seed=2",))


def jobs_of_tables():
    return in_order(job for name in TABLES.split(",") for job in plan(name, FOLDS).jobs)


def swept(workdir, journal, seconds):
    command = [sys.executable, "-m", "tests.reproduction.pretended", str(workdir), str(journal), str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def counted(journal, word):
    lines = journal.read_text().splitlines() if journal.exists() else []
    return Counter(line.removeprefix(f"{word} ") for line in lines if line.startswith(word))


def names(workdir, jobs):
    return Counter(job.folder(workdir).name for job in jobs)


def tables(workdir):
    return {path.name: path.read_text() for path in (workdir / "tables").glob("*.md")}


def test_jobs_come_after_what_they_need_and_once():
    assert in_order([SHOWN, OTHER, HEAD, LENT]) == [LENT, HEAD, SHOWN, OTHER]


def test_what_failed_is_left_out_with_all_that_needs_it(tmp_path):
    programs = Programs(tmp_path / "journal")

    def failing(argv):
        if any("configs/b.py" in argument for argument in argv):
            raise InputError("The classes are too few.")
        programs["eval.py"](argv)

    sweep = Sweep.of([SHOWN, OTHER], tmp_path, {**programs, "train.py": failing})
    sweep.run()
    assert sweep.failed == {HEAD: "The classes are too few.", SHOWN: "head failed"}
    assert results(OTHER, tmp_path)
    assert results(SHOWN, tmp_path) is None


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: no room\nfor 5 GB"), "RuntimeError: RESOURCE_EXHAUSTED: no room"),
        (
            UnidentifiedImageError("cannot identify image file 'cat.jpg'"),  # an OSError, but of no disk
            "UnidentifiedImageError: cannot identify image file 'cat.jpg'",
        ),
    ],
)
def test_an_accident_of_one_job_ends_no_other(tmp_path, error, sentence):
    programs = Programs(tmp_path / "journal")

    def failing(argv):
        if "configs/b.py" in argv[1]:
            raise error
        programs["train.py"](argv)

    sweep = Sweep.of([HEAD, OTHER], tmp_path, {**programs, "train.py": failing})
    sweep.run()
    assert sweep.failed == {HEAD: sentence}
    assert results(OTHER, tmp_path)


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), unwritable("The checkpoint", "No space left on device")],
)
def test_a_full_disk_ends_the_sweep(tmp_path, error):
    def failing(argv):
        raise error

    with pytest.raises(type(error), match="No space left"):
        Sweep.of([OTHER, LENT], tmp_path, {"train.py": failing}).run()


def test_a_run_that_somebody_is_at_is_waited_for(tmp_path, monkeypatch, caplog):
    programs, waited = Programs(tmp_path / "journal"), []

    def busy(argv):
        if waited.count(WAIT) < 2:
            raise ClaimedError("Another process is at work.")
        programs["train.py"](argv)

    monkeypatch.setattr("fsjax.reproduction.sweep.time.sleep", waited.append)
    sweep = Sweep.of([OTHER], tmp_path, {"train.py": busy})
    with caplog.at_level("INFO", logger="fsjax"):
        sweep.run()
    assert sweep.failed == {}
    assert waited.count(WAIT) == 2
    assert sum("are at work on what is left: other." in record.message for record in caplog.records) == 1


def test_damaged_results_are_made_anew(tmp_path):
    journal = tmp_path / "journal"
    Sweep.of([OTHER], tmp_path, Programs(journal)).run()
    episodes = OTHER.folder(tmp_path) / "episodes.jsonl"
    whole = episodes.read_bytes()
    episodes.write_bytes(whole.replace(b'"run":1', b'"run":0'))
    assert results(OTHER, tmp_path) is None
    Sweep.of([OTHER], tmp_path, Programs(journal)).run()
    assert episodes.read_bytes() == whole
    Sweep.of([OTHER], tmp_path, Programs(journal)).run()
    assert counted(journal, "ended") == {OTHER.folder(tmp_path).name: 2}


def test_what_leaves_nothing_has_failed(tmp_path):
    sweep = Sweep.of([OTHER], tmp_path, {"train.py": lambda argv: None})
    sweep.run()
    assert sweep.failed == {OTHER: "it left no results"}


@pytest.mark.parametrize("ended", [KeyboardInterrupt, Preempted])
def test_interrupted_it_goes_on_where_it_was(ended, tmp_path):
    journal, jobs = tmp_path / "journal", [OTHER, LENT, HEAD]
    programs = Programs(journal)

    def interrupted(argv):
        if len(counted(journal, "ended")) == 2:
            raise ended
        programs["train.py"](argv)

    with pytest.raises(ended):
        Sweep.of(jobs, tmp_path, {"train.py": interrupted}).run()
    Sweep.of(jobs, tmp_path, programs).run()
    assert counted(journal, "ended") == names(tmp_path, jobs)


@pytest.mark.slow
def test_killed_five_times_it_ends_in_the_same_tables(tmp_path):
    alone, killed, journal = tmp_path / "alone", tmp_path / "killed", tmp_path / "journal"
    assert swept(alone, tmp_path / "other", 0).wait() == 0
    draw = random.Random(0)
    for _ in range(5):
        before = sum(counted(journal, "begun").values())
        process = swept(killed, journal, 0.2)
        while sum(counted(journal, "begun").values()) == before:  # until it is at work
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert swept(killed, journal, 0).wait() == 0
    begun, ended = (counted(journal, word) for word in ("begun", "ended"))
    assert begun.total() > ended.total()  # some were killed at work
    assert ended == names(killed, jobs_of_tables())
    assert tables(killed) == {
        name: text.replace(str(alone), str(killed)) for name, text in tables(alone).items()
    }


@pytest.mark.slow
def test_two_processes_share_the_jobs(tmp_path):
    workdir, journal = tmp_path / "both", tmp_path / "journal"
    processes = [swept(workdir, journal, 0.1) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert counted(journal, "begun") == counted(journal, "ended") == names(workdir, jobs_of_tables())
    assert len(tables(workdir)) == 3


@pytest.mark.parametrize("word", ["seed=2", "seed=3"])
def test_folders_differ_where_what_decides_does(word, tmp_path):
    again = Training("other", "configs/a.py", (f"--config.{word}",))
    assert (again.folder(tmp_path) == OTHER.folder(tmp_path)) == (again == OTHER)
    borrowed = Training("head", "configs/b.py", ("--config.seed=1",), backbone=again)
    assert borrowed.folder(tmp_path) != HEAD.folder(tmp_path)
    leave_results(again.folder(Path(tmp_path)), again.argv(tmp_path))
    assert results(again, tmp_path)


def test_an_evaluation_without_its_pictures_is_done_again(tmp_path):
    shown = Evaluation("shown", OTHER, ("--config.eval.pictures=6",), ("fusion.png",))
    for job in (OTHER, shown):
        leave_results(job.folder(tmp_path), job.argv(tmp_path))
    assert results(shown, tmp_path) is None
    (shown.folder(tmp_path) / "fusion.png").write_bytes(b"drawn")
    assert results(shown, tmp_path)


def test_processes_that_begin_together_share_the_folder(tmp_path):
    """As one another sees them: with a claim and a file half written, and no mark yet."""
    plans = [plan(name, FOLDS) for name in ("prnet/table1", "prnet/figure3")]
    for number in range(3):
        workdir = tmp_path / str(number)
        (workdir / "claims" / "sweep.json").mkdir(parents=True)
        (workdir / ".sweep.json.7.ab").touch()
        with ThreadPoolExecutor(8) as pool:
            begun = [pool.submit(running._begin, plans, FOLDS, workdir) for _ in range(8)]
        assert [one.result() for one in begun] == [None] * 8
        assert json.loads((workdir / "sweep.json").read_text())["tables"] == ["prnet/table1", "prnet/figure3"]
