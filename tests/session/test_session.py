"""The session's clock, merging and state: equivalences that must hold whatever the chunks, the rate or the timing."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.config import WindowConfig
from avatar.errors import InvalidAudioError, InvalidParameterError, SessionNotFoundError
from avatar.motion import SMOOTHING, Motion, smoothed
from avatar.pipeline import Producer
from avatar.session import EASE_FRAMES, INTERRUPTED, Session
from avatar.session_config import LOOKAHEADS_MS, InStream, SessionConfig
from avatar.speech import Speech
from tests.session.fakes import BACKGROUND, SIZE, FakeStages

ALL = frozenset({"FRAME", "LANDMARKS", "BLENDSHAPES"})


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    envelope = np.clip(np.sin(2 * np.pi * 1.7 * time) + 0.3 * np.sin(2 * np.pi * 4.1 * time), 0, 1)
    return (envelope * rng.uniform(-1, 1, len(time)) * 20000).astype(np.int16)


async def play(pcm, chunks, stages=None, outputs=ALL, **values):
    session = Session(SessionConfig(**values))
    producer = Producer(session, stages or FakeStages(), BACKGROUND, outputs)
    frames, start = [], 0
    for length in chunks:
        session.push(pcm[start : start + length])
        start += length
        frames += [frame async for frame in producer.frames()]
    session.push(pcm[start:])
    session.end()
    return frames + [frame async for frame in producer.frames()]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("avatar.compositor.resize", lambda picture, size: picture)


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.index == y.index and x.pts_s == y.pts_s and x.state == y.state
        np.testing.assert_array_equal(x.audio_out, y.audio_out)
        np.testing.assert_allclose(x.blendshapes, y.blendshapes, atol=1e-6)
        np.testing.assert_allclose(x.pose, y.pose, atol=1e-6)
        if x.frame is not None:
            np.testing.assert_array_equal(x.frame, y.frame)


@settings(deadline=None, max_examples=25)
@given(chunks=st.lists(st.integers(0, 9000), max_size=30), rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_chunks_do_not_change_the_result(chunks, rate):
    pcm = speech_like(1.3, rate)
    whole = asyncio.run(play(pcm, [], sample_rate_hz=rate))
    assert_same(asyncio.run(play(pcm, chunks, sample_rate_hz=rate)), whole)


@settings(deadline=None, max_examples=25)
@given(
    chunks=st.lists(st.integers(0, 9000), max_size=30),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    fps=st.sampled_from([25, 30, 50, 60]),
)
def test_the_bound_is_what_the_audio_allows(chunks, rate, fps):
    async def play_in_chunks():
        session = Session(SessionConfig(sample_rate_hz=rate, fps=fps))
        producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"INDEX"}))
        for length in chunks:
            session.push(np.zeros(length, np.int16))
            async for _ in producer.frames():
                pass
            assert session.delivered_frames == session.bound == session.next_index
            assert next(session.controls(), None) is None, "no frame beyond the bound can be made"
        session.end()
        last = [frame async for frame in producer.frames()]
        assert session.bound == session.delivered_frames
        assert not last or last[-1].index == session.bound - 1

    asyncio.run(play_in_chunks())


async def test_work_goes_on_beyond_the_bound_and_is_kept():
    """Frames of audio that came meanwhile are begun while those of an earlier request are delivered."""
    stages = FakeStages()
    session = Session(SessionConfig())
    producer = Producer(session, stages, BACKGROUND, ALL)
    pcm = speech_like(1, 16000)
    session.push(pcm[:8000])
    bound = session.bound
    session.push(pcm[8000:])
    session.end()
    first = [frame async for frame in producer.frames(bound=bound)]
    assert [frame.index for frame in first] == list(range(bound))
    assert stages.calls["rasterizer"] > bound
    rest = [frame async for frame in producer.frames()]
    assert_same(first + rest, await play(pcm, []))
    assert stages.calls["rasterizer"] == 30


async def test_an_emotion_starts_with_the_audio_sent_next():
    async def happy_at(early: bool):
        session = Session(SessionConfig())
        producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"BLENDSHAPES"}))
        session.push(np.zeros(16000, np.int16))
        frames = [] if early else [frame async for frame in producer.frames()]
        session.tell(InStream(emotion="happy"))
        session.push(np.zeros(16000, np.int16))
        session.end()
        return frames + [frame async for frame in producer.frames()]

    assert_same(await happy_at(early=True), await happy_at(early=False))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_timing_of_the_stages_does_not_change_the_result(seed):
    pcm = speech_like(1.0, 16000)
    jittered = asyncio.run(play(pcm, [3000] * 4, FakeStages(jitter=np.random.default_rng(seed))))
    assert_same(jittered, asyncio.run(play(pcm, [])))


@pytest.mark.parametrize("fps", [25, 30, 50, 60])
async def test_frame_count_and_audio_slices(fps):
    pcm = speech_like(1.234, 22050)
    frames = await play(pcm, [700] * 20, fps=fps, sample_rate_hz=22050)
    assert len(frames) == int(np.ceil(len(pcm) / 22050 * fps - 0.5 / 22050 * fps))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    np.testing.assert_allclose([frame.pts_s for frame in frames], np.arange(len(frames)) / fps)
    np.testing.assert_array_equal(np.concatenate([frame.audio_out for frame in frames]), pcm)


async def test_motion_at_the_same_time_is_the_same_at_every_frame_rate():
    pcm = speech_like(2, 16000)
    by_rate = {fps: await play(pcm, [], outputs=frozenset({"BLENDSHAPES"}), fps=fps) for fps in (30, 60)}
    for slow, fast in zip(by_rate[30], by_rate[60][::2], strict=True):
        np.testing.assert_allclose(slow.blendshapes, fast.blendshapes, atol=1e-6)


@pytest.mark.parametrize("lookahead_ms", LOOKAHEADS_MS)
async def test_frames_leave_as_soon_as_their_lookahead_is_there(lookahead_ms):
    session = Session(SessionConfig(lookahead_ms=lookahead_ms))
    producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"BLENDSHAPES"}))
    pcm = speech_like(3, 16000)
    made = 0
    for start in range(0, len(pcm), 160):
        session.push(pcm[start : start + 160])
        made += len([frame async for frame in producer.frames()])
        received_s = (start + 160) / 16000
        must = int(np.floor((received_s - session.window.lookahead_ms / 1000) * 30 + 1e-9)) + 1
        assert made >= must, f"{made} frames after {received_s:.2f} s, {must} are due"


async def test_a_short_lookahead_does_not_depend_on_chunks_or_frame_rate():
    pcm = speech_like(2, 16000)
    outputs = frozenset({"BLENDSHAPES"})
    whole = await play(pcm, [], outputs=outputs, lookahead_ms=80, fps=60)
    pieces = await play(pcm, [777] * 60, outputs=outputs, lookahead_ms=80, fps=60)
    slow = await play(pcm, [], outputs=outputs, lookahead_ms=80, fps=30)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a.blendshapes, b.blendshapes)
    for a, b in zip(whole[::2], slow, strict=True):
        np.testing.assert_allclose(a.blendshapes, b.blendshapes, atol=1e-6)


async def test_the_networks_rest_in_silence():
    stages = FakeStages()
    session = Session(SessionConfig())
    producer = Producer(session, stages, BACKGROUND, frozenset({"BLENDSHAPES"}))
    session.push(np.concatenate([np.zeros(48_000, np.int16), speech_like(1, 16000), np.zeros(48_000, np.int16)]))
    session.end()
    frames = [frame async for frame in producer.frames()]
    assert len(frames) == 7 * 30
    assert 10 < stages.calls["audio_encoder"] == stages.calls["motion"] < 22, "of 72 windows"


async def test_windows_merge_to_the_offline_result():
    """Where network and smoothing together see no further than the look-ahead, windows must leave no trace: streaming
    equals the whole file at once."""
    pcm = speech_like(3, 16000)
    frames = await play(pcm, [1234] * 30, outputs=frozenset({"VISEME"}), fps=50)
    level = np.abs(pcm.astype(np.float32) / 32768).reshape(-1, 320).mean(1).astype(np.float16).astype(np.float32)
    rows = np.convolve(level, SMOOTHING, "same")
    expected = np.interp(np.arange(len(frames)) / 50, (np.arange(len(rows)) + 0.5) / 50, rows)
    # Coefficient 30 carries the level alone: neither blinks nor gaze nor emotion touch it.
    np.testing.assert_allclose([frame.blendshapes[30] for frame in frames], expected, atol=1e-5)


def test_smoothing_lessens_what_changes_from_row_to_row_and_leaves_rest_and_closures():
    rest = Motion.rest(20).packed()
    np.testing.assert_array_equal(smoothed(rest), rest)
    trembling = rest.copy()
    trembling[::2, 17] = 0.1
    before, after = (np.ptp(rows[1:-1, 17]) for rows in (trembling, smoothed(trembling)))
    assert after == pytest.approx((1 - 4 * SMOOTHING[0]) * before, abs=1e-6) and after < 0.8 * before
    # Open lips that meet for 60 ms: the middle of the closure stays closed.
    closing = np.full((9, 1), 6.0, np.float32)
    closing[3:6] = -0.7
    assert smoothed(closing)[4, 0] == pytest.approx(-0.7, abs=1e-6)


async def test_a_window_is_encoded_while_the_one_before_is_with_motion():
    class Meeting(FakeStages):
        """`motion` of the first window ends only once `audio_encoder` was called for the second."""

        def __init__(self):
            super().__init__()
            self.second = asyncio.Event()

        async def audio_encoder(self, audio):
            if self.calls["audio_encoder"] == 1:
                self.second.set()
            return await super().audio_encoder(audio)

        async def motion(self, features):
            await asyncio.wait_for(self.second.wait(), 5)
            return await super().motion(features)

    frames = await play(speech_like(1, 16000), [16000], stages=Meeting(), outputs=frozenset({"VISEME"}))
    assert len(frames) == 30


async def test_of_a_window_only_what_the_one_before_did_not_show_well_is_encoded_again():
    class Noting(FakeStages):
        def __init__(self):
            super().__init__()
            self.encoded, self.whole = [], []

        async def audio_encoder(self, audio):
            self.encoded.append(len(audio))
            return await super().audio_encoder(audio)

        async def motion(self, features):
            self.whole.append(features)
            return await super().motion(features)

    stages, window = Noting(), WindowConfig()
    await play(speech_like(2, 16000), [777] * 40, stages=stages, outputs=frozenset({"VISEME"}))
    assert set(stages.encoded[1:]) == {window.encoded_samples}
    assert stages.encoded[0] == window.window_samples
    for before, features in zip(stages.whole, stages.whole[1:], strict=False):
        assert len(features) == window.window_rows
        known = window.window_rows - window.hop_rows
        np.testing.assert_array_equal(features[:known], before[window.hop_rows :])


async def test_after_a_pause_a_window_is_encoded_as_a_whole():
    pause = np.zeros(4 * 16000, np.int16)
    pcm = np.concatenate([speech_like(1, 16000), pause, speech_like(1, 16000)])
    window, speech = WindowConfig(), Speech(16000, WindowConfig())
    speech.push(pcm)
    speech.end()
    windows = list(speech.windows(speech.received_s))
    assert any(not item.is_active for item in windows)
    for before, item in zip(windows, windows[1:], strict=False):
        assert len(item.audio) == (window.encoded_samples if before.is_active else window.window_samples)


async def test_a_window_that_cannot_be_encoded_fails_those_that_wait_for_its_features():
    class Breaking(FakeStages):
        async def audio_encoder(self, audio):
            await super().audio_encoder(audio)
            if self.calls["audio_encoder"] == 3:
                raise RuntimeError("audio_encoder broke")
            return np.zeros((len(audio) // 320, 768), np.float16)

    with pytest.raises(RuntimeError, match="audio_encoder broke"):
        await asyncio.wait_for(play(speech_like(2, 16000), [], Breaking(), frozenset({"VISEME"})), 5)


async def test_interrupt_takes_back_what_was_not_delivered_and_eases_to_rest():
    session = Session(SessionConfig())
    producer = Producer(session, FakeStages(), BACKGROUND, ALL)
    session.push(np.full(32000, 15000, np.int16))
    delivered = []
    async for frame in producer.frames():
        delivered.append(frame)
        if len(delivered) == 10:
            session.tell(InStream(event="interrupt"))
    assert len(delivered) == 10, "no frame of the old epoch after the interrupt"
    eased = [frame async for frame in producer.frames()]
    assert [frame.index for frame in eased] == list(range(10, 10 + EASE_FRAMES))
    assert all(frame.state == INTERRUPTED for frame in eased)
    jaw = [frame.blendshapes[17] for frame in [delivered[-1], *eased]]
    assert jaw == sorted(jaw, reverse=True) and jaw[0] > 0.2 and jaw[-1] == 0
    session.push(np.full(16000, 15000, np.int16))
    session.end()
    after = [frame async for frame in producer.frames()]
    assert after[0].index == 10 + EASE_FRAMES
    assert len(after) == 30
    heard = np.concatenate([frame.audio_out for frame in delivered + eased + after])
    assert np.count_nonzero(heard == 0) == pytest.approx(EASE_FRAMES / 30 * 16000, abs=1)


async def test_interrupt_before_the_first_frame_and_twice():
    session = Session(SessionConfig())
    producer = Producer(session, FakeStages(), BACKGROUND, ALL)
    session.tell(InStream(event="interrupt"))
    session.tell(InStream(event="interrupt"))
    frames = [frame async for frame in producer.frames()]
    assert [frame.index for frame in frames] == list(range(EASE_FRAMES))


async def test_empty_session_has_no_frames():
    assert await play(np.zeros(0, np.int16), []) == []


async def test_only_what_is_asked_for_is_computed():
    stages = FakeStages()
    await play(speech_like(1, 16000), [], stages, outputs=frozenset({"BLENDSHAPES", "INDEX"}))
    assert stages.calls["rasterizer"] == stages.calls["enhancer"] == 0 and stages.calls["motion"] > 0


async def test_a_failing_stage_ends_the_frames_with_its_error_and_leaves_nothing_running():
    with pytest.raises(RuntimeError, match="rasterizer broke"):
        await play(speech_like(1, 16000), [], FakeStages(fail_at=5))
    assert len(asyncio.all_tasks()) == 1


async def test_cancel_stops_early():
    session = Session(SessionConfig())
    producer = Producer(session, FakeStages(), BACKGROUND, ALL)
    session.push(speech_like(2, 16000))
    seen = []
    async for frame in producer.frames(is_cancelled=lambda: len(seen) >= 3):
        seen.append(frame)
    assert len(seen) == 3 and len(asyncio.all_tasks()) == 1


async def test_alpha_frames_keep_their_matte():
    frames = await play(speech_like(0.3, 16000), [], alpha=True)
    assert frames[0].frame.shape == (SIZE, SIZE, 4)


async def test_long_sessions_hold_little_memory():
    session = Session(SessionConfig())
    producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"INDEX"}))
    for _ in range(240):
        session.push(speech_like(0.5, 16000))
        async for _ in producer.frames():
            pass
    speech = session._speech
    assert speech._sent.end - speech._sent.start < 16000 * 8
    assert speech._audio.end - speech._audio.start < 16000 * 8
    assert len(speech.track._rows) < 1000


def test_wrong_audio_is_named():
    session = Session(SessionConfig())
    with pytest.raises(InvalidAudioError, match="float32"):
        session.push(np.zeros(10, np.float32))
    session.end()
    with pytest.raises(SessionNotFoundError):
        session.push(np.zeros(10, np.int16))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fps": 24}, "fps"),
        ({"sample_rate": 4000}, "8000 to 48000"),
        ({"avatar": "../etc"}, "avatar"),
        ({"emotion": "bored"}, "neutral"),
        ({"emotion_intensity": 2}, "0 to 1"),
        ({"speed": 1}, "unknown"),
        ({"fps": True}, "int"),
        ({"encoding": "png"}, "jpeg"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(InvalidParameterError, match=message):
        SessionConfig.from_parameters(parameters)


def test_parameters_of_later_requests():
    assert InStream.from_parameters({"event": "interrupt"}).event == "interrupt"
    with pytest.raises(InvalidParameterError, match="first request"):
        InStream.from_parameters({"fps": 30})
    with pytest.raises(InvalidParameterError, match="interrupt"):
        InStream.from_parameters({"event": "explode"})


def test_window_config_rejects_what_cannot_work():
    with pytest.raises(ValueError, match="multiple of 20"):
        WindowConfig(hop_ms=30)
    with pytest.raises(ValueError, match="at least"):
        WindowConfig(lookahead_ms=100, hop_ms=100)
    with pytest.raises(ValueError, match="odd multiple of 10"):
        WindowConfig(slack_ms=20)
