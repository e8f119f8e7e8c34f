"""The generator with the real `livekit-agents`: its own types, its own synchronizer."""

import asyncio

import numpy as np
import pytest
from avatar_client import AsyncAvatarClient, InvalidAudio, InvalidRequest, SessionOptions

rtc = pytest.importorskip("livekit.rtc", reason="pip install -e '.[livekit]'")
avatar = pytest.importorskip("livekit.agents.voice.avatar", reason="pip install -e '.[livekit]'")
from avatar_client.livekit import AvatarVideoGenerator  # noqa: E402

RATE_HZ = 16_000
OPTIONS = SessionOptions(sample_rate_hz=RATE_HZ)


def audio_frame(samples: np.ndarray, rate_hz: int = RATE_HZ) -> "rtc.AudioFrame":
    return rtc.AudioFrame(samples.tobytes(), rate_hz, 1, samples.size)


async def until_end(generator, limit: int = 2000):
    items = []
    async for item in generator:
        items.append(item)
        if isinstance(item, avatar.AudioSegmentEnd) or len(items) >= limit:
            return items


@pytest.fixture
async def generator(toy_server):
    async with AsyncAvatarClient(toy_server.grpc_address) as client:
        made = AvatarVideoGenerator(client, OPTIONS)
        yield made
        await made.aclose()


async def test_pushed_audio_comes_back_with_pictures_and_the_segments_end(generator, speech):
    assert isinstance(generator, avatar.VideoGenerator)
    for piece in np.array_split(speech, 30):
        await generator.push_audio(audio_frame(piece))
    await generator.push_audio(avatar.AudioSegmentEnd())
    items = await until_end(generator)
    assert isinstance(items[-1], avatar.AudioSegmentEnd)
    sound = np.concatenate([np.frombuffer(item.data, np.int16) for item in items if isinstance(item, rtc.AudioFrame)])
    first = np.flatnonzero(sound)[0]
    np.testing.assert_array_equal(sound[first : first + speech.size], speech)
    pictures = [item for item in items if isinstance(item, rtc.VideoFrame)]
    assert len(pictures) >= 90
    # Each sound follows its picture.
    assert all(
        isinstance(items[i - 1], rtc.VideoFrame) for i, item in enumerate(items) if isinstance(item, rtc.AudioFrame)
    )
    options = generator.avatar_options()
    assert (options.video_fps, options.audio_sample_rate, options.audio_channels) == (30, RATE_HZ, 1)


async def test_clear_buffer_stops_mouth_and_sound(generator, speech):
    await generator.push_audio(audio_frame(speech))
    await generator.push_audio(avatar.AudioSegmentEnd())
    items = aiter(generator)
    for _ in range(20):
        await anext(items)
    await generator.clear_buffer()
    after = [await anext(items) for _ in range(20)]
    assert {type(item) for item in after} == {rtc.VideoFrame}, "no sound and no end of the segment follow"
    await generator.push_audio(audio_frame(speech[:8000]))
    await generator.push_audio(avatar.AudioSegmentEnd())
    again = await until_end(items)
    sound = np.concatenate([np.frombuffer(item.data, np.int16) for item in again if isinstance(item, rtc.AudioFrame)])
    first = np.flatnonzero(sound)[0]
    np.testing.assert_array_equal(sound[first : first + 8000], speech[:8000])


async def test_other_rates_are_converted(generator):
    second = (8000 * np.sin(2 * np.pi * 200 * np.arange(24_000) / 24_000)).astype(np.int16)
    for piece in np.array_split(second, 10):
        await generator.push_audio(audio_frame(piece, 24_000))
    await generator.push_audio(avatar.AudioSegmentEnd())
    items = await until_end(generator)
    seconds = sum(item.samples_per_channel for item in items if isinstance(item, rtc.AudioFrame)) / RATE_HZ
    assert seconds == pytest.approx(1.0, abs=0.1)


async def test_what_cannot_be_is_said(generator):
    with pytest.raises(InvalidAudio, match="mono, got 2 channels"):
        await generator.push_audio(rtc.AudioFrame(bytes(640), RATE_HZ, 2, 160))
    with pytest.raises(InvalidRequest, match="raw pictures"):
        AvatarVideoGenerator(None, SessionOptions(encoding="jpeg"))


class _Receiver(avatar.AudioReceiver):
    """What an agent sends to its avatar, and what it is told of the playback."""

    def __init__(self, items):
        super().__init__()
        self._items = items
        self.finished = asyncio.Queue()
        self.started = 0

    def notify_playback_finished(self, playback_position, interrupted):
        self.finished.put_nowait((playback_position, interrupted))

    def notify_playback_started(self):
        self.started += 1

    async def __aiter__(self):
        for item in self._items:
            yield item
        await asyncio.sleep(60)


class _Publication:
    async def wait_for_subscription(self):
        pass


class _Room:
    """A room that takes tracks; LiveKit's server is not needed for what is tested."""

    def __init__(self):
        self.local_participant = self
        self.tracks = []

    def on(self, *_):
        pass

    off = on

    def isconnected(self):
        return True

    async def publish_track(self, track, options):
        self.tracks.append(track)
        return _Publication()


async def test_livekits_own_runner_plays_it(generator, speech):
    items = [*(audio_frame(piece) for piece in np.array_split(speech, 15)), avatar.AudioSegmentEnd()]
    receiver, room = _Receiver(items), _Room()
    runner = avatar.AvatarRunner(room, audio_recv=receiver, video_gen=generator, options=generator.avatar_options())
    await runner.start()
    try:
        position_s, was_interrupted = await asyncio.wait_for(receiver.finished.get(), 30)
        assert position_s == pytest.approx(speech.size / RATE_HZ, abs=0.1)
        assert (was_interrupted, receiver.started, len(room.tracks)) == (False, 1, 2)
    finally:
        await runner.aclose()
