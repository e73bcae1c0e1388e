"""Worker processes: the same episodes for every number of them and of hosts, and nothing left behind."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from fsjax import preemption
from fsjax.data import loader
from fsjax.data.images import InputSettings
from fsjax.data.index import build_index
from fsjax.data.loader import Slots, batches
from fsjax.data.manifest import digest
from fsjax.data.sampling import make_sampler
from fsjax.errors import InputError
from tests.toy import ToySource

WAIT = 60  # seconds, after which a test has failed


def sampler_of(source, policy="class_uniform"):
    return make_sampler(
        policy, build_index(source), source.class_names, (1, 2, 3, 4),
        ways=1, shots=2, queries=1, seed=5,
    )  # fmt: skip


def loaded(source, sampler, hosts, workers):
    """Returns the digest of the first twelve episodes' manifest, and of their arrays, as hosts load them."""
    settings = InputSettings(12, flip=True, crop=1.5)
    shares = [
        list(
            batches(
                source, sampler, settings, Slots(2 // hosts, 2, 4, host, hosts),
                seed=6, stop=3, threads=1, workers=workers,
            )
        )
        for host in range(hosts)
    ]  # fmt: skip
    arrays, specs = hashlib.sha256(), []
    for row in zip(*shares, strict=True):
        for field in zip(*row, strict=True):
            arrays.update(np.concatenate(field).tobytes())
        specs += [sampler(int(i)) for share in row for i in share.index.ravel()]
    return digest(specs, source.ids), arrays.hexdigest()


@pytest.mark.parametrize("policy", ["class_uniform", "pair_epoch", "list_walk"])
def test_a_seed_gives_the_same_episodes_for_every_number_of_workers_and_hosts(policy):
    source = ToySource()
    sampler = sampler_of(source, policy)
    one = loaded(source, sampler, hosts=1, workers=0)
    assert one[0] == digest([sampler(i) for i in range(12)], source.ids)
    assert loaded(source, sampler, hosts=2, workers=0) == one
    if policy == "pair_epoch":
        assert loaded(source, sampler, hosts=1, workers=2) == one


@pytest.mark.slow
def test_hosts_with_workers_load_the_same_episodes():
    source = ToySource()
    sampler = sampler_of(source, "pair_epoch")
    assert loaded(source, sampler, hosts=2, workers=1) == loaded(source, sampler, hosts=1, workers=0)


class Deadly(ToySource):
    """The worker process that reads its second photo is ended from outside."""

    def image(self, position):
        if position == self.last and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().image(position)


def test_a_worker_that_dies_is_a_sentence():
    source = Deadly()
    sampler = sampler_of(source)
    source.last = sampler(3).query[0]
    read = batches(source, sampler, InputSettings(12), Slots(1, 1, 1), seed=0, stop=99, threads=1, workers=2)
    with pytest.raises(InputError, match=r"A worker process .* has died \(exit code -9\).* lower data\.work"):
        list(read)


def test_sigterm_that_ends_a_worker_while_it_is_starting_is_a_preemption():
    """It is sent to all processes of a job; a worker ignores it as soon as it can."""

    def say(code):
        with loader._deaths():
            raise RuntimeError(f"Grain worker process 1 was terminated unexpectedly with exit code {code}")

    def hear():
        with preemption.heard(), preemption.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(InputError, match=r"has died \(exit code -9\)"):
                say(-9)
            say(-15)

    with pytest.raises(preemption.Preempted) as raised:
        hear()
    assert "exit code -15" in str(raised.value.__cause__)
    with pytest.raises(InputError, match=r"has died \(exit code -15\)"):
        say(-15)  # nobody has asked this process


PARENT = """
import sys, time
from tests.data.test_workers import *
if __name__ == "__main__":
    source = ToySource()
    sampler, settings = sampler_of(source), InputSettings(12)
    read = batches(source, sampler, settings, Slots(1, 1, 1), seed=0, stop=10**6, threads=1, workers=2)
    next(read)
    print(len(multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


def test_workers_end_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert int(parent.stdout.readline()) in (1, 2)  # the second may only be starting
        finally:
            parent.kill()
        # Its workers have their standard output from it: that ends when the last of them has ended.
        assert parent.communicate(timeout=WAIT) == ("", None)


WHOLE = (
    PARENT.replace("10**6", "7")
    .replace("time.sleep(600)", "print(sum(1 for _ in read))")
    .replace("print(len(multiprocessing.active_children()), flush=True)", "")
)


@pytest.mark.slow
def test_a_program_that_had_workers_ends_without_a_word():
    ended = subprocess.run([sys.executable, "-c", WHOLE], capture_output=True, text=True, timeout=WAIT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "6\n", "")
