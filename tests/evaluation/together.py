"""Several processes of an evaluation, played by threads of this one."""

import threading
from concurrent.futures import ThreadPoolExecutor

from fsjax.evaluation.team import Team

ALONE = Team(0, 1, lambda data: [data])


def together(count, function):
    """Calls `function(team)` as each of so many processes at a time, and returns what each returns."""
    said, barrier = [b""] * count, threading.Barrier(count, timeout=120)

    def gather(number):
        def of_process(data):
            said[number] = data
            barrier.wait()
            found = list(said)
            barrier.wait()
            return found

        return of_process

    def run(number):
        try:
            return function(Team(number, count, gather(number)))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
