import avatar_client
import grpc
import pytest
from avatar_client.errors import explain, from_status, from_stream_message, holds_slot


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("parameter 'foo' is unknown; known are alpha, avatar, event", "InvalidRequest"),
        ("parameter 'fps' may only stand on the first request", "InvalidRequest"),
        ("avatar 'nobody' is not installed; installed are default", "InvalidRequest"),
        ("AUDIO must have shape [1, samples], got [2, 8000]; send one chunk in a request", "InvalidRequest"),
        ("this server runs at most 4 sessions at once and all are taken; retry later", "CapacityError"),
        ("session '7' is not open: it has ended, failed, or was idle for 60 s; open a new one", "SessionLost"),
        ("session 'ab' ended before this request's turn; open a new one with sequence_start", "SessionLost"),
        ("stage enhancer failed: Stub process 'enhancer_0' is not healthy.", "ServerUnavailable"),
        ("stage motion failed: FEATURES must be FP16, got FP32", "ServerError"),
        ("the server failed on this session; its log says more", "ServerError"),
        ("the request was cancelled", "Cancelled"),
        ("unknown parameter 'foo'; known: avatar, fps", "InvalidRequest"),
        ("fps must be one of 25, 30, 50, 60, got 24", "InvalidRequest"),
        ("no avatar 'nobody' is installed; have default", "InvalidRequest"),
        ("Request for unknown model: 'avatar' is not found", "InvalidRequest"),
        ("unexpected inference output 'NOPE' for model 'avatar'", "InvalidRequest"),
        ("the server runs at most 4 sessions; retry later", "CapacityError"),
        ("[request id: 1] Exceeds maximum queue size", "CapacityError"),
        ("inference request for sequence 7 to model 'avatar' must specify the START flag", "SessionLost"),
        ("no such session: it has ended or was idle too long; open a new one", "SessionLost"),
        ("Stub process 'avatar_0_0' is not healthy.", "ServerUnavailable"),
        ("Server is exiting, cannot accept requests", "ServerUnavailable"),
        ("stage enhancer failed: out of memory", "ServerError"),
    ],
)
def test_messages_inside_the_stream_become_exceptions(message, expected):
    error = from_stream_message(message)
    assert type(error).__name__ == expected
    assert str(error) == message


@pytest.mark.parametrize(
    ("code", "message", "started", "expected"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", False, "ServerUnavailable"),
        ("UNAVAILABLE", "Socket closed", True, "SessionLost"),
        ("UNAVAILABLE", "keepalive watchdog timeout", True, "SessionLost"),
        ("UNAVAILABLE", "Server exiting", True, "ServerUnavailable"),
        ("RESOURCE_EXHAUSTED", "full", False, "CapacityError"),
        ("INVALID_ARGUMENT", "no", False, "InvalidRequest"),
        ("UNIMPLEMENTED", "no such method", False, "InvalidRequest"),
        ("DEADLINE_EXCEEDED", "late", False, "DeadlineExceeded"),
        ("CANCELLED", "by hand", True, "Cancelled"),
        ("INTERNAL", "oops", True, "ServerError"),
        ("UNKNOWN", "oops", True, "ServerError"),
    ],
)
def test_status_codes_become_exceptions(code, message, started, expected):
    assert type(from_status(grpc.StatusCode[code], message, started=started)).__name__ == expected


def test_every_error_can_be_caught_as_one_and_some_as_builtins():
    names = [name for name in avatar_client.__all__ if isinstance(getattr(avatar_client, name), type)]
    errors = [kind for kind in map(avatar_client.__dict__.get, names) if issubclass(kind, Exception)]
    assert len(errors) == 10
    assert all(issubclass(kind, avatar_client.AvatarClientError) for kind in errors)
    assert issubclass(avatar_client.InvalidRequest, ValueError)
    assert issubclass(avatar_client.DeadlineExceeded, TimeoutError)


def test_a_defect_while_receiving_is_not_swallowed():
    error = explain(RuntimeError("odd"), "here:1", started=True)
    assert isinstance(error, avatar_client.ServerUnavailable) and "odd" in str(error) and "here:1" in str(error)


def test_only_a_refusal_by_the_model_leaves_a_slot_to_free():
    assert holds_slot(avatar_client.InvalidRequest()) and holds_slot(avatar_client.ServerError())
    assert not holds_slot(avatar_client.SessionLost()) and not holds_slot(avatar_client.ServerUnavailable())
