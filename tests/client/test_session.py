"""Sessions with the real Triton, which serves a model of the `avatar` contract."""

import resource
import threading
import time

import numpy as np
import pytest
from avatar_client import (
    AvatarClient,
    AvatarClientError,
    CapacityError,
    DeadlineExceeded,
    Flow,
    InvalidAudio,
    InvalidRequest,
    Retry,
    ServerError,
    SessionClosed,
    State,
)  # fmt: skip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.conftest import ADMIN_KEY
from tests.client.fake_server import FakeServer, frees_a_place, swallows_all_but_the_first

QUICK = {"outputs": ("audio", "state")}

PATIENT = Retry(attempts=30, first_s=0.1, max_s=1.0)
"""For places that sessions of another test have not left yet."""


def sound(frames) -> np.ndarray:
    return np.concatenate([frame.audio for frame in frames])


def session_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("avatar-")]


def test_frames_come_in_order_with_their_sound(client, speech):
    with client.open_session() as session:
        session.send(speech)
        session.end()
        frames = list(session)
    assert [frame.index for frame in frames] == list(range(90))
    assert [frame.pts_s for frame in frames] == pytest.approx([k / 30 for k in range(90)])
    np.testing.assert_array_equal(sound(frames), speech)
    image = frames[70].image
    assert image.shape == (512, 512, 3) and image.dtype == np.uint8
    assert list(image[0, 0]) == [0, 0, 70]
    assert not image.flags.writeable
    assert frames[10].state is State.SPEAKING
    assert frames[10].packet is None and frames[10].blendshapes is None
    received = [frame.received_s for frame in frames]
    assert received == sorted(received)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 48_000), max_size=40))
def test_the_result_does_not_depend_on_the_chunks(client, speech, cuts):
    edges = [0, *sorted(cuts), speech.size]
    with client.open_session(**QUICK) as session:
        frames = list(session.stream(speech[start:stop] for start, stop in zip(edges, edges[1:], strict=False)))
    assert [frame.index for frame in frames] == list(range(90))
    np.testing.assert_array_equal(sound(frames), speech)


@pytest.mark.parametrize("chunk", [1, 7, 160, 16_000])
def test_fixed_chunk_sizes(client, speech, chunk):
    short = speech[:8000]
    with client.open_session(**QUICK) as session:
        frames = list(session.stream(short[k : k + chunk] for k in range(0, short.size, chunk)))
    np.testing.assert_array_equal(sound(frames), short)


def test_float_and_byte_audio(client, speech):
    for pcm in (speech.astype(np.float32) / 32768, speech.tobytes()):
        with client.open_session(**QUICK) as session:
            session.send(pcm)
            session.end()
            np.testing.assert_array_equal(sound(session), speech)


def test_a_session_without_audio_has_no_frames(client):
    with client.open_session() as session:
        session.send(b"")
        session.end()
        assert list(session) == []
        assert list(session) == []


def test_a_part_of_a_frame_makes_a_frame(client):
    with client.open_session() as session:
        session.send(np.ones(1, np.int16))
        session.end()
        frames = list(session)
    assert len(frames) == 1 and frames[0].audio.size == 1


def test_only_what_was_asked_for_arrives(client, speech):
    with client.open_session(outputs=("blendshapes", "pose", "landmarks", "face_mesh", "viseme")) as session:
        session.send(speech)
        frame = next(session)
    assert frame.image is None and frame.audio is None and frame.state is None
    assert [a.shape for a in (frame.blendshapes, frame.pose, frame.landmarks, frame.face_mesh, frame.viseme)] == [
        (52,),
        (6,),
        (68, 2),
        (478, 3),
        (20,),
    ]


def test_options_reach_the_model(client, speech):
    options = {"fps": 50, "sample_rate_hz": 22_050, "size": 256, "alpha": True}
    with client.open_session(**options) as session:
        session.send(speech[:22_050])
        session.end()
        frames = list(session)
    assert len(frames) == 50
    assert frames[0].image.shape == (256, 256, 4)
    with client.open_session(encoding="jpeg") as session:
        session.send(speech)
        frame = next(session)
    assert frame.image is None and frame.packet.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"avatar": "nobody"}, "no avatar 'nobody'"), ({"lookahead_ms": 199, "seed": 1, "avatar": "nobody"}, "nobody")],
)
def test_what_the_server_refuses_is_raised_on_opening(client, options, words):
    with pytest.raises(InvalidRequest, match=words):
        client.open_session(**options)


def test_an_unknown_model_is_refused_on_opening(toy):
    with AvatarClient(toy.grpc_address, model="avatars") as client, pytest.raises(InvalidRequest, match="'avatars'"):
        client.open_session()


def test_bad_audio_is_refused_and_the_session_goes_on(client, speech):
    with client.open_session(**QUICK) as session:
        session.send(speech[:1000])
        with pytest.raises(InvalidAudio, match="nan"):
            session.send(np.full(10, np.nan, np.float32))
        session.send(speech[1000:])
        session.end()
        np.testing.assert_array_equal(sound(session), speech)


def test_an_interruption_drops_the_rest_and_the_session_goes_on(client, speech):
    with client.open_session(**QUICK, avatar="slow") as session:
        session.send(np.tile(speech, 10))
        heard = [next(session).index for _ in range(5)]
        played_s = session.interrupt()
        asked_s = time.monotonic()
        session.send(speech[:16_000])
        session.end()
        rest = list(session)
        took_s = time.monotonic() - asked_s
    assert heard == [0, 1, 2, 3, 4]
    assert played_s == pytest.approx(5 / 30)
    assert rest[0].state is State.INTERRUPTED and rest[1].state is not State.INTERRUPTED
    assert 30 <= len(rest) <= 31
    np.testing.assert_array_equal(sound(rest)[-15_000:], speech[1000:16_000])
    assert took_s < 10.0


def test_an_emotion_changes_from_the_audio_sent_next(client, speech):
    with client.open_session(outputs=("blendshapes",)) as session:
        session.set_emotion("happy", 0.75)
        session.send(speech)
        session.end()
        assert len(list(session)) == 90


def test_nothing_can_be_sent_after_the_end_or_after_closing(client, speech):
    with client.open_session(**QUICK) as session:
        session.end()
        session.end()
        with pytest.raises(SessionClosed, match="after end"):
            session.send(speech)
        list(session)
    session.close()
    with pytest.raises(SessionClosed):
        session.interrupt()


def test_closing_early_frees_the_place_on_the_server(client, speech):
    for _ in range(8):
        with client.open_session(**QUICK) as session:
            session.send(np.tile(speech, 5))
            next(session)
    assert session_threads() == []


def test_a_session_whose_end_is_not_answered_still_frees_its_place():
    with FakeServer(swallows_all_but_the_first) as server, AvatarClient(server.address) as client:
        client.open_session(outputs=()).close(timeout_s=0.2)
    assert frees_a_place(server.requests[-1], of=server.requests[0])


def test_a_forgotten_session_is_collected(client, speech):
    session = client.open_session(**QUICK)
    session.send(speech)
    assert session_threads()
    del session
    deadline_s = time.monotonic() + 5
    while session_threads() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert session_threads() == []


def test_a_failed_session_frees_its_place_and_says_why(client, speech):
    for _ in range(10):
        with client.open_session(**QUICK, avatar="breaks") as session:
            session.send(speech)
            taken = []
            with pytest.raises(ServerError, match="stage enhancer failed"):
                taken.extend(frame.index for frame in session)
            with pytest.raises(ServerError):
                session.send(speech)
    with client.open_session(**QUICK) as session:
        session.send(speech)
        session.end()
        assert len(list(session)) == 90


def test_a_full_server_refuses_the_next_session(client):
    sessions = [client.open_session(**QUICK, retry=PATIENT) for _ in range(4)]
    try:
        with pytest.raises(CapacityError, match="at most 4 sessions"):
            client.open_session(**QUICK)
    finally:
        for session in sessions:
            session.close()
    client.open_session(**QUICK, retry=PATIENT).close()


def test_two_sessions_at_once_do_not_mix(client, speech):
    other = speech[::-1].copy()
    with client.open_session(**QUICK) as first, client.open_session(**QUICK) as second:
        for start in range(0, speech.size, 4000):
            first.send(speech[start : start + 4000])
            second.send(other[start : start + 4000])
        first.end()
        second.end()
        np.testing.assert_array_equal(sound(first), speech)
        np.testing.assert_array_equal(sound(second), other)


def test_a_caller_that_takes_no_frames_is_held_back(client, speech):
    with client.open_session(flow=Flow(max_ahead_s=0.5, max_queued_s=1.0)) as session:
        with pytest.raises(DeadlineExceeded, match="take frames"):
            for _ in range(10):
                session.send(speech[:16_000], timeout_s=0.3)
        time.sleep(0.3)
        # Half a second of audio gives fifteen frames, each with a response, and the requests' own.
        assert session._stream._incoming.qsize() <= 15 + 5
        assert next(session).index == 0


def test_an_error_of_the_chunks_reaches_whoever_iterates(client, speech):
    def chunks():
        yield speech
        raise OSError("the microphone is gone")

    with client.open_session(**QUICK) as session, pytest.raises(OSError, match="microphone"):
        list(session.stream(chunks()))
    assert session_threads() == []


def test_closing_from_another_thread_ends_iteration(client):
    with client.open_session() as session:
        threading.Timer(0.2, session.close).start()
        begun_s = time.monotonic()
        assert list(session) == []
        assert time.monotonic() - begun_s < 2.0


def test_readiness(toy, client):
    assert client.is_ready()
    client.wait_until_ready(1.0)
    with pytest.raises(AvatarClientError, match="protocol is restricted"):
        client.statistics()
    admin = (("triton-grpc-protocol-admin-key", ADMIN_KEY),)
    with AvatarClient(toy.grpc_address, metadata=admin) as administrator:
        assert {stats.name for stats in administrator.statistics().model_stats} == {"avatar"}


@pytest.mark.slow
def test_a_long_session_neither_drifts_nor_grows(client):
    duration_s = 20 * 60
    rate_hz, chunk = 8000, np.arange(4000, dtype=np.int16)
    flow = Flow(max_ahead_s=2.0, max_queued_s=2.0, max_chunk_s=0.5)
    samples = memory_kib = 0
    with client.open_session(outputs=("audio",), sample_rate_hz=rate_hz, flow=flow) as session:
        for count, frame in enumerate(session.stream(chunk for _ in range(2 * duration_s))):
            assert frame.index == count
            assert abs(frame.pts_s - samples / rate_hz) <= 1 / rate_hz
            samples += frame.audio.size
            if count == 3000:
                memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (count + 1, samples) == (duration_s * 30, duration_s * rate_hz)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib < 16 * 1024
