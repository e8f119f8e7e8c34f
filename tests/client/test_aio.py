"""The asyncio client: what differs from the blocking one, and that both obey the same rules."""

import asyncio
import contextlib
import time

import numpy as np
import pytest
from avatar_client import (
    AsyncAvatarClient,
    CapacityError,
    DeadlineExceeded,
    Flow,
    InvalidAudio,
    InvalidRequest,
    Retry,
    ServerError,
    ServerUnavailable,
    SessionClosed,
    SessionLost,
)  # fmt: skip

from tests.client.fake_server import FakeServer, final, frees_a_place, swallows_all_but_the_first

QUICK = {"outputs": ("audio", "state")}

PATIENT = Retry(attempts=30, first_s=0.1, max_s=1.0)
"""For places that sessions of another test have not left yet."""


@pytest.fixture
async def client(toy):
    async with AsyncAvatarClient(toy.grpc_address) as connected:
        yield connected


def sound(frames) -> np.ndarray:
    return np.concatenate([frame.audio for frame in frames])


async def test_frames_come_in_order_with_their_sound(client, speech):
    async with await client.open_session() as session:
        await session.send(speech)
        await session.end()
        frames = [frame async for frame in session]
    assert [frame.index for frame in frames] == list(range(90))
    assert frames[0].image.shape == (512, 512, 3)
    np.testing.assert_array_equal(sound(frames), speech)


async def test_chunks_may_come_from_an_async_generator_or_a_list(client, speech):
    async def chunks():
        for start in range(0, speech.size, 700):
            yield speech[start : start + 700]
            await asyncio.sleep(0)

    for source in (chunks(), [speech[:5], speech[5:]]):
        async with await client.open_session(**QUICK) as session:
            np.testing.assert_array_equal(sound([frame async for frame in session.stream(source)]), speech)


async def test_two_sessions_in_one_loop(client, speech):
    async def one(samples):
        async with await client.open_session(**QUICK) as session:
            return sound([frame async for frame in session.stream([samples])])

    results = await asyncio.gather(one(speech), one(speech[::-1]), one(speech[:999]))
    for result, sent in zip(results, (speech, speech[::-1], speech[:999]), strict=False):
        np.testing.assert_array_equal(result, sent)


async def test_a_cancelled_wait_for_a_frame_does_not_end_the_session(client, speech):
    async with await client.open_session(**QUICK) as session:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(session.__anext__(), 0.1)
        await session.send(speech)
        await session.end()
        np.testing.assert_array_equal(sound([frame async for frame in session]), speech)


async def test_an_interruption_and_an_emotion(client, speech):
    async with await client.open_session(**QUICK, avatar="slow") as session:
        await session.set_emotion("happy", 0.5)
        await session.send(np.tile(speech, 10))
        for _ in range(3):
            await session.__anext__()
        assert await session.interrupt() == pytest.approx(0.1)
        await session.send(speech[:16_000])
        await session.end()
        rest = [frame async for frame in session]
    assert 30 <= len(rest) <= 31


async def test_errors_are_those_of_the_blocking_client(toy, client, speech):
    with pytest.raises(InvalidRequest, match="nobody"):
        await client.open_session(avatar="nobody")
    async with await client.open_session(**QUICK) as session:
        with pytest.raises(InvalidAudio):
            await session.send(np.array([np.inf]))
        await session.end()
        with pytest.raises(SessionClosed):
            await session.send(speech)
    async with await client.open_session(**QUICK, avatar="breaks") as session:
        await session.send(speech)
        with pytest.raises(ServerError, match="enhancer"):
            [frame async for frame in session]
    async with AsyncAvatarClient("127.0.0.1:9") as nowhere:
        assert not await nowhere.is_ready()
        with pytest.raises(ServerUnavailable, match="avatar serve"):
            await nowhere.open_session()
        with pytest.raises(ServerUnavailable, match=r"within 0\.2 s"):
            await nowhere.wait_until_ready(0.2)
    await client.wait_until_ready(1.0)


async def test_closing_early_frees_the_place_on_the_server(client, speech):
    for _ in range(8):
        async with await client.open_session(**QUICK) as session:
            await session.send(np.tile(speech, 5))
            await session.__anext__()


async def test_a_full_server_refuses_the_next_session(client):
    async with contextlib.AsyncExitStack() as places:
        for _ in range(4):
            session = await places.enter_async_context(await client.open_session(**QUICK, retry=PATIENT))
        with pytest.raises(CapacityError, match="at most 4"):
            await client.open_session(**QUICK)
        await session.close()
        await session.close()


async def test_a_caller_that_takes_no_frames_is_held_back(client, speech):
    async with await client.open_session(flow=Flow(max_ahead_s=0.5, max_queued_s=1.0)) as session:
        with pytest.raises(DeadlineExceeded, match="take frames"):
            for _ in range(10):
                await session.send(speech[:16_000], timeout_s=0.3)
        assert (await session.__anext__()).index == 0


async def test_an_error_of_the_chunks_reaches_whoever_iterates(client, speech):
    async def chunks():
        yield speech
        raise OSError("the microphone is gone")

    async with await client.open_session(**QUICK) as session:
        with pytest.raises(OSError, match="microphone"):
            [frame async for frame in session.stream(chunks())]


async def test_a_stream_that_ends_early_or_falls_silent():
    def ends(requests, context):
        yield final(next(requests).id)
        next(requests)

    def stalls(requests, context):
        yield final(next(requests).id)
        for _ in requests:
            time.sleep(1)

    with FakeServer(ends) as server:
        async with AsyncAvatarClient(server.address) as client:
            session = await client.open_session(outputs=())
            await session.send(np.ones(100, np.int16))
            with pytest.raises(SessionLost, match="closed the stream"):
                await session.__anext__()
    with FakeServer(stalls) as server:
        async with AsyncAvatarClient(server.address) as client:
            session = await client.open_session(outputs=(), response_timeout_s=0.4)
            await session.send(np.ones(100, np.int16))
            with pytest.raises(DeadlineExceeded, match="while it owed"):
                await session.__anext__()


async def test_a_session_whose_end_is_not_answered_still_frees_its_place():
    with FakeServer(swallows_all_but_the_first) as server:
        async with AsyncAvatarClient(server.address) as client:
            session = await client.open_session(outputs=())
            await session.close(timeout_s=0.2)
    assert frees_a_place(server.requests[-1], of=server.requests[0])
