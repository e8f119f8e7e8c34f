"""`avatar render`: a sound file in, a video file out."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from avatar_client import timings
from avatar_client.client import AvatarClient
from avatar_client.errors import ServerError
from avatar_client.media import AudioFile
from avatar_client.protocol import Flow
from avatar_client.types import Frame, SessionOptions
from avatar_client.video import VideoWriter

CHUNK_S = 0.5
FLOW = Flow(max_ahead_s=2.0, max_queued_s=2.0, max_chunk_s=CHUNK_S)
"""Throughput before latency, and little memory however long the file is."""


@dataclass(frozen=True, slots=True)
class RenderResult:
    """Attributes:
    output: the video file.
    frames: how many it has.
    video_s: its length.
    elapsed_s: from the session's opening to its last frame.
    frames_per_s: steady rate of frames, from the first to the last.
    first_frame_ms: from the first audio sent to the first frame received.
    stages: time of each stage on the server; empty where it tells nothing.
    """

    output: str
    frames: int
    video_s: float
    elapsed_s: float
    frames_per_s: float
    first_frame_ms: float
    stages: timings.Snapshot

    def as_dict(self) -> dict:
        """For JSON: the fields, with `mean_ms` for each stage."""
        fields = asdict(self)
        fields["stages"] = {
            name: {"mean_ms": round(stage.mean_ms, 3), "total_ms": round(stage.total_ms, 1), "calls": stage.calls}
            for name, stage in self.stages.items()
        }
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}


def render(
    client: AvatarClient,
    audio: AudioFile,
    video: VideoWriter,
    options: SessionOptions,
    *,
    metrics_url: str,
    progress: Callable[[int], None] = lambda frames: None,
) -> RenderResult:
    """Streams a sound file through a session and writes what comes back.

    Args:
        video: takes the frames; the caller closes it.
        options: of the session; the sample rate is taken from the file.
        metrics_url: the server's Prometheus page, for the stage times.
        progress: called after each frame with the number of frames so far.

    Raises:
        AvatarClientError: the sound, the server or the video fails.
    """
    before = timings.snapshot(client, metrics_url)
    started_s = time.monotonic()
    with client.open_session(options, flow=FLOW, sample_rate_hz=audio.sample_rate_hz) as session:
        sent = _Stamp()
        arrivals = _Arrivals()
        for frame in session.stream(sent.mark(audio.chunks(CHUNK_S))):
            video.write(frame)
            arrivals.add(frame)
            progress(video.frames)
        if not video.frames:
            raise ServerError("the server ended the session without a frame; see its log")
    return RenderResult(
        output=str(video.path),
        frames=video.frames,
        video_s=video.frames / options.fps,
        elapsed_s=arrivals.last_s - started_s,
        frames_per_s=arrivals.rate(),
        first_frame_ms=(arrivals.first_s - sent.at_s) * 1000,
        stages=timings.difference(before, timings.snapshot(client, metrics_url)),
    )


class _Stamp:
    """Notes when the first of some chunks was taken."""

    def __init__(self):
        self.at_s = 0.0

    def mark(self, chunks: Iterator) -> Iterator:
        first = list(itertools.islice(chunks, 1))
        self.at_s = time.monotonic()
        return itertools.chain(first, chunks)


class _Arrivals:
    """When the first and the last frame arrived, and how many."""

    def __init__(self):
        self.count = 0
        self.first_s = self.last_s = 0.0

    def add(self, frame: Frame) -> None:
        if self.count == 0:
            self.first_s = frame.received_s
        self.last_s = frame.received_s
        self.count += 1

    def rate(self) -> float:
        duration_s = self.last_s - self.first_s
        return (self.count - 1) / duration_s if duration_s > 0 else 0.0
