"""A build whose photos wait for a gate, so that tests can end it in the middle.

    python -m tests.datasets.gated COCO_FOLDER TFDS_DIR WORKERS GATE [LARGEST_FILE]

GATE is a folder: processes that read photos leave their ids in it, and wait at photo 20 for a file "open".
LARGEST_FILE is the number of bytes beyond which no file can grow, as on a full disk.
"""

import dataclasses
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

from datasets import coco20i
from datasets.building import build
from fsjax.errors import InputError

SHUT = 20


class Gated(NamedTuple):
    """A photo behind a gate."""

    number: int
    gate: Path
    task: coco20i.Task


def read(gated):
    (gated.gate / str(os.getpid())).touch()
    while gated.number >= SHUT and not (gated.gate / "open").exists():
        time.sleep(0.01)
    return coco20i.labelled(gated.task)


def plan(folder, gate):
    plain = coco20i.plan(folder)
    tasks = [Gated(n, gate, task) for n, task in enumerate(plain.tasks)]
    return dataclasses.replace(plain, tasks=tasks, read=read)


def main():
    folder, tfds_dir, workers, gate, *largest = sys.argv[1:]
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest[0]), int(largest[0])))
    try:
        build(plan(Path(folder), Path(gate)), "mine", Path(tfds_dir), workers=int(workers))
    except InputError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
