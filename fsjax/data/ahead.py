"""Work that runs ahead of its consumer, in the background and in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, depth: int
) -> Generator[Result, None, None]:
    """Yields `function(item)` of every item in order, up to `depth` of them being worked on ahead.

    An error of the function is raised in its item's place. Closing the iterator ends the threads.

    Args:
      function: called in threads.
      items: what to call it with.
      threads: how many work at a time.
      depth: how many results may wait, 1 or more.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
