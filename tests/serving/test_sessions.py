"""The table of open sessions, without Triton."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from avatar.errors import CapacityError, SessionNotFoundError

SOURCE = Path(__file__).resolve().parent.parent.parent / "backends" / "avatar" / "front" / "sessions.py"


@pytest.fixture(scope="module")
def sessions_module():
    spec = importlib.util.spec_from_file_location("front_sessions", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(sessions_module, clock):
    return sessions_module.Sessions(limit=2, idle_s=10, clock=clock)


def opened(sessions, key):
    return sessions.open(key, session=None, producer=None, outputs=frozenset())


def test_limit(sessions):
    first = opened(sessions, "a")
    opened(sessions, "b")
    with pytest.raises(CapacityError, match="at most 2 sessions at once"):
        sessions.admit("c")
    sessions.close(first)
    sessions.admit("c")


def test_a_restart_replaces_the_session_and_needs_no_room(sessions):
    old = opened(sessions, "a")
    opened(sessions, "b")
    new = opened(sessions, "a")
    assert (old.is_open, new.is_open, len(sessions)) == (False, True, 2)
    sessions.close(old)
    assert sessions.get("a") is new, "closing the old one must not end the new one"


def test_unknown_session(sessions):
    with pytest.raises(SessionNotFoundError, match="'a' is not open: .* open a new one with sequence_start"):
        sessions.get("a")


def test_sweep_takes_only_idle_sessions(sessions, clock):
    idle, busy = opened(sessions, "idle"), opened(sessions, "busy")
    busy.waiting = 1
    clock.now_s += 10
    assert sessions.sweep() == []
    clock.now_s += 0.1
    assert sessions.sweep() == [idle]
    assert (idle.is_open, busy.is_open, len(sessions)) == (False, True, 1)


def test_a_turn_restarts_the_idle_time(sessions, clock):
    entry = opened(sessions, "a")

    async def take():
        async with sessions.turn(entry):
            clock.now_s += 60
            assert sessions.sweep() == []

    asyncio.run(take())
    clock.now_s += 9
    assert sessions.sweep() == []


def test_turns_come_in_the_order_of_the_requests(sessions):
    entry = opened(sessions, "a")
    order = []

    async def request(number):
        async with sessions.turn(entry):
            order.append(number)
            # The first holds its turn the longest.
            for _ in range(10 - number):
                await asyncio.sleep(0)

    async def all_requests():
        await asyncio.gather(*map(request, range(10)))

    asyncio.run(all_requests())
    assert order == list(range(10))
    assert entry.waiting == 0


def test_requests_that_wait_find_a_session_that_ended(sessions):
    entry = opened(sessions, "a")

    async def end():
        async with sessions.turn(entry):
            await asyncio.sleep(0)
            sessions.close(entry)

    async def late():
        with pytest.raises(SessionNotFoundError, match="ended before this request's turn"):
            async with sessions.turn(entry):
                raise AssertionError("there must be no turn")

    async def both():
        await asyncio.gather(end(), late())

    asyncio.run(both())
    assert entry.waiting == 0
