"""When frames are due: with their audio, never faster than they are shown."""

import asyncio

import numpy as np
import pytest

from avatar.pipeline import DROP_AFTER_S, Producer
from avatar.playout import Playout
from avatar.session import Session
from avatar.session_config import SessionConfig
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
    import time

    session = Session(config)
    producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"FRAME", "AUDIO_OUT"}))
    session.push(pcm, time.monotonic() - came_s_ago)
    session.end()
    session.playout.ended(time.monotonic() - came_s_ago)
    return [frame async for frame in producer.frames()]


def test_a_live_session_leaves_out_pictures_that_come_too_late_and_no_sound():
    pcm = np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16)
    frames = asyncio.run(_frames(SessionConfig(live=True), pcm, came_s_ago=DROP_AFTER_S + 0.4))
    dropped = [frame.index for frame in frames if frame.is_dropped]
    assert [frame.index for frame in frames] == list(range(30))
    assert dropped == list(range(len(dropped))) and 12 <= len(dropped) <= 14, "those due more than 0.1 s ago"
    assert all((frame.frame is None) == frame.is_dropped for frame in frames)
    np.testing.assert_array_equal(np.concatenate([frame.audio_out for frame in frames]), pcm)


def test_a_session_that_is_not_live_gets_every_picture():
    frames = asyncio.run(_frames(SessionConfig(), np.zeros(16_000, np.int16), came_s_ago=60.0))
    assert len(frames) == 30 and not any(frame.is_dropped for frame in frames)
