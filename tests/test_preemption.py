"""SIGTERM, sent to this process, ends what runs where nothing is lost."""

import ctypes
import os
import signal
import threading

import pytest

from fsjax import cli, distributed, preemption
from fsjax.preemption import Preempted


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def preempted(work):
    """Runs work that SIGTERM is heard in, and says whether that ended it."""
    try:
        with preemption.heard():
            work()
    except Preempted:
        return True
    return False


def test_it_is_raised_where_the_program_is():
    done = []
    assert preempted(lambda: (terminate(), done.append("more")))
    assert not done
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_block_ends_before_it_is_raised():
    done = []

    def work():
        with preemption.deferred():
            with preemption.deferred():
                terminate()
                assert preemption.asked()
                assert preemption.reached(3)
            terminate()  # a moment later: the same request, told twice
            preemption.obey()  # not yet
            done.append("saved")
        done.append("more")

    assert preempted(work)
    assert done == ["saved"]


def test_a_second_request_does_not_wait(monkeypatch):
    monkeypatch.setattr(preemption, "SAME", -1.0)
    done = []

    def work():
        with preemption.deferred():
            terminate()
            done.append("heard once")
            terminate()
            done.append("heard twice")

    assert preempted(work)
    assert done == ["heard once"]


def test_what_swallows_it_does_not_lose_it():
    """As Python does with what is raised while an object is deleted."""
    with preemption.heard():
        with pytest.raises(Preempted):
            terminate()
        with pytest.raises(Preempted):
            preemption.obey()
    with preemption.heard():
        preemption.obey()  # what was asked of an earlier program


def test_an_error_is_not_replaced():
    def work():
        with preemption.deferred():
            terminate()
            raise KeyError

    with pytest.raises(KeyError):
        preempted(work)


def test_handlers_of_others_and_other_threads_are_left_alone():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with preemption.heard():
            terminate()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]

    def elsewhere():
        with preemption.heard():
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard[1:] == [signal.SIG_DFL]


def set_as_a_library_does(handler):
    """Sets a handler behind Python's back."""
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int)(handler)
    ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, callback)
    return callback  # to be kept as long as it may be called


def test_it_is_heard_although_a_library_hears_it_too():
    told = []

    def work():
        with preemption.still_heard():
            callback = set_as_a_library_does(told.append)
        with preemption.heard():  # as in a training that a program starts
            terminate()
        told.append(callback)

    assert preempted(work)
    assert told == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_is_heard_after_a_library_was_there_first():
    told = []
    callback = set_as_a_library_does(told.append)
    try:
        assert preempted(terminate)
        assert told == [signal.SIGTERM]
        terminate()  # to the library alone
        assert told == 2 * [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    del callback


def test_what_is_said_twice_does_not_end_a_program_otherwise(monkeypatch):
    """As where a scheduler tells the processes of a job, and then the job."""
    cleared = []

    def program(argv):
        try:
            terminate()
        finally:
            terminate()  # while the first one is obeyed
            cleared.append(True)

    monkeypatch.setattr(distributed, "leave", lambda *_: terminate())
    assert cli.run(program, ["program"]) == 75
    assert cleared


def test_programs_say_it_by_a_sentence_and_an_exit_code(capsys):
    assert cli.run(lambda argv: terminate(), ["program"]) == cli.PREEMPTED == 75
    assert "when the same command is started again" in capsys.readouterr().err

    def keeping(argv):
        with preemption.deferred():
            terminate()
        raise AssertionError

    assert cli.run(keeping, ["program"], stopped="Stopped. It is kept.") == 75
    assert capsys.readouterr().err == "\nStopped. It is kept.\n"
