"""A program for pairs of processes that computes nothing: what it does beside starting is its first argument."""

import os
import signal
import sys

from fsjax import cli, distributed
from fsjax.distributed import starting
from fsjax.errors import InputError

DEEDS = ("wait", "refuse", "break", "end", "killed0")


def program(argv):
    flags, (deed,) = cli.parse(argv, "", distributed.FLAGS, fields=False, places=True)
    starting.PATIENCE = 5
    distributed.start(flags.coordinator, flags.num_processes, flags.process_id)
    second = not distributed.is_main()
    distributed.barrier("started")
    if deed == "refuse" and second:
        raise InputError("The photo is damaged: replace it.")
    if deed == "break" and second:
        raise RuntimeError("of ours")
    if deed == "killed0" and not second:
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "agree":
        distributed.agree({"train.steps": 6, "fold": int(second)})
    if deed != "end":
        distributed.barrier("never")  # with a process that has ended
    print("ended")


if __name__ == "__main__":
    sys.exit(cli.run(program))
