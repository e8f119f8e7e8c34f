"""A few threads that run compiled kernels on shares of a picture."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SHARES_PER_WORKER = 2


class Workers:
    """Runs a function for every share of a job; the calling thread takes shares too.

    Whoever is free takes the next share. So a thread that the system does not let run, on a machine with more work than
    cores, costs nothing: the caller does its part.

    The kernels release the GIL. Numba's own thread pools are not used: they do not survive a fork, and the one that is
    always there ends the process when two threads enter it at once.

    Attributes:
        count: number of threads, the calling one among them.
        shares: number of shares that jobs are cut into, unless they say otherwise.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"there must be at least 1 worker, got {count}; pass the number of cores to use")
        self.count = count
        self.shares = 1 if count == 1 else SHARES_PER_WORKER * count
        self._pool = ThreadPoolExecutor(count - 1, thread_name_prefix="rasterizer") if count > 1 else None

    def run(self, function: Callable[[int], None], shares: int | None = None) -> None:
        """Call `function(share)` for every share, and return when all have returned."""
        count, following = shares or self.shares, itertools.count()

        def work() -> None:
            while (share := next(following)) < count:
                function(share)

        futures = [self._pool.submit(work) for _ in range(self.count - 1)]
        work()
        for future in futures:
            if not future.cancel():
                future.result()
