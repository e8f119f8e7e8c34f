"""Live sessions are admitted as long as their frames a second fit into what the machine makes."""

import re
import time

import numpy as np
import pytest
from avatar_server import speed
from avatar_server.capacity import SHARE, Capacity, LiveSessions, NoRoom

from avatar.config import WindowConfig
from avatar.speech import Speech
from tests.serving.test_lifecycle import wait_for


def admitted(capacity: Capacity, *fps: int) -> list[int]:
    """Which of these sessions get in, one after the other."""
    live = LiveSessions(capacity)
    got = []
    for number, wanted_fps in enumerate(fps):
        try:
            live.begin(number, wanted_fps)
        except NoRoom:
            continue
        got.append(wanted_fps)
    assert live.used_fps == sum(got) and len(live) == len(got)
    return got


@pytest.mark.parametrize(
    ("capacity", "asked", "got"),
    [
        (Capacity.measured(46), (30, 30), [30]),
        (Capacity.measured(46), (30, 25, 25), [30]),
        (Capacity.measured(60.1 / SHARE), (30, 30, 25), [30, 30]),
        (Capacity.measured(60 / SHARE - 1), (30, 30, 25), [30, 25]),
        (Capacity.measured(5), (60, 25), [60]),
        (Capacity.by_hand(60), (30, 30, 25), [30, 30]),
        (Capacity.by_hand(0), (60,) * 50, [60] * 50),
        (Capacity(), (60,) * 50, [60] * 50),
    ],
)
def test_the_rule(capacity, asked, got):
    assert admitted(capacity, *asked) == got


def test_a_refusal_names_the_rule_what_is_in_use_and_what_to_do():
    live = LiveSessions(Capacity.by_hand(85.9))
    live.begin("one", 60)
    live.begin("two", 25)
    with pytest.raises(NoRoom) as caught:
        live.begin("three", 30)
    assert str(caught.value) == (
        "live sessions may have at most 85 frames a second on this server, 85 are in use by 2 sessions and this one "
        "asks for 30; retry later or on another server, with a lower 'fps', or without 'live'"
    )


def test_a_place_is_free_once():
    live = LiveSessions(Capacity.by_hand(30))
    live.begin("one", 30)
    live.begin("one", 25)
    assert live.used_fps == 25, "a second session of a holder takes the place of its first"
    live.end("one")
    live.end("one")
    live.end("nobody")
    assert (len(live), live.used_fps) == (0, 0)
    live.begin("two", 30)


def test_a_refused_session_leaves_that_of_its_holder():
    live = LiveSessions(Capacity.by_hand(60))
    live.begin("one", 30)
    live.begin("two", 30)
    with pytest.raises(NoRoom):
        live.begin("one", 50)
    assert live.used_fps == 60


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (Capacity.measured(46), "this machine makes 46 frames a second: 1 live session at 30 FPS at once"),
        (Capacity.measured(20), "frames a second: 1 live session at 30 FPS at once, which will lack pictures"),
        (Capacity.measured(61 / SHARE), "frames a second: 2 live sessions at 30 FPS at once"),
        (Capacity.by_hand(60), "live sessions may have 60 frames a second: 2 live sessions at 30 FPS at once"),
        (Capacity.by_hand(0), "limited by --max-sessions only"),
    ],
)
def test_in_plain_words(capacity, words):
    assert re.search(re.escape(words) + "$", str(capacity))


def test_the_sound_that_is_measured_with_keeps_the_networks_at_work():
    speech = Speech(speed.SAMPLE_RATE_HZ, WindowConfig())
    speech.push(speed.sound(speed.SOUND_S))
    windows = list(speech.windows(until_s=speed.SOUND_S))
    assert len(windows) == pytest.approx(10 * speed.SOUND_S, abs=5)
    assert np.mean([window.is_active for window in windows[5:]]) == 1


def test_the_speed_of_a_server(toy_server, metrics):
    """The toy's networks cost nothing, its pictures are as large as any."""
    observed = metrics("avatar_frame_latency_seconds_count")
    before, started_s = metrics("avatar_frames_total"), time.monotonic()
    made_fps = speed.measure(toy_server.grpc_address)
    took_s = time.monotonic() - started_s
    wait_for(lambda: metrics("avatar_sessions_active") == 0)
    assert 0.5 < made_fps * took_s / (metrics("avatar_frames_total") - before) < 2
    assert metrics("avatar_frame_latency_seconds_count") == observed, "no client's frames"


def test_a_measurement_that_is_cancelled(toy_server, metrics):
    assert speed.measure(toy_server.grpc_address, is_cancelled=lambda: True) is None
    wait_for(lambda: metrics("avatar_sessions_active") == 0)


def test_no_speed_without_a_server():
    with pytest.raises(speed.SpeedUnknown, match="connect"):
        speed.measure("127.0.0.1:9")
