"""What the server's log tells, and what it never does."""

import base64
import dataclasses

import numpy as np
import pytest
from avatar_server import start_server
from avatar_server.logs import Log

from tests.serving.stream import Stream
from tests.serving.test_lifecycle import wait_for


@pytest.fixture(scope="module")
def logged(toy_config):
    lines = []
    with start_server(dataclasses.replace(toy_config), Log(lines.append, level="debug")) as server:
        yield server, lines


def test_a_session_stands_in_the_log_with_its_id_and_without_its_speech(logged):
    server, lines = logged
    pcm = np.frombuffer((b"a secret that was said " * 1000)[:20_000], np.int16)
    with Stream(server.grpc_address, session="visitor-7") as stream:
        stream.send(pcm, start=True, end=True, outputs=("INDEX", "AUDIO_OUT"))
        stream.wait(1)
    wait_for(lambda: any("session=visitor-7 ended" in line.message for line in lines))
    about = [line.message for line in lines if line.session == "visitor-7"]
    assert [message.split(":")[0] for message in about] == ["session=visitor-7 opened", "session=visitor-7 ended"]
    assert "0.62 s of audio, 19 frames, 0 dropped" in about[1]
    text = "\n".join(line.message for line in lines)
    assert "secret" not in text
    assert base64.b64encode(pcm[:30].tobytes()).decode() not in text
    assert str(list(pcm[:4])) not in text


def test_an_id_cannot_forge_a_line(logged):
    server, lines = logged
    with Stream(server.grpc_address, session='x\nE1124 08:06:41.877099 1 a.cc:1] "all is lost" session=boss') as stream:
        stream.send(np.zeros(1600, np.int16), start=True, end=True)
        stream.wait(1)
    wait_for(lambda: any(line.message.startswith("session=x?E1124") and "ended" in line.message for line in lines))
    assert not [line for line in lines if line.message.startswith("all is lost") or line.session == "boss"]


def test_an_error_stands_with_its_session(logged):
    server, lines = logged
    with Stream(server.grpc_address, session="wrong") as stream:
        stream.send(np.zeros(1600, np.int16), "0", start=True)
        stream.wait(1)
        stream.send(np.zeros(1600, np.int16), "1", parameters={"fps": 25})
        stream.wait(2)
    wait_for(lambda: any("session=wrong failed (parameter 'fps' may only" in line.message for line in lines))
