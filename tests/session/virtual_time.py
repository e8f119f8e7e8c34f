"""An event loop in which waiting takes no time, so that what depends on time comes out the same on every machine."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

Result = TypeVar("Result")


class _Skipping(selectors.DefaultSelector):
    """Instead of waiting for the next timer it moves the clock there."""

    now_s = 0.0

    def select(self, timeout=None):
        if timeout:
            self.now_s += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now_s


def run(work: Coroutine[None, None, Result]) -> Result:
    """Runs to the end and cancels what is left; `asyncio.get_running_loop().time()` begins at 0. No threads."""
    loop = _Loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(_cancel(asyncio.all_tasks(loop)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _cancel(left: set[asyncio.Task]) -> None:
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
