"""What a client does when the server does not behave: it must say so, and it must never hang."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from avatar_client import (
    AvatarClient,
    CapacityError,
    DeadlineExceeded,
    ServerError,
    ServerUnavailable,
    SessionLost,
    wire,
)  # fmt: skip

from tests.client.conftest import start_toy
from tests.client.fake_server import FakeServer, answers_everything, error, final, frame, is_end

SECOND = np.ones(16_000, np.int16)


def opened(server: FakeServer, **timeouts):
    return AvatarClient(server.address).open_session(outputs=(), **timeouts)


def after_start(*responses):
    """Accepts the session, then answers the first audio with these."""

    def behavior(requests, context):
        yield final(next(requests).id)
        request = next(requests)
        for make in responses:
            yield make(request.id)

    return behavior


def test_no_server_is_said_at_once():
    begun_s = time.monotonic()
    with AvatarClient("127.0.0.1:9") as client:
        assert not client.is_ready()
        with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:9.*avatar serve"):
            client.open_session()
        with pytest.raises(ServerUnavailable, match="within 0.3 s"):
            client.wait_until_ready(0.3)
    assert time.monotonic() - begun_s < 5


def test_a_server_that_never_answers_the_start_is_full_if_it_is_ready():
    def mute(requests, context):
        for _ in requests:
            pass
        yield from ()

    with FakeServer(mute) as server, pytest.raises(CapacityError, match="within 0.4 s"):
        opened(server, open_timeout_s=0.4)
    with FakeServer(mute, ready=False) as server, pytest.raises(ServerUnavailable, match="within 0.4 s"):
        opened(server, open_timeout_s=0.4)


def test_silence_in_the_middle_is_a_deadline():
    def stalls(requests, context):
        yield final(next(requests).id)
        for _ in requests:
            time.sleep(30 if context.is_active() else 0)

    server = FakeServer(stalls).__enter__()
    session = opened(server, response_timeout_s=0.5)
    session.send(SECOND)
    begun_s = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"0\.5 s while it owed"):
        next(session)
    assert time.monotonic() - begun_s < 3
    server._server.stop(0)


def test_silence_is_no_fault_while_nothing_is_owed():
    with FakeServer(answers_everything) as server, opened(server, response_timeout_s=2.0) as session:
        session.send(SECOND)
        with pytest.raises(StopIteration):
            threading.Timer(3.0, session.end).start()
            next(session)


@pytest.mark.parametrize(
    ("behavior", "expected", "words"),
    [
        pytest.param(after_start(), SessionLost, "closed the stream", id="stream-ends-early"),
        pytest.param(after_start(lambda i: error(i, "odd")), ServerError, "odd", id="error-of-a-request"),
        pytest.param(after_start(lambda i: error("", "odder")), ServerError, "odder", id="error-without-id"),
        pytest.param(
            after_start(lambda i: frame(i, 0, FRAME=np.zeros(0, np.uint8).reshape(0))),
            None,
            "",
            id="empty-output-is-legal",
        ),
    ],
)
def test_ends_of_a_stream(behavior, expected, words):
    with FakeServer(behavior) as server:
        session = opened(server)
        session.send(SECOND)
        if expected is None:
            assert next(session).index == 0
            return
        with pytest.raises(expected, match=words):
            list(session)
        with pytest.raises(expected):
            next(session)


def test_outputs_without_their_bytes_are_explained():
    def hollow(request_id):
        response = frame(request_id, 0, VISEME=np.zeros(20, np.float32))
        response.infer_response.raw_output_contents[-1] = b""
        return response

    with FakeServer(after_start(hollow)) as server:
        session = opened(server)
        session.send(SECOND)
        with pytest.raises(ServerError, match="VISEME must hold 20 values.*numpy < 2"):
            next(session)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"STATE": np.array([9], np.uint8)}, r"STATE must be one of \[0, 1, 2\], got \[9\]"),
        ({"STATE": np.zeros(2, np.uint8)}, "STATE must be one of"),
        ({"PTS": np.zeros(0)}, "no PTS"),
    ],
)
def test_a_frame_that_no_avatar_server_sends_is_refused(tensor, words):
    message = frame("1", 0, **tensor).infer_response
    with pytest.raises(ServerError, match=words):
        wire.parse_frame(message, 0.0)


def test_a_frame_without_its_number_is_refused():
    def anonymous(request_id):
        response = frame(request_id, 0)
        del response.infer_response.outputs[0]
        del response.infer_response.raw_output_contents[0]
        return response

    with FakeServer(after_start(anonymous)) as server:
        session = opened(server)
        session.send(SECOND)
        with pytest.raises(ServerError, match="no INDEX"):
            next(session)


def test_the_wire_carries_one_start_and_one_end_however_a_session_is_closed():
    with FakeServer(answers_everything) as server, AvatarClient(server.address) as client:
        with client.open_session() as session:
            session.send(SECOND)
            session.end()
            session.end()
            assert list(session) == []
            session.close()
        with client.open_session() as session:
            session.send(SECOND)
        for sent in _by_session(server.requests):
            assert [r.parameters["sequence_start"].bool_param for r in sent] == [True] + [False] * (len(sent) - 1)
            assert [is_end(r) for r in sent] == [False] * (len(sent) - 1) + [True]
            assert len(sent) >= 3


def _by_session(requests):
    sessions = {}
    for request in requests:
        sessions.setdefault(request.parameters["sequence_id"].string_param, []).append(request)
    assert len(sessions) == 2
    return sessions.values()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_server_that_dies_in_the_middle_ends_the_session(number):
    server = start_toy()
    try:
        with AvatarClient(server.grpc_address, keepalive_s=1.0, keepalive_timeout_s=1.0) as client:
            session = client.open_session(outputs=("audio",), avatar="slow")
            session.send(np.tile(SECOND, 60))
            next(session)
            os.kill(server.pid, number)
            begun_s = time.monotonic()
            with pytest.raises(SessionLost):
                list(session)
            with pytest.raises(SessionLost):
                session.send(SECOND)
            session.close()
            assert time.monotonic() - begun_s < 15
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
