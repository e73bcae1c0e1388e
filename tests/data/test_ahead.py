"""Work in the background: in order, bounded, and over when its consumer is."""

import threading
from concurrent.futures import Future

import pytest

from fsjax.data.ahead import ahead

WAIT = 10  # seconds, after which a test has failed


def square(number):
    return number**2


def test_results_come_in_order_whichever_is_ready_first():
    second_done = threading.Event()

    def work(number):
        if number == 0:
            assert second_done.wait(WAIT)
        if number == 1:
            second_done.set()
        return square(number)

    assert list(ahead(work, range(20), threads=2, depth=3)) == [square(number) for number in range(20)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_items_than_may_wait(count):
    assert list(ahead(square, range(count), threads=2, depth=5)) == [square(n) for n in range(count)]


@pytest.mark.parametrize("depth", [1, 4])
def test_work_is_ahead_and_no_further_than_asked(depth):
    begun, taken = [Future() for _ in range(20)], []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    results = ahead(lambda number: begun[number].set_result(None), items(), threads=2, depth=depth)
    assert not taken  # nothing begins before the first result is asked for
    for used in range(1, 15):
        next(results)
        begun[used + depth - 1].result(WAIT)  # it begins although nobody asks
        assert len(taken) == used + depth
    results.close()
    assert not any(future.done() for future in begun[14 + depth :])


def test_an_error_is_raised_in_its_place():
    def work(number):
        if number == 3:
            raise ValueError("photo 3 is broken")
        return number

    results = ahead(work, range(9), threads=2, depth=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="photo 3 is broken"):
        next(results)
    assert list(results) == []


def test_an_error_of_the_items_is_raised():
    def items():
        yield 1
        raise OSError("the list is gone")

    with pytest.raises(OSError, match="the list is gone"):
        list(ahead(square, items(), threads=1, depth=1))


@pytest.mark.parametrize("end", ["closed", "dropped", "failed"])
def test_no_thread_is_left(end):
    before = set(threading.enumerate())

    def work(number):
        assert number < 5
        return number

    results = ahead(work, iter(range(10**9)), threads=3, depth=3)
    assert next(results) == 0
    assert len(set(threading.enumerate()) - before) > 0
    if end == "closed":
        results.close()
    elif end == "dropped":
        del results
    else:
        with pytest.raises(AssertionError):
            list(results)
    assert set(threading.enumerate()) <= before
