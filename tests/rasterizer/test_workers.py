"""Shares of a job: each is done once, whoever gets to run."""

import threading

import pytest

from avatar.rasterizer.workers import Workers


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_share_is_done_once(count):
    workers = Workers(count)
    for _ in range(50):
        done = []
        workers.run(done.append)
        assert sorted(done) == list(range(workers.shares))
        done.clear()
        workers.run(done.append, 7)
        assert sorted(done) == list(range(7))


def test_a_thread_that_does_not_run_costs_nothing():
    workers = Workers(2)
    block = threading.Event()
    workers._pool.submit(block.wait)  # The only helper is busy.
    done = []
    workers.run(done.append)
    assert done == list(range(workers.shares))
    block.set()


def test_an_error_reaches_the_caller():
    def fail(share):
        raise ValueError("broken share")

    with pytest.raises(ValueError, match="broken share"):
        Workers(2).run(fail)


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="at least 1 worker, got 0"):
        Workers(0)
