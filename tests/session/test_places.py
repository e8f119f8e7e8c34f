"""Who may enter the stages next."""

import asyncio
from contextlib import suppress

import pytest

from avatar.places import Places


async def _worker(places: Places, deadline_s: float, log: list, release: asyncio.Event):
    async with places.place(deadline_s):
        log.append(deadline_s)
        await release.wait()


async def test_the_earliest_deadline_goes_first_and_equal_ones_in_order_of_arrival():
    places, log, release = Places(1), [], asyncio.Event()
    release.set()
    async with places.place(0):
        tasks = [asyncio.create_task(_worker(places, deadline, log, release)) for deadline in (3, 1.0, 2, 1)]
        await asyncio.sleep(0)
        assert log == []
    await asyncio.gather(*tasks)
    assert log == [1.0, 1, 2, 3] and isinstance(log[0], float)


async def test_no_more_than_count_at_once():
    places, log, release = Places(2), [], asyncio.Event()
    tasks = [asyncio.create_task(_worker(places, k, log, release)) for k in range(5)]
    await asyncio.sleep(0.01)
    assert len(log) == 2
    release.set()
    await asyncio.gather(*tasks)
    assert log == [0, 1, 2, 3, 4]


async def test_an_error_or_a_cancel_gives_the_place_to_the_next():
    places, release = Places(1), asyncio.Event()
    with suppress(RuntimeError):
        async with places.place(0):
            waiting = asyncio.create_task(_worker(places, 1, [], asyncio.Event()))
            await asyncio.sleep(0)
            waiting.cancel()
            raise RuntimeError
    async with places.place(0):
        holder = asyncio.create_task(_worker(places, 1, [], release))
        await asyncio.sleep(0)
    # The place is on its way to a waiter that is cancelled before it runs.
    holder.cancel()
    with suppress(asyncio.CancelledError):
        await holder
    release.set()
    await asyncio.wait_for(_worker(places, 5, [], release), 1)


def test_there_must_be_a_place():
    with pytest.raises(ValueError, match="at least 1"):
        Places(0)
