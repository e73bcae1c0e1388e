"""One program at a time in a work directory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from fsjax import distributed, preemption
from fsjax.files import claimed
from fsjax.leftovers import clear_temporaries


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps other programs out of a folder, and hears SIGTERM (see `preemption.heard`).

    Of several processes of a run the first claims it, and clears what killed ones have left; the others wait,
    and all make sure that they see the same folder: reading a checkpoint together, they would wait for ever.

    Args:
      folder: it is made where it is missing.

    Raises:
      ClaimedError: another program is at work in it.
      InputError: it cannot be written to, or the processes of this run do not see the same.
    """
    with preemption.heard(), claimed(folder) if distributed.is_main() else nullcontext():
        if distributed.is_main():
            clear_temporaries(folder)
        distributed.check_shared(folder)
        yield
