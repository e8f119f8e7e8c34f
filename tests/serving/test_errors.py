"""Every mistake of a client gets an error with a fitting code, ends that session only, and leaves the server up."""

import importlib
import sys
import time
import types

import numpy as np
import pytest

from avatar import errors
from tests.conftest import PROJECT
from tests.serving.stream import Stream

SECOND = np.zeros(16_000, np.int16)


def refused(server, **request) -> str:
    """The error of a session whose only request the model refuses."""
    with Stream(server.grpc_address) as stream:
        stream.send(**{"pcm": SECOND, "start": True, "end": True, **request})
        (response,) = stream.wait(1)
    return response.error


# Triton reports codes on the wire only with the header `triton_grpc_error`, under which 2.51 can crash.
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidAudioError("x"), "INVALID_ARG"),
        (errors.InvalidParameterError("x"), "INVALID_ARG"),
        (errors.UnknownAvatarError("x"), "NOT_FOUND"),
        (errors.SessionNotFoundError("x"), "NOT_FOUND"),
        (errors.CapacityError("x"), "UNAVAILABLE"),
        (errors.StageError("motion", "x"), "UNAVAILABLE"),
        (RuntimeError("secret"), "INTERNAL"),
    ],
)
def test_codes(monkeypatch, error, code):
    codes = {name: name for name in ("INVALID_ARG", "NOT_FOUND", "UNAVAILABLE", "INTERNAL", "CANCELLED")}
    triton = types.SimpleNamespace(TritonError=types.SimpleNamespace(**codes), TRITONSERVER_RESPONSE_COMPLETE_FINAL=1)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    monkeypatch.syspath_prepend(PROJECT / "backends" / "avatar")
    monkeypatch.delitem(sys.modules, "front.reply", raising=False)
    described = importlib.import_module("front.reply")._described(error)
    assert described[1] == code and "secret" not in described[0]
    monkeypatch.delitem(sys.modules, "front.reply")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"colour": "red"}, "'colour' is unknown; known are alpha, avatar"),
        ({"fps": 29}, "'fps' must be one of 25, 30, 50, 60, got 29"),
        ({"fps": "fast"}, "'fps' must be int, got 'fast'"),
        ({"sample_rate": 4000}, "'sample_rate' must be 8000 to 48000 Hz, got 4000"),
        ({"alpha": 2}, "'alpha' must be bool"),
        ({"event": "explode"}, "'event' must be one of interrupt, keyframe"),
        ({"avatar": "nobody"}, "avatar 'nobody' is not installed; installed are default"),
        ({"avatar": "../default"}, "'avatar' must be a name"),
        ({"avatar": ""}, "'avatar' must be a name"),
    ],
)
def test_bad_parameters(toy_server, parameters, words):
    assert words in refused(toy_server, parameters=parameters)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"start": False}, "must specify the START flag on the first request"),
        ({"dtype": np.float32}, "data-type is 'FP32', but model 'avatar' expects 'INT16'"),
        ({"shape": [2, 8000]}, "must specify batch-size 1"),
        ({"shape": [16_000]}, "batch-size must be <= 8"),
        ({"outputs": ("SMELL",)}, "unexpected inference output 'SMELL'"),
        ({"model": "oracle"}, "'oracle' is not found"),
    ],
)
def test_requests_that_triton_refuses(toy_server, request_, words):
    request = {"pcm": SECOND, "start": True, "end": True, "model": "avatar", **request_}
    with Stream(toy_server.grpc_address, model=request.pop("model")) as stream:
        stream.send(**request)
        (response,) = stream.wait(1)
    assert words in response.error


def test_parameter_of_the_first_request_on_a_later_one(toy_server, metrics):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(name="first", start=True)
        stream.wait(1)
        stream.send(SECOND, "second", parameters={"fps": 25})
        error = stream.wait(2)[-1].error
    assert "'fps' may only stand on the first request" in error
    assert metrics("avatar_sessions_active") == 0


def test_an_error_ends_its_session_only(toy_server, metrics):
    with Stream(toy_server.grpc_address) as good, Stream(toy_server.grpc_address) as bad:
        good.send(SECOND, "good 0", start=True)
        bad.send(SECOND, "bad 0", start=True)
        good.wait(1)
        bad.wait(1)
        bad.send(SECOND, "bad 1", parameters={"colour": "red"})
        bad.send(SECOND, "bad 2", end=True)
        errors = [response.error for response in bad.wait(3) if response.error]
        assert "'colour'" in errors[0]
        assert "is not open: it has ended, failed" in errors[1]
        good.send(SECOND, "good 1", end=True)
        good.wait(2)
        assert [int(frame["INDEX"][0]) for frame in good.frames()] == list(range(60))
    assert metrics("avatar_sessions_active") == 0


def _refusal_ms(server) -> float:
    with Stream(server.grpc_address) as stream:
        started_s = time.monotonic()
        stream.send(SECOND, start=True, end=True)
        return 1000 * (stream.wait(1)[-1].at_s - started_s)


def test_one_request_holds_at_most_a_minute(toy_server):
    error = refused(toy_server, pcm=np.zeros(61 * 16_000, np.int16))
    assert "at most 60 s of audio, got 61.0 s; send the audio in several requests" in error


def test_audio_that_waits_is_bounded(toy_server, metrics):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(start=True)
        stream.wait(1)
        for i in range(12):
            stream.send(np.zeros(60 * 16_000, np.int16), f"chunk {i}", outputs=("FRAME",))
        stream.wait_until(lambda: any(response.error for response in stream.responses))
        error = next(response.error for response in stream.responses if response.error)
        stream.wait(13)
    assert "at most 600 s of audio may wait for its frames, got 660.0 s" in error
    assert metrics("avatar_sessions_active") == 0


def test_one_session_too_many_is_refused_at_once(toy_server, metrics):
    open_ones = [Stream(toy_server.grpc_address) for _ in range(3)]
    for stream in open_ones:
        stream.send(start=True)
        stream.wait(1)
    refusals = metrics("avatar_sessions_refused_total")
    assert (
        refused(toy_server) == "RESOURCE_EXHAUSTED: this server runs at most 3 sessions at once, 3 are in use; "
        "retry later or on another server"
    )
    assert metrics("avatar_sessions_refused_total") == refusals + 1
    assert min(_refusal_ms(toy_server) for _ in range(5)) < 50
    for stream in open_ones:
        stream.send(end=True)
        stream.wait(2)
        stream.close()
    assert metrics("avatar_sessions_active") == 0
    assert "'fps' must be one of" in refused(toy_server, parameters={"fps": 0})
