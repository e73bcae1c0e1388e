"""A program for pairs of processes that trains nothing: they talk, and then one of them ends.

Its arguments are how it ends, and a folder.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from fsjax import cli, distributed
from fsjax.distributed import exchange, starting
from fsjax.errors import InputError

SOON = 5


def talked(folder):
    """What came of all that processes can say to one another."""
    number = distributed.process_index()
    mine = np.arange(3 * (1 + number)).reshape(-1, 3) * 10**12  # no 32 bits hold them
    own = folder / str(number)
    own.mkdir()
    exchange.SEEN_WITHIN = 0.2
    distributed.agree({"train.steps": 6, "folds": ((1, 2), (3,))})
    distributed.check_shared(folder / "new")
    return {
        "numbers": [number, distributed.process_count(), distributed.is_main()],
        "from_main": distributed.from_main({"number": number}),
        "gathered": [array.tolist() for array in distributed.gather(mine)],
        "scalars": [str(array.dtype) + str(array) for array in distributed.gather(np.float32(number))],
        "differing": refused(lambda: distributed.agree({"train.steps": 6, "fold": number})),
        "not shared": refused(lambda: distributed.check_shared(own)),
        "left": sorted(path.name for path in folder.rglob(".*")) if distributed.is_main() else [],
    }


def refused(function):
    """The sentence of what a function refuses."""
    try:
        function()
    except InputError as error:
        return str(error)
    return ""


def program(argv):
    flags, (end, folder) = cli.parse(argv, "", distributed.FLAGS, fields=False, places=True)
    if end == "alone":
        starting.PATIENCE = SOON
    distributed.start(flags.coordinator, flags.num_processes, flags.process_id)
    first = distributed.is_main()
    distributed.barrier("started")
    if end == "killed" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "terminated" and not first:
        os.kill(os.getpid(), signal.SIGTERM)
    if end == "refused":
        print(json.dumps(talked(Path(folder))), flush=True)
        if not first:
            raise InputError("The photo is damaged: replace it.")
    distributed.barrier("never")  # with a process that has ended


if __name__ == "__main__":
    sys.exit(cli.run(program))
