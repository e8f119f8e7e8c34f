"""The command line with the models that ship: what `make demo` promises."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from avatar_client import AvatarClient, InvalidRequest, State
from avatar_client.media import AudioFile

from tests.client import sounds

PROJECT = Path(__file__).resolve().parents[2]
HELLO = PROJECT / "examples" / "hello.wav"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running():
    from avatar_server import ServerConfig, start_server

    with start_server(ServerConfig(grpc_port=0, http_port=0, metrics_port=0, stop_timeout_s=3.0)) as server:
        yield server


@pytest.fixture(scope="module")
def speech():
    """The first three seconds of the example, and their rate in Hz."""
    with AudioFile(HELLO) as audio:
        return np.concatenate([*audio.chunks()])[: 3 * audio.sample_rate_hz], audio.sample_rate_hz


def test_one_command_makes_a_talking_head(tmp_path, speech):
    pcm, rate_hz = speech
    sounds.write_wav(tmp_path / "in.wav", pcm, rate_hz)
    command = [sys.executable, PROJECT / "inference.py", "--audio", "in.wav", "--output", "out.mp4", "--json", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames"] == 90
    assert list(result["stages"]) == ["audio_encoder", "motion", "rasterizer", "enhancer", "stabilizer"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, video.average_rate, video.frames) == (512, 512, 30, 90)
        video_s, audio_s = (float(stream.duration * stream.time_base) for stream in (video, audio))
        pictures = [frame.to_ndarray(format="rgb24").astype(np.int16) for frame in container.decode(video=0)]
    assert abs(video_s - audio_s) <= 1 / 30
    changes = [np.abs(later - earlier).mean() for earlier, later in zip(pictures, pictures[1:], strict=False)]
    assert min(changes) > 0, "no frame may be its neighbor's copy"


def test_speech_and_silence_look_different(running, speech):
    pcm, rate_hz = speech
    with AvatarClient(running.grpc_address) as client:
        options = {"sample_rate_hz": rate_hz, "outputs": ("blendshapes", "state", "audio")}
        with client.open_session(**options) as session:
            spoken = list(session.stream([pcm]))
        with client.open_session(**options) as session:
            silent = list(session.stream([np.zeros_like(pcm)]))
    assert {frame.state for frame in silent} == {State.IDLE}
    assert State.SPEAKING in {frame.state for frame in spoken}
    jaw_open = 17
    moves = [np.std([frame.blendshapes[jaw_open] for frame in frames]) for frames in (spoken, silent)]
    assert moves[0] > 5 * moves[1]


def test_two_sessions_at_once_and_a_bad_one(running, speech):
    pcm, rate_hz = speech
    options = {"sample_rate_hz": rate_hz, "size": 256}
    with (
        AvatarClient(running.grpc_address) as client,
        client.open_session(**options) as first,
        client.open_session(**options) as second,
    ):
        with pytest.raises(InvalidRequest, match="not installed"):
            client.open_session(avatar="nobody")
        sent = ((first, pcm[:rate_hz]), (second, -pcm[:rate_hz]))
        for session, samples in sent:
            session.send(samples)
            session.end()
        for session, samples in sent:
            frames = list(session)
            assert [frame.index for frame in frames] == list(range(30))
            np.testing.assert_array_equal(np.concatenate([frame.audio for frame in frames]), samples)
