"""A head that is always on: what is speech, when an utterance has been said, and how it comes back."""

import asyncio
import contextlib
import random
import time

import numpy as np
import pytest
from avatar_client import AsyncAvatarClient, CapacityError, Conversation, Retry, SessionOptions, State
from avatar_client.conversation import Script
from avatar_client.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.conftest import start_toy

RATE_HZ = 16_000
OPTIONS = SessionOptions(sample_rate_hz=RATE_HZ, outputs=("audio", "state"))


def test_script_counts_what_was_shown():
    script = Script()
    assert not script.end_utterance(), "nothing is on its way"
    script.add(100, True)
    script.add(50, True)
    assert script.end_utterance()
    script.add(200, False)
    assert script.samples == 350
    assert script.take(149) == (True, 0)
    assert script.take(2) == (True, 1)
    assert script.take(199) == (False, 0)
    assert script.take(10) == (False, 0)


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans(), st.booleans())), st.integers(1, 700))
def test_script_loses_nothing(runs, step):
    script, speech, ends = Script(), 0, 0
    for samples, is_speech, is_end in runs:
        script.add(samples, is_speech)
        speech += samples * is_speech
        ends += is_end and script.end_utterance()
    total, ended = script.samples, 0
    assert total == sum(run[0] for run in runs)
    for _ in range(total // step + 1):
        is_speech, over = script.take(step)
        ended += over
    assert (script.samples, ended) == (0, ends)


def test_pauses_grow_and_are_bounded():
    pauses = list(Retry(attempts=8, first_s=0.1, max_s=1.0).pauses_s(random.Random(1)))
    longest = [min(0.1 * 2**k, 1.0) for k in range(7)]
    assert all(top / 2 <= pause <= top for pause, top in zip(pauses, longest, strict=True))
    with pytest.raises(InvalidRequest, match="at least 1"):
        Retry(attempts=0)


async def test_speech_comes_back_whole_and_its_end_is_told(toy_server, speech):
    async with AsyncAvatarClient(toy_server.grpc_address) as client, Conversation(client, OPTIONS) as conversation:
        await conversation.say(speech)
        conversation.end_utterance()
        heard, silent = [], 0
        async for moment in conversation:
            if moment.is_speech:
                heard.append(moment.frame.audio)
            silent += not moment.is_speech
            if moment.ended:
                break
        sound = np.concatenate(heard)
        at = np.flatnonzero(sound)[0]
        np.testing.assert_array_equal(sound[at : at + speech.size], speech)
        assert sound.size - speech.size < 2 * RATE_HZ / 30, "of silence at most what fills two frames"


async def test_the_face_lives_at_its_own_pace_without_speech(toy_server):
    async with AsyncAvatarClient(toy_server.grpc_address) as client, Conversation(client, OPTIONS) as conversation:
        frames, begun_s = 0, time.monotonic()
        async for moment in conversation:
            assert not moment.is_speech
            frames += 1
            if time.monotonic() - begun_s > 2.0:
                break
    assert 48 <= frames <= 75, "30 a second, and those of the audio ahead"


async def test_an_interrupt_drops_speech_and_its_end(toy_server, speech):
    async with AsyncAvatarClient(toy_server.grpc_address) as client, Conversation(client, OPTIONS) as conversation:
        await conversation.say(speech)
        conversation.end_utterance()
        seen, states = 0, []
        interrupted = False
        async for moment in conversation:
            seen += 1
            if seen == 20 and not interrupted:
                shown_s = await conversation.interrupt()
                assert shown_s == pytest.approx(20 / 30, abs=0.01)
                interrupted = True
                continue
            if interrupted:
                assert not moment.is_speech and not moment.ended
                states.append(moment.frame.state)
            if len(states) == 15:
                break
        assert states[:5] == [State.INTERRUPTED] * 5


async def test_a_full_server_is_tried_again(toy):
    async with AsyncAvatarClient(toy.grpc_address) as client, contextlib.AsyncExitStack() as places:

        async def take(retry: Retry):
            return await places.enter_async_context(await client.open_session(OPTIONS, retry=retry))

        holders = [await take(Retry(30, 0.1, 1.0)) for _ in range(4)]
        begun_s = time.monotonic()
        with pytest.raises(CapacityError):
            await take(Retry(attempts=3, first_s=0.2))
        assert time.monotonic() - begun_s > 0.2
        asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(holders.pop().close()))
        await take(Retry(attempts=20, first_s=0.1, max_s=0.3))


@pytest.mark.slow
async def test_the_face_comes_back_after_its_server(speech):
    """The session is lost with its server; a new one on the same port carries on."""
    import dataclasses

    from avatar_server import start_server

    server = start_toy()
    try:
        async with AsyncAvatarClient(server.grpc_address) as client:
            conversation = Conversation(client, OPTIONS, retry=Retry(attempts=60, first_s=0.2, max_s=1.0))
            async with conversation:
                await conversation.say(speech)
                conversation.end_utterance()
                moments = aiter(conversation)
                for _ in range(10):
                    await anext(moments)
                config = server.config
                await asyncio.to_thread(server.stop)
                coming = asyncio.ensure_future(asyncio.to_thread(start_server, dataclasses.replace(config)))
                async for moment in moments:
                    if moment.frame.index < 10 and moment.ended:
                        break
                server = await coming
                await conversation.say(speech)
                conversation.end_utterance()
                while not (await anext(moments)).ended:
                    pass
    finally:
        await asyncio.to_thread(server.stop)
