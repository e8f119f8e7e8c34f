"""The client with the real `avatar` model, whose networks are toys: the two sides of the contract agree."""

import time

import av
import numpy as np
import pytest
from avatar_client import AvatarClient, CapacityError, Flow, InvalidRequest, SessionLost, State, cli

from tests.client import sounds

QUICK = {"outputs": ("blendshapes", "audio", "state")}
SECOND = 16_000


@pytest.fixture
def client(toy_server):
    with AvatarClient(toy_server.grpc_address) as connected:
        yield connected


@pytest.fixture(autouse=True)
def leaves_no_session(toy_server, metrics):
    yield
    deadline_s = time.monotonic() + 5
    while metrics("avatar_sessions_active") and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert metrics("avatar_sessions_active") == 0


def test_frames_in_order_with_their_sound(client, speech):
    with client.open_session(size=256) as session:
        frames = list(session.stream(speech[k : k + 999] for k in range(0, speech.size, 999)))
    assert [frame.index for frame in frames] == list(range(90))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(90) / 30)
    np.testing.assert_array_equal(np.concatenate([frame.audio for frame in frames]), speech)
    assert frames[0].image.shape == (256, 256, 3)


@pytest.mark.parametrize(("rate_hz", "fps"), [(8000, 25), (22_050, 30), (48_000, 60)])
def test_rates(client, rate_hz, fps):
    pcm = np.random.default_rng(0).integers(-99, 99, rate_hz).astype(np.int16)
    with client.open_session(**QUICK, sample_rate_hz=rate_hz, fps=fps) as session:
        frames = list(session.stream([pcm]))
    assert len(frames) == fps
    np.testing.assert_array_equal(np.concatenate([frame.audio for frame in frames]), pcm)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"avatar": "nobody"}, "'nobody' is not installed"),
        ({"fps": 29}, "must be one of 25, 30, 50, 60, got 29"),
        ({"size": 500}, "'size'"),
        ({"emotion": "hungry"}, "'emotion'"),
        ({"emotion_intensity": 2.0}, "'emotion_intensity'"),
        ({"lookahead_ms": 1}, "'lookahead_ms'"),
    ],
)
def test_refusals_come_on_opening(client, options, words):
    with pytest.raises(InvalidRequest, match=words):
        client.open_session(**options)


def test_one_session_too_many(client):
    sessions = [client.open_session(**QUICK) for _ in range(3)]
    with pytest.raises(CapacityError, match="at most 3 sessions"):
        client.open_session(**QUICK)
    for session in sessions:
        session.close()


def test_an_idle_session_is_lost(client, speech):
    with client.open_session(**QUICK) as session:
        session.send(speech[:SECOND])
        time.sleep(5.0)
        session.send(speech)
        with pytest.raises(SessionLost, match="is not open"):
            list(session)


def test_a_bad_change_ends_the_session_with_its_reason(client, speech):
    with client.open_session(**QUICK) as session:
        session.set_emotion("hungry")
        session.send(speech)
        with pytest.raises(InvalidRequest, match="'emotion'"):
            list(session)


def test_an_interruption_is_quick_and_nothing_old_follows(client, speech):
    with client.open_session(**QUICK, flow=Flow(max_ahead_s=2.0)) as session:
        session.send(np.tile(speech, 20))
        before = [next(session) for _ in range(10)]
        begun_s = time.monotonic()
        played_s = session.interrupt()
        session.send(speech[:SECOND])
        session.end()
        after = list(session)
        took_s = time.monotonic() - begun_s
    assert played_s == pytest.approx(before[-1].pts_s + 1 / 30)
    assert State.INTERRUPTED in {frame.state for frame in after[:2]}
    indices = [frame.index for frame in after]
    assert indices == sorted(set(indices)) and indices[0] > before[-1].index
    assert len(after) < 60
    heard = np.concatenate([frame.audio for frame in after])
    np.testing.assert_array_equal(heard[-SECOND // 2 :], speech[SECOND // 2 : SECOND])
    assert took_s < 10


def test_encodings(client, speech):
    with client.open_session(encoding="jpeg", size=256) as session:
        packets = [frame.packet for frame in session.stream([speech[:SECOND]])]
    assert len(packets) == 30 and all(packet.startswith(b"\xff\xd8") for packet in packets)
    with client.open_session(encoding="h264", size=256) as session:
        packets = [frame.packet for frame in session.stream([speech[:SECOND]])]
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for packet in packets for picture in decoder.decode(av.Packet(packet))] + decoder.decode(None)
    assert len(pictures) == 30 and pictures[0].width == 256


def test_render_with_stage_times(toy_server, capsys, tmp_path):
    path = sounds.write_wav(tmp_path / "a.wav", sounds.tone(1.0, SECOND), SECOND)
    metrics_url = f"http://{toy_server.metrics_address}/metrics"
    arguments = ["render", path, "--server", toy_server.grpc_address, "--metrics-url", metrics_url, "--timings", "-q"]
    assert cli.main(list(map(str, arguments))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        "audio_encoder",
        "motion",
        "rasterizer",
        "enhancer",
        "stabilizer",
    ]
    assert all(line.endswith("ms x 30") for line in lines[4:])
