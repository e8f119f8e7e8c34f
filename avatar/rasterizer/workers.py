"""A few threads that run one compiled kernel each on their share of a picture."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Workers:
    """Runs a function once per worker; the caller is worker 0.

    The kernels release the GIL. Numba's own thread pools are not used: they do not survive a fork, and the one that is
    always there ends the process when two threads enter it at once.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"there must be at least 1 worker, got {count}; pass the number of cores to use")
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1, thread_name_prefix="rasterizer") if count > 1 else None

    def run(self, function: Callable[[int], None]) -> None:
        """Call `function(worker)` for every worker, and return when all have."""
        futures = [self._pool.submit(function, worker) for worker in range(1, self.count)]
        function(0)
        for future in futures:
            future.result()
