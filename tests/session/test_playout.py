"""When frames are due: with their audio, never faster than they are shown."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

from avatar.pipeline import DROP_AFTER_S, Producer
from avatar.places import Places
from avatar.playout import PLAYOUT_DELAY_S, Playout
from avatar.session import EASE_FRAMES, INTERRUPTED, Session
from avatar.session_config import SessionConfig
from tests.session import virtual_time
from tests.session.fakes import BACKGROUND, FakeStages


def test_paced_audio_is_due_when_the_look_ahead_is_there():
    playout = Playout(fps=50, lookahead_ms=200)
    for k in range(1, 101):
        playout.arrived(0.02, now_s=10 + k * 0.02)
    due_s = [playout.due_s(k) for k in range(80)]
    np.testing.assert_allclose(due_s, [10 + k * 0.02 + 0.2 for k in range(80)], atol=1e-6)


def test_a_sentence_in_one_piece_is_shown_at_its_own_pace():
    playout = Playout(fps=25, lookahead_ms=200)
    playout.arrived(4.0, now_s=1.0)
    playout.ended(now_s=1.0)
    np.testing.assert_allclose([playout.due_s(k) for k in range(100)], 1.0 + np.arange(100) / 25)


def test_a_pause_in_the_audio_moves_what_follows():
    playout = Playout(fps=50, lookahead_ms=200)
    playout.arrived(1.0, now_s=0.0)
    assert playout.due_s(40) == pytest.approx(0.0)
    playout.arrived(1.0, now_s=60.0)
    assert playout.due_s(41) == pytest.approx(60.0)
    assert playout.due_s(42) == pytest.approx(60.02)


def test_frames_catch_up_with_audio_that_was_held_up():
    playout = Playout(fps=50, lookahead_ms=200)
    due_s = []
    for k in range(1, 201):
        held_up_s = 0.1 if 50 <= k < 55 else 0.0
        playout.arrived(0.02, now_s=10 + k * 0.02 + held_up_s)
        due_s += [playout.due_s(k - 10)] if k >= 10 else []
    late_s = np.array(due_s) - (10.2 + np.arange(191) * 0.02)
    assert late_s[:40] == pytest.approx(0, abs=1e-6) and late_s[41] == pytest.approx(0.1, abs=1e-3)
    assert late_s[100:] == pytest.approx(0, abs=1e-6), "the clock of the audio counts, not that of the network"
    assert np.diff(due_s).min() == pytest.approx(0.018), "a tenth faster, never in a rush"


def test_frames_made_before_their_look_ahead_count_on_steady_audio():
    playout = Playout(fps=50, lookahead_ms=200)
    playout.arrived(0.1, now_s=5.0)
    assert playout.due_s(0) == pytest.approx(5.1)


def test_an_interrupt_starts_over():
    playout = Playout(fps=50, lookahead_ms=200)
    playout.arrived(10.0, now_s=0.0)
    assert playout.due_s(200) == pytest.approx(0.0)
    playout.restart(first_index=206, now_s=3.0)
    assert [playout.due_s(k) for k in range(201, 206)] == pytest.approx([3.0 + k * 0.02 for k in range(5)])
    playout.arrived(1.0, now_s=9.0)
    assert playout.due_s(206) == pytest.approx(9.0)
    assert playout.lag_s(206) == pytest.approx(0.8)


async def _frames(config: SessionConfig, pcm: np.ndarray, came_s_ago: float) -> list:
    now_s = asyncio.get_running_loop().time
    session = Session(config, clock=lambda: now_s() - came_s_ago)
    producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"FRAME", "AUDIO_OUT"}))
    session.push(pcm)
    session.end()
    return [frame async for frame in producer.frames()]


def test_a_live_session_leaves_out_pictures_that_come_too_late_and_no_sound():
    pcm = np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16)
    frames = virtual_time.run(_frames(SessionConfig(live=True), pcm, came_s_ago=DROP_AFTER_S + 0.39))
    dropped = [frame.index for frame in frames if frame.is_dropped]
    assert [frame.index for frame in frames] == list(range(30))
    assert dropped == list(range(12)), "those due more than 0.1 s ago"
    assert all((frame.frame is None) == frame.is_dropped for frame in frames)
    np.testing.assert_array_equal(np.concatenate([frame.audio_out for frame in frames]), pcm)


def test_a_session_that_is_not_live_gets_every_picture_as_soon_as_it_is_made():
    async def timed():
        frames = await _frames(SessionConfig(), np.zeros(16_000, np.int16), came_s_ago=60.0)
        return frames, asyncio.get_running_loop().time()

    frames, took_s = virtual_time.run(timed())
    assert len(frames) == 30 and not any(frame.is_dropped for frame in frames)
    assert took_s == 0


class SlowStages(FakeStages):
    """Takes the milliseconds of two cores of a laptop, one call of a stage at a time, and at most two in all."""

    TOOK_MS = {"audio_encoder": 9, "motion": 9, "rasterizer": 8, "enhancer": 12, "stabilizer": 4}

    def __init__(self):
        super().__init__()
        self._instances = {stage: asyncio.Semaphore(1 + (stage == "enhancer")) for stage in self.TOOK_MS}
        self._cores = asyncio.Semaphore(2)

    async def _work(self, stage: str) -> None:
        await super()._work(stage)
        async with self._instances[stage]:
            for _ in range(self.TOOK_MS[stage]):
                async with self._cores:
                    await asyncio.sleep(0.001)


@dataclass
class Live:
    """A session whose audio comes in chunks of 20 ms at the times `came_s`; notes when frames leave."""

    session: Session
    producer: Producer
    sent: list = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def open(cls, stages: FakeStages, places: Places) -> "Live":
        session = Session(SessionConfig(live=True), clock=asyncio.get_running_loop().time)
        return cls(session, Producer(session, stages, BACKGROUND, frozenset({"FRAME"}), places))

    async def stream(self, came_s: np.ndarray) -> "Live":
        now_s = asyncio.get_running_loop().time
        pcm = np.random.default_rng(0).integers(-9000, 9000, 320).astype(np.int16)
        turns = []
        for at_s in came_s:
            await asyncio.sleep(at_s - now_s())
            self.session.push(pcm)
            self.producer.wake()
            turns.append(asyncio.create_task(self._send(self.session.bound)))
        await asyncio.gather(*turns)
        return self

    async def _send(self, bound: int) -> None:
        async with self.turn:
            async for frame in self.producer.frames(bound=bound):
                self.sent.append((asyncio.get_running_loop().time(), frame))

    @property
    def sent_s(self) -> np.ndarray:
        return np.array([at_s for at_s, _ in self.sent])


REGULAR_S = 0.02 * np.arange(1, 301)


@pytest.mark.parametrize("sessions", [1, 2])
def test_live_frames_leave_evenly_at_the_play_out_delay(sessions, monkeypatch):
    monkeypatch.setattr("avatar.compositor.resize", lambda picture, size: picture)

    async def together():
        stages, places = SlowStages(), Places(4)
        lives = [Live.open(stages, places) for _ in range(sessions)]
        return await asyncio.gather(*(live.stream(REGULAR_S + 0.031 * k) for k, live in enumerate(lives)))

    for k, live in enumerate(virtual_time.run(together())):
        start_s = 0.031 * k
        assert [frame.index for _, frame in live.sent] == list(range(len(live.sent))) and len(live.sent) > 170
        assert not any(frame.is_dropped for _, frame in live.sent)
        assert live.sent_s[0] < start_s + 0.2, "the first one does not wait"
        late_s = live.sent_s - (start_s + 0.2 + np.arange(len(live.sent)) / 30)
        np.testing.assert_allclose(late_s[2:], PLAYOUT_DELAY_S, atol=0.004)


def test_an_interrupt_does_not_wait_for_the_time_of_a_frame():
    async def interrupted():
        live = Live.open(FakeStages(), Places(4))
        talking = asyncio.create_task(live.stream(REGULAR_S[:50]))
        # A frame leaves each 33.3 ms; this lies between two.
        await asyncio.sleep(0.2 + PLAYOUT_DELAY_S + 10.4 / 30)
        live.session.interrupt()
        live.producer.wake()
        begun = len(live.sent)
        await asyncio.sleep(0)
        await live._send(live.session.bound)
        eased = live.sent[begun:]
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        return eased

    eased = virtual_time.run(interrupted())
    assert [frame.state for _, frame in eased] == [INTERRUPTED] * EASE_FRAMES
    assert eased[0][0] == pytest.approx(0.2 + PLAYOUT_DELAY_S + 10.4 / 30), "the first at once"
    np.testing.assert_allclose(np.diff([at_s for at_s, _ in eased[1:]]), 1 / 30, atol=1e-6)


def test_audio_that_was_held_up_freezes_the_picture_and_is_caught_up_with():
    came_s = REGULAR_S + np.where((REGULAR_S > 2) & (REGULAR_S < 2.3), 2.3 - REGULAR_S, 0)

    async def stalled():
        return await Live.open(FakeStages(), Places(4)).stream(came_s)

    live = virtual_time.run(stalled())
    late_s = live.sent_s - (0.2 + np.arange(len(live.sent)) / 30)
    # The last windows before the stall allow frames up to 0.1 s ahead of their look-ahead.
    assert 0.28 - 0.1 - PLAYOUT_DELAY_S < late_s.max() < 0.28 + PLAYOUT_DELAY_S
    np.testing.assert_allclose(late_s[-20:], PLAYOUT_DELAY_S, atol=1e-6)
    assert not any(frame.is_dropped for _, frame in live.sent), "nothing was lost"
    assert np.diff(live.sent_s[5:]).min() > 0.9 / 30 - 1e-6


def test_a_pause_of_minutes_in_the_stream_changes_when_frames_leave_and_nothing_else():
    came_s = REGULAR_S[:200] + np.where(np.arange(200) >= 100, 180.0, 0.0)

    async def streamed(came_s):
        return await Live.open(FakeStages(), Places(4)).stream(came_s)

    paused, steady = (virtual_time.run(streamed(times)) for times in (came_s, REGULAR_S[:200]))
    assert len(paused.sent) == len(steady.sent) and not any(frame.is_dropped for _, frame in paused.sent)
    for (_, a), (_, b) in zip(paused.sent, steady.sent, strict=True):
        assert a.index == b.index
        np.testing.assert_array_equal(a.blendshapes, b.blendshapes)
        np.testing.assert_array_equal(a.pose, b.pose)
    (pause,) = np.flatnonzero(np.diff(paused.sent_s) > 1)
    after_s = paused.sent_s[pause + 1 :]
    assert after_s[0] == pytest.approx(182.02, abs=0.15)
    np.testing.assert_allclose(np.diff(after_s)[5:], 1 / 30, atol=0.004)
