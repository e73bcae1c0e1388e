"""Processes of one run talk, and where one ends the other ends with it, by a sentence and a code."""

import json
import socket
import subprocess
import sys

import pytest

import eval as evaluation
import train
from fsjax import cli
from fsjax.distributed import partners
from tests.commands.programs import start
from tests.distributed.pairs import REPOSITORY, ended, free_port, last_line, start_pair

PROGRAM = ("-m", "tests.distributed.program")
ENDS = ("refused", "killed", "terminated")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """What pairs have said: the second process refuses something or hears SIGTERM, or the first is killed."""
    begun = [start_pair(*PROGRAM, end, tmp_path_factory.mktemp(end)) for end in ENDS]
    return dict(zip(ENDS, map(ended, begun), strict=True))


@pytest.fixture(scope="module")
def talks(pairs):
    """What each of two processes has heard."""
    return [json.loads(last_line(out)) for _, out, _ in pairs["refused"]]


@pytest.mark.slow
def test_every_process_hears_the_same(talks):
    assert [talk["numbers"] for talk in talks] == [[0, 2, True], [1, 2, False]]
    for talk in talks:
        assert talk["from_main"] == {"number": 0}
        trillions = 10**12
        first = [[0, trillions, 2 * trillions]]
        assert talk["gathered"] == [first, [*first, [3 * trillions, 4 * trillions, 5 * trillions]]]
        assert talk["scalars"] == ["float320.0", "float321.0"]


@pytest.mark.slow
def test_what_differs_is_named_in_every_process(talks):
    for talk in talks:
        assert talk["differing"] == (
            "The processes of this run differ: fold is 0 in process 0 and 1 in process 1: start all of them "
            "with the same command, fsjax and data."
        )


@pytest.mark.slow
def test_a_folder_that_is_not_shared_is_refused_in_every_process(talks):
    for talk in talks:
        assert talk["not shared"].startswith("Process 1 does not see what process 0 writes to ")
        assert talk["not shared"].endswith("name a folder on a disk that all machines of this run share.")
        assert talk["left"] == []


@pytest.mark.slow
def test_a_sentence_of_one_process_stops_the_other(pairs):
    (code0, _, err0), (code1, _, err1) = pairs["refused"]
    assert (code0, code1) == (2, 2)
    assert last_line(err1) == "error: The photo is damaged: replace it."
    assert last_line(err0) == (
        "error: Process 1 of this run has stopped, and this one with it: The photo is damaged: replace it."
    )


@pytest.mark.slow
def test_a_process_that_has_lost_the_first_says_so(pairs):
    (code0, _, _), (code1, _, err1) = pairs["killed"]
    assert code0 == -9
    assert code1 == cli.PREEMPTED == 75
    assert last_line(err1) == f"error: {partners.LOST}"
    assert "start all of them again with the same command" in partners.LOST


@pytest.mark.slow
def test_sigterm_of_one_process_ends_both_at_once(pairs):
    """Although JAX sets a handler of its own, which only tells those that ask it after their steps."""
    (code0, _, err0), (code1, _, err1) = pairs["terminated"]
    assert (code0, code1) == (75, 75)
    assert cli.STOPPED in err1
    assert last_line(err0) == (
        "error: Process 1 of this run has stopped, and this one with it: it was asked to end."
    )


@pytest.mark.parametrize("program", [train, evaluation], ids=lambda program: program.__name__)
def test_flags_that_do_not_fit_are_refused(program, capsys):
    assert start(program, "--coordinator=first:1", "--num_processes=2") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --process_id is missing: several processes need --coordinator=HOST:PORT")


def test_a_port_in_use_is_refused(capsys):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert start(train, f"--coordinator={address}", "--num_processes=2", "--process_id=0") == 2
    assert f"of --coordinator={address} cannot be used (Address already in use)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_the_others_do_not_join_ends(number, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--coordinator={address}", "--num_processes=2", f"--process_id={number}"]
    command = [sys.executable, *PROGRAM, "alone", str(tmp_path), *flags]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = last_line(done.stderr)
    assert said.startswith(f"error: Process {number} could not join the 2 processes of this run at {address}")
    assert "start all of them within 5 seconds, each with its own --process_id" in said
