"""`avatar stream`: a sound file sent at the pace of a microphone, and what that costs in latency."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from avatar_client.client import AvatarClient
from avatar_client.errors import AvatarClientError, ServerError
from avatar_client.media import AudioFile
from avatar_client.session import Session
from avatar_client.types import Frame, SessionOptions

DEFAULT_LOOKAHEAD_MS = 200


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a set of milliseconds."""

    p50: float
    p95: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, values_ms: list[float]) -> "Percentiles":
        if not values_ms:
            return cls(0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = np.percentile(values_ms, (50, 95, 99))
        return cls(round(float(p50), 2), round(float(p95), 2), round(float(p99), 2), round(max(values_ms), 2))


@dataclass(frozen=True, slots=True)
class StreamResult:
    """Attributes:
    frames: how many came.
    duration_s: length of the sound.
    first_frame_ms: from the first chunk sent to the first frame received; the look-ahead is inside.
    latency_ms: from the moment the audio up to a frame's time plus the look-ahead was sent, to the frame's arrival.
        Frames that end the session count from the end.
    gap_ms: between the arrivals of neighbouring frames.
    late_frames: frames that a player which starts with the first frame would have missed by more than one frame.
    """

    frames: int
    duration_s: float
    first_frame_ms: float
    latency_ms: Percentiles
    gap_ms: Percentiles
    late_frames: int

    def as_dict(self) -> dict:
        return asdict(self)


def stream(
    client: AvatarClient,
    audio: AudioFile,
    options: SessionOptions,
    *,
    chunk_ms: int = 20,
    on_frame: Callable[[Frame], None] = lambda frame: None,
) -> StreamResult:
    """Sends a sound file in real time and measures when the frames come.

    Raises:
        AvatarClientError: the sound or the server fails.
    """
    with client.open_session(options, sample_rate_hz=audio.sample_rate_hz) as session:
        microphone = _Microphone(session, audio, chunk_ms / 1000)
        microphone.start()
        arrivals: list[tuple[float, float]] = []
        for frame in session:
            arrivals.append((frame.pts_s, frame.received_s))
            on_frame(frame)
        microphone.join()
    if not arrivals:
        raise ServerError("the server ended the session without a frame; see its log")
    lookahead_s = (options.lookahead_ms or DEFAULT_LOOKAHEAD_MS) / 1000
    return _evaluate(arrivals, microphone, options.fps, lookahead_s)


class _Microphone(threading.Thread):
    """Sends each chunk when its last sample would have been recorded, and remembers when that was."""

    def __init__(self, session: Session, audio: AudioFile, chunk_s: float):
        super().__init__(name="avatar-microphone", daemon=True)
        self._session, self._audio, self._chunk_s = session, audio, chunk_s
        self.sent_until_s: list[float] = []
        self.sent_at_s: list[float] = []
        self.ended_at_s = 0.0

    def run(self) -> None:
        start_s, samples = time.monotonic(), 0
        try:
            for chunk in self._audio.chunks(self._chunk_s):
                samples += chunk.size
                position_s = samples / self._audio.sample_rate_hz
                time.sleep(max(0.0, start_s + position_s - time.monotonic()))
                self.sent_at_s.append(time.monotonic())
                self.sent_until_s.append(position_s)
                self._session.send(chunk)
            self.ended_at_s = time.monotonic()
            self._session.end()
        except AvatarClientError as error:
            self._session.abandon(error)

    def ready_at_s(self, audio_time_s: float) -> float:
        """When the audio up to this time had been sent."""
        index = int(np.searchsorted(self.sent_until_s, audio_time_s - 1e-9))
        return self.sent_at_s[index] if index < len(self.sent_at_s) else self.ended_at_s


def _evaluate(
    arrivals: list[tuple[float, float]], microphone: _Microphone, fps: int, lookahead_s: float
) -> StreamResult:
    latencies_ms = [(at_s - microphone.ready_at_s(pts_s + lookahead_s)) * 1000 for pts_s, at_s in arrivals]
    gaps_ms = [(later[1] - earlier[1]) * 1000 for earlier, later in zip(arrivals, arrivals[1:], strict=False)]
    first_pts_s, first_at_s = arrivals[0]
    late = sum(at_s - first_at_s > pts_s - first_pts_s + 1 / fps for pts_s, at_s in arrivals)
    return StreamResult(
        frames=len(arrivals),
        duration_s=round(microphone.sent_until_s[-1], 3),
        first_frame_ms=round((first_at_s - microphone.sent_at_s[0]) * 1000, 2),
        latency_ms=Percentiles.of(latencies_ms),
        gap_ms=Percentiles.of(gaps_ms),
        late_frames=int(late),
    )
