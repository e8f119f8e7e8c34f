"""The service in a real Pipecat pipeline."""

import numpy as np
import pytest
from avatar_client import AsyncAvatarClient, InvalidRequest, SessionOptions

pytest.importorskip("pipecat", reason="pip install -e '.[pipecat]'")
from avatar_client.pipecat import AvatarVideoService  # noqa: E402
from pipecat.frames.frames import (  # noqa: E402
    InterruptionFrame,
    OutputImageRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test  # noqa: E402

RATE_HZ = 16_000
OPTIONS = SessionOptions(sample_rate_hz=RATE_HZ)


def sound(frames) -> np.ndarray:
    return np.concatenate([np.frombuffer(f.audio, np.int16) for f in frames if isinstance(f, TTSAudioRawFrame)])


async def test_speech_goes_on_in_step_with_pictures(toy_server, speech):
    pieces = [TTSAudioRawFrame(piece.tobytes(), RATE_HZ, 1) for piece in np.array_split(speech, 15)]
    async with AsyncAvatarClient(toy_server.grpc_address) as client:
        service = AvatarVideoService(client, OPTIONS)
        down, _ = await run_test(
            service, frames_to_send=[TTSStartedFrame(), *pieces, TTSStoppedFrame(), SleepFrame(sleep=6.0)]
        )
    got = sound(down)
    first = np.flatnonzero(got)[0]
    np.testing.assert_array_equal(got[first : first + speech.size], speech)
    pictures = [frame for frame in down if isinstance(frame, OutputImageRawFrame)]
    assert len(pictures) >= 90 and {frame.format for frame in pictures} == {"RGB"}
    kinds = [type(frame) for frame in down]
    assert kinds.index(TTSStoppedFrame) > max(i for i, kind in enumerate(kinds) if kind is TTSAudioRawFrame)


async def test_an_interruption_stops_the_sound(toy_server, speech):
    async with AsyncAvatarClient(toy_server.grpc_address) as client:
        service = AvatarVideoService(client, OPTIONS)
        down, _ = await run_test(
            service,
            frames_to_send=[
                TTSAudioRawFrame(np.tile(speech, 5).tobytes(), RATE_HZ, 1),
                TTSStoppedFrame(),
                SleepFrame(sleep=0.5),
                InterruptionFrame(),
                SleepFrame(sleep=1.5),
            ],
        )
    kinds = [type(frame) for frame in down]
    after = kinds[kinds.index(InterruptionFrame) :]
    assert TTSAudioRawFrame not in after[2:], "one frame may be on its way"
    assert OutputImageRawFrame in after and TTSStoppedFrame not in kinds


async def test_no_server_is_an_error_frame_and_speech_goes_on(speech):
    from pipecat.frames.frames import ErrorFrame

    async with AsyncAvatarClient("127.0.0.1:9") as client:
        from avatar_client import Retry

        service = AvatarVideoService(client, OPTIONS, retry=Retry(attempts=1))
        said = TTSAudioRawFrame(speech.tobytes(), RATE_HZ, 1)
        down, up = await run_test(service, frames_to_send=[said, SleepFrame(sleep=0.2)], start_timeout=10)
    np.testing.assert_array_equal(sound(down), speech)
    assert any(isinstance(frame, ErrorFrame) and "no avatar" in str(frame.error) for frame in up)


def test_what_cannot_be_is_said():
    with pytest.raises(InvalidRequest, match="raw pictures"):
        AvatarVideoService(None, SessionOptions(outputs=("blendshapes",)))
